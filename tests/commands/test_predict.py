"""What is answered to images of the user's own, and how it is printed."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from drawn import draw_split

from convdepth.commands.predict import Prediction, load, predict_images, print_predictions
from convdepth.config.params import read_architecture
from convdepth.data.arrays import normalize
from convdepth.evaluation.answers import predict
from convdepth.models.archive import load_weights, save_network
from convdepth.models.build import build_network


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_answers_are_those_that_an_evaluation_records(
    tmp_path: Path, tiny_params: Path, precision: str
) -> None:
    architecture, model = read_architecture("tiny", tiny_params), tmp_path / "tiny.keras"
    save_network(build_network(architecture, precision, seed=3), model)
    pixels, labels = (each[:3] for each in draw_split("test"))
    network = build_network(architecture, precision)
    load_weights(network, model)
    recorded = predict(network, normalize(pixels), labels)
    images = {"digit.png": pixels[:1], "digits.npy": pixels}
    (loaded,) = load(model)
    alone, *answers = predict_images(loaded, images)
    assert [alone.image, answers[2].image] == ["digit.png", "digits.npy[2]"]
    np.testing.assert_allclose(alone.probabilities, answers[0].probabilities, atol=1e-6)
    assert [answer.digits[0] for answer in answers] == recorded["predicted"].tolist()
    highest = [round(float(answer.probabilities.max()), 6) for answer in answers]
    assert highest == recorded["probability"].tolist()


def answer(name: str, **shares: float) -> Prediction:
    probabilities = np.zeros(10, np.float32)
    for digit, share in shares.items():
        probabilities[int(digit[1:])] = share
    return Prediction(name, probabilities)


ANSWERS = [answer("a.png", p3=0.95, p5=0.04, p8=0.01), answer("b, c.png", p7=0.5, p1=0.3, p2=0.2)]


def test_the_table_has_the_three_most_probable_digits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    print_predictions(iter(ANSWERS), "table")
    sure, unsure = capsys.readouterr().out.splitlines()[2:]
    assert sure.split() == ["a.png", "3", "95.00%", "5:", "4.00%", "8:", "1.00%"]
    assert unsure.split()[2:4] == ["7", "50.00%"]
    assert unsure.split()[-1] == "unsure"
    assert sure.index("95.00%") == unsure.index("50.00%")


def test_json_and_csv_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_predictions(iter(ANSWERS), "json")
    entries = json.loads(capsys.readouterr().out)
    print_predictions(iter(ANSWERS), "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [entry["digit"] for entry in entries] == [3, 7] == [int(row["digit"]) for row in rows]
    assert [entry["unsure"] for entry in entries] == [False, True]
    for entry, row in zip(entries, rows, strict=True):
        assert row["image"] == entry["image"]
        assert [float(row[f"p{digit}"]) for digit in range(10)] == entry["probabilities"]

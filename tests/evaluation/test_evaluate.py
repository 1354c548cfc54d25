"""The stage `evaluate`: predictions follow from the network, and metrics from the predictions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import PROJECT
from convdepth.config.params import read_architecture
from convdepth.core.errors import DataError, IntegrityError
from convdepth.data.arrays import read_split, write_split
from convdepth.evaluation.answers import predict
from convdepth.evaluation.evaluate import compare, main, validation
from convdepth.evaluation.notebook_record import read_notebook
from convdepth.models.archive import save_network
from convdepth.models.backend import keras
from convdepth.models.build import build_network

pytestmark = pytest.mark.usefixtures("one_thread")

NOTEBOOK = PROJECT / "data" / "notebook.json"


@pytest.fixture
def network(tiny_params: Path) -> keras.Model:
    return build_network(read_architecture("tiny", tiny_params), seed=3)


def answer_always(network: keras.Model, digit: int, certainty: float) -> None:
    kernel, bias = network.get_layer("softmax").get_weights()
    bias = bias + certainty * (np.arange(10) == digit)
    network.get_layer("softmax").set_weights([kernel * 0, bias])


Evaluate = Callable[..., tuple[dict[str, Any], pd.DataFrame]]


@pytest.fixture
def evaluate(tiny_params: Path, normalized: Path) -> Evaluate:
    """Gives a function that runs the stage on a network, in the folder of the parameters."""
    folder = tiny_params.parent

    def evaluate(network: keras.Model, **changes: Any) -> tuple[dict[str, Any], pd.DataFrame]:
        save_network(network, folder / "tiny.keras")
        arguments = {
            "normalized": normalized,
            "model": folder / "tiny.keras",
            "history": folder / "history.csv",
            "notebook": NOTEBOOK,
            "metrics": folder / "evaluated" / "tiny.json",
            "predictions": folder / "evaluated" / "tiny.csv",
        } | changes
        main(name="tiny", params=tiny_params, **arguments)
        metrics = json.loads(arguments["metrics"].read_text())
        return metrics, pd.read_csv(arguments["predictions"])

    return evaluate


def test_the_metrics_follow_from_the_predictions(
    network: keras.Model, evaluate: Evaluate, normalized: Path, tmp_path: Path
) -> None:
    metrics, table = evaluate(network)
    _, labels = read_split(normalized, "test")
    assert list(table) == ["index", "label", "predicted", "second", "probability", "loss"]
    assert list(table["index"]) == list(range(2000))
    np.testing.assert_array_equal(table["label"], labels)
    assert metrics["accuracy"] == round((table["label"] == table["predicted"]).mean(), 6)
    assert metrics["loss"] == round(table["loss"].mean(), 6)
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    assert (metrics["images"], metrics["blocks"]) == (2000, 1)
    assert metrics["parameters"] == 208 + 8 * 36 * 32 + 32 + 330
    assert [entry["digit"] for entry in metrics["classes"]] == list(range(10))
    assert metrics["notebook_accuracy"] is metrics["notebook_difference"] is None
    assert "validation" not in metrics
    paths = list((tmp_path / "evaluated").iterdir())
    former = [path.read_bytes() for path in paths]
    evaluate(network)
    assert [path.read_bytes() for path in paths] == former


def test_a_prediction_is_what_keras_says(network: keras.Model, normalized: Path) -> None:
    images, labels = read_split(normalized, "test")
    table = predict(network, images[:50], labels[:50])
    probabilities = network.predict(images[:50], verbose=0)
    order = probabilities.argsort(axis=1)
    np.testing.assert_array_equal(table["predicted"], order[:, -1])
    np.testing.assert_array_equal(table["second"], order[:, -2])
    np.testing.assert_allclose(table["probability"], probabilities.max(axis=1), atol=1e-6)
    expected = -np.log(probabilities[np.arange(50), labels[:50]])
    np.testing.assert_allclose(table["loss"], expected, atol=2e-6)


def test_a_certain_and_wrong_answer_has_a_finite_loss(network: keras.Model) -> None:
    answer_always(network, 4, certainty=500)
    table = predict(network, np.zeros((1, 28, 28, 1), np.float32), np.array([5], np.uint8))
    assert table["loss"].iloc[0] == pytest.approx(16.118, abs=0.001)


@pytest.mark.parametrize("lacking", [False, True])
def test_a_collapsed_network_is_reported_with_its_evidence(
    network: keras.Model,
    evaluate: Evaluate,
    normalized: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lacking: bool,
) -> None:
    if lacking:  # the training labels lack some digits, so that their prior loss is infinite
        for split, digits in (("train", 5), ("test", 10)):
            images, labels = read_split(normalized, split)
            few = labels < digits
            write_split(tmp_path / "few", split, images[few], labels[few])
        normalized = tmp_path / "few"
    answer_always(network, 4, certainty=2)
    metrics, _ = evaluate(network, normalized=normalized)
    evidence = metrics["evidence"]
    assert (metrics["status"], evidence["answer"], evidence["answer_share"]) == ("collapsed", 4, 1)
    expected = None if lacking else pytest.approx(2.30, abs=0.01)
    assert evidence["prior_loss"] == expected
    assert metrics["classes"][5]["precision"] is None
    said = capsys.readouterr().out
    prior = "inf" if lacking else f"{evidence['prior_loss']:.4f}"
    assert all(each in said for each in ("collapsed", '"4"', "100.00%", "2,000", prior))


HISTORY = "epoch,val_loss,val_accuracy\n1,0.5,0.75\n2,0.25,0.8750004\n"


def test_the_figures_of_held_out_images_are_those_of_the_last_epoch(
    network: keras.Model, evaluate: Evaluate, tiny_params: Path
) -> None:
    (tiny_params.parent / "history.csv").write_text(HISTORY)
    text = tiny_params.read_text().replace("validation_images: 0", "validation_images: 100")
    tiny_params.write_text(text)
    metrics, _ = evaluate(network)
    assert metrics["validation"] == {"images": 100, "accuracy": 0.875, "loss": 0.25}


@pytest.mark.parametrize("text", [None, "", "epoch,loss\n1,2.3\n", "epoch,val_loss,val_accuracy\n"])
def test_a_damaged_history_is_named(tmp_path: Path, text: str | None) -> None:
    history = tmp_path / "history.csv"
    if text is not None:
        history.write_text(text)
    with pytest.raises(DataError, match=r"history\.csv"):
        validation(history, images=100)
    assert validation(history, images=0) == {}  # the test set is never called validation


def test_the_difference_to_the_notebook() -> None:
    assert compare(0.9922, read_notebook(NOTEBOOK)["cnn1"]) == {
        "notebook_accuracy": 0.9916,
        "notebook_difference": 0.0006,
    }


@pytest.mark.parametrize(
    ("argument", "error"), [("notebook", DataError), ("model", IntegrityError)]
)
def test_a_damaged_input_is_named_and_leaves_no_result(
    network: keras.Model, evaluate: Evaluate, tmp_path: Path, argument: str, error: type[Exception]
) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_text("damaged")
    with pytest.raises(error, match="damaged"):
        evaluate(network, **{argument: damaged})
    assert not (tmp_path / "evaluated").exists()

"""Evaluation: the metrics follow from the predictions, and the predictions from the network."""

import json
import re
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
from convdepth.models.build import build_network

pytestmark = pytest.mark.usefixtures("one_thread")

NOTEBOOK = PROJECT / "data" / "notebook.json"


@pytest.fixture
def model(tiny_params: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.keras"
    save_network(build_network(read_architecture("tiny", tiny_params), seed=3), path)
    return path


def evaluate(params: Path, normalized: Path, model: Path, **changes: Any) -> tuple[Path, Path]:
    folder = model.parent / "evaluated"
    metrics, predictions = folder / "tiny.json", folder / "tiny.csv"
    arguments = {
        "history": model.parent / "tiny-history.csv",
        "notebook": NOTEBOOK,
        "metrics": metrics,
        "predictions": predictions,
    } | changes
    main(name="tiny", normalized=normalized, model=model, params=params, **arguments)
    return metrics, predictions


def constant_network(params: Path, model: Path, digit: int) -> None:
    """Make a network that gives one answer to every image."""
    network = build_network(read_architecture("tiny", params))
    kernel, bias = network.get_layer("softmax").get_weights()
    network.get_layer("softmax").set_weights([kernel * 0, bias + 2 * (np.arange(10) == digit)])
    save_network(network, model)


def test_the_metrics_follow_from_the_predictions(
    tiny_params: Path, normalized: Path, model: Path
) -> None:
    metrics_path, predictions_path = evaluate(tiny_params, normalized, model)
    metrics, table = json.loads(metrics_path.read_text()), pd.read_csv(predictions_path)
    _, labels = read_split(normalized, "test")
    assert list(table.columns) == [
        *("index", "label", "predicted", "second", "probability", "loss")
    ]
    assert list(table["index"]) == list(range(2000))
    np.testing.assert_array_equal(table["label"], labels)
    assert metrics["accuracy"] == round((table["label"] == table["predicted"]).mean(), 6)
    assert metrics["loss"] == round(table["loss"].mean(), 6)
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    assert (metrics["images"], metrics["blocks"]) == (2000, 1)
    assert metrics["parameters"] == 208 + 8 * 36 * 32 + 32 + 330
    assert [entry["digit"] for entry in metrics["classes"]] == list(range(10))


def test_a_prediction_is_what_keras_says(tiny_params: Path, normalized: Path) -> None:
    network = build_network(read_architecture("tiny", tiny_params), seed=3)
    images, labels = read_split(normalized, "test")
    table = predict(network, images[:50], labels[:50])
    probabilities = network.predict(images[:50], verbose=0)
    order = probabilities.argsort(axis=1)
    np.testing.assert_array_equal(table["predicted"], order[:, -1])
    np.testing.assert_array_equal(table["second"], order[:, -2])
    np.testing.assert_allclose(table["probability"], probabilities.max(axis=1), atol=1e-6)
    expected = -np.log(probabilities[np.arange(50), labels[:50]])
    np.testing.assert_allclose(table["loss"], expected, atol=2e-6)


def test_a_second_run_gives_the_same_bytes(
    tiny_params: Path, normalized: Path, model: Path
) -> None:
    first = [path.read_bytes() for path in evaluate(tiny_params, normalized, model)]
    assert [path.read_bytes() for path in evaluate(tiny_params, normalized, model)] == first


def test_a_collapsed_network_is_reported_with_its_evidence(
    tiny_params: Path, normalized: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    constant_network(tiny_params, model, digit=4)
    metrics = json.loads(evaluate(tiny_params, normalized, model)[0].read_text())
    assert metrics["status"] == "collapsed"
    assert metrics["evidence"]["answer"] == 4
    assert metrics["evidence"]["answer_share"] == 1
    assert metrics["evidence"]["prior_loss"] == pytest.approx(2.30, abs=0.01)
    assert metrics["classes"][5]["precision"] is None
    said = capsys.readouterr().out
    assert 'collapsed. It answers "4" to 100.00% of 2,000 images.' in said
    prior, own = re.findall(r"gives a loss of (\S+), and its own is (\S+): ", said)[0]
    assert float(prior) == pytest.approx(metrics["evidence"]["prior_loss"], abs=1e-4)
    assert float(own) == pytest.approx(metrics["loss"], abs=1e-4)


def test_a_certain_and_wrong_answer_has_a_finite_loss(tiny_params: Path) -> None:
    network = build_network(read_architecture("tiny", tiny_params))
    kernel, bias = network.get_layer("softmax").get_weights()
    network.get_layer("softmax").set_weights([kernel * 0, bias + 500 * (np.arange(10) == 4)])
    table = predict(network, np.zeros((1, 28, 28, 1), np.float32), np.array([5], np.uint8))
    assert table["loss"].iloc[0] == pytest.approx(16.118, abs=0.001)


def test_labels_that_lack_a_digit_in_training_give_no_infinite_number(
    tiny_params: Path, normalized: Path, model: Path, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        images, labels = read_split(normalized, split)
        few = labels < (5 if split == "train" else 10)
        write_split(tmp_path / "few", split, images[few], labels[few])
    constant_network(tiny_params, model, digit=4)
    metrics = json.loads(evaluate(tiny_params, tmp_path / "few", model)[0].read_text())
    assert metrics["evidence"]["prior_loss"] is None


def test_the_figures_of_held_out_images_are_those_of_the_last_epoch(
    tiny_params: Path, normalized: Path, model: Path, tmp_path: Path
) -> None:
    history = tmp_path / "history.csv"
    history.write_text("epoch,val_loss,val_accuracy\n1,0.5,0.75\n2,0.25,0.8750004\n")
    text = tiny_params.read_text().replace("validation_images: 0", "validation_images: 100")
    tiny_params.write_text(text)
    metrics, _ = evaluate(tiny_params, normalized, model, history=history)
    expected = {"images": 100, "accuracy": 0.875, "loss": 0.25}
    assert json.loads(metrics.read_text())["validation"] == expected


def test_the_test_set_is_never_called_validation(tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text("epoch,val_loss,val_accuracy\n1,0.5,0.75\n")
    assert validation(history, images=0) == {}


@pytest.mark.parametrize("text", [None, "", "epoch,loss\n1,2.3\n", "epoch,val_loss,val_accuracy\n"])
def test_a_damaged_history_is_named(tmp_path: Path, text: str | None) -> None:
    history = tmp_path / "history.csv"
    if text is not None:
        history.write_text(text)
    with pytest.raises(DataError, match=r"history\.csv: is no history of a training"):
        validation(history, images=100)


def test_the_difference_to_the_notebook() -> None:
    assert compare(0.9922, read_notebook(NOTEBOOK)["cnn1"]) == {
        "notebook_accuracy": 0.9916,
        "notebook_difference": 0.0006,
    }
    assert set(compare(0.9922, None).values()) == {None}


def test_a_network_that_the_notebook_lacks_is_evaluated_too(
    tiny_params: Path, normalized: Path, model: Path
) -> None:
    metrics = json.loads(evaluate(tiny_params, normalized, model)[0].read_text())
    assert metrics["notebook_accuracy"] is None
    assert metrics["notebook_difference"] is None


def test_a_missing_notebook_is_named(tiny_params: Path, normalized: Path, model: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json: cannot be read"):
        evaluate(tiny_params, normalized, model, notebook=Path("nowhere.json"))


def test_a_damaged_model_leaves_no_result(tiny_params: Path, normalized: Path, model: Path) -> None:
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match=r"tiny\.keras"):
        evaluate(tiny_params, normalized, model)
    assert not (model.parent / "evaluated").exists()

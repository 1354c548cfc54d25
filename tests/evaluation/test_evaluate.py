"""The stage `evaluate`: predictions follow from the network, and metrics from the predictions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from study_inputs import Study

from conftest import PROJECT
from convdepth.config.params import read_architecture
from convdepth.core.errors import DataError
from convdepth.data.arrays import read_split
from convdepth.evaluation.answers import predict
from convdepth.evaluation.evaluate import main
from convdepth.models.archive import save_network
from convdepth.models.backend import keras
from convdepth.models.build import build_network
from project import edit_yaml

NOTEBOOK = PROJECT / "data" / "notebook.json"
SCORES = "evaluated/scores.json"
Evaluate = Callable[..., tuple[dict[str, Any], pd.DataFrame]]


@pytest.fixture
def network(study: Study) -> keras.Model:
    return build_network(read_architecture("tiny", study.params), seed=3)


def answer_always(network: keras.Model, digit: int, certainty: float) -> None:
    kernel, bias = network.get_layer("softmax").get_weights()
    bias = bias + certainty * (np.arange(10) == digit)
    network.get_layer("softmax").set_weights([kernel * 0, bias])


@pytest.fixture
def evaluate(network: keras.Model, study: Study) -> Evaluate:
    """Gives a function that runs the stage on the network."""

    def evaluate(**changes: Any) -> tuple[dict[str, Any], pd.DataFrame]:
        save_network(network, study.folder / "tiny.keras")
        inputs = {"model": "tiny.keras", "history": "history.csv", "notebook": NOTEBOOK}
        outputs = {"metrics": "evaluated/tiny.json", "predictions": "evaluated/tiny.csv"}
        outputs |= {"scores": SCORES}
        study.run(main, **inputs | outputs | changes)
        return study.read(outputs["metrics"]), pd.read_csv(study.folder / outputs["predictions"])

    return evaluate


def test_metrics_follow_predictions(
    evaluate: Evaluate, study: Study, normalized: Path, tmp_path: Path
) -> None:
    metrics, table = evaluate()
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
    assert study.read(SCORES) == {key: metrics[key] for key in ("accuracy", "loss", "status")}
    paths = list((tmp_path / "evaluated").iterdir())
    former = [path.read_bytes() for path in paths]
    evaluate()
    assert [path.read_bytes() for path in paths] == former


def test_predictions_are_those_of_keras_and_finite(network: keras.Model, normalized: Path) -> None:
    images, labels = (array[:50] for array in read_split(normalized, "test"))
    table = predict(network, images, labels)
    probabilities = network.predict(images, verbose=0)
    order = probabilities.argsort(axis=1)
    np.testing.assert_array_equal(table["predicted"], order[:, -1])
    np.testing.assert_array_equal(table["second"], order[:, -2])
    np.testing.assert_allclose(table["probability"], probabilities.max(axis=1), atol=1e-6)
    expected = -np.log(probabilities[np.arange(50), labels])
    np.testing.assert_allclose(table["loss"], expected, atol=2e-6)
    answer_always(network, 4, certainty=500)
    assert predict(network, images, labels)["loss"].max() == pytest.approx(16.118, abs=0.001)


def test_a_collapsed_network_is_reported_with_its_evidence(
    network: keras.Model, evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    answer_always(network, 4, certainty=2)
    metrics, _ = evaluate()
    evidence = metrics["evidence"]
    assert (metrics["status"], evidence["answer"], evidence["answer_share"]) == ("collapsed", 4, 1)
    assert evidence["prior_loss"] == pytest.approx(2.30, abs=0.01)
    assert metrics["classes"][5]["precision"] is None
    said = capsys.readouterr().out
    prior = f"{evidence['prior_loss']:.4f}"
    assert all(each in said for each in ("collapsed", '"4"', "100.00%", "2,000", prior))


def test_held_out_images_and_the_notebook(evaluate: Evaluate, study: Study, tmp_path: Path) -> None:
    edit_yaml(study.params, {"train.validation_images": 100})
    history, notebook = tmp_path / "history.csv", tmp_path / "notebook.json"
    history.write_text("epoch,val_loss,val_accuracy\n1,0.5,0.75\n2,0.25,0.8750004\n")
    notebook.write_text(NOTEBOOK.read_text().replace('"cnn1"', '"tiny"'))
    metrics, _ = evaluate(notebook=notebook)
    assert metrics["validation"] == {"images": 100, "accuracy": 0.875, "loss": 0.25}
    assert study.read(SCORES)["validation"] == metrics["validation"]
    assert metrics["notebook_accuracy"] == 0.9916
    assert metrics["notebook_difference"] == round(metrics["accuracy"] - 0.9916, 6)
    for text in ("", "epoch,loss\n1,2.3\n", "epoch,val_loss,val_accuracy\n"):
        history.write_text(text)
        with pytest.raises(DataError, match=r"history\.csv"):
            evaluate()

"""The stage `train`: it learns, equal parameters give equal bytes, and it resumes exactly."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from epochs import counted_epochs
from tiny_training import AUGMENTATION, BATCH_NORMALIZATION, Tiny, tiny

from conftest import write_tiny_params
from convdepth.core.errors import TrainingError
from convdepth.data.arrays import read_split
from convdepth.models.archive import load_weights
from convdepth.models.build import build_network
from convdepth.models.xla import COMPILED, PLAIN, KerasClasses
from convdepth.training import trainer as trainer_module

__all__ = ["tiny"]  # a fixture

Capture = pytest.CaptureFixture[str]

ONE_EPOCH = ("epochs: 2", "epochs: 1")


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    params_text: str,
    normalized: Path,
    one_thread: None,  # noqa: ARG001
) -> list[bytes]:
    """The bytes of the model and the history of one epoch."""
    folder = tmp_path_factory.mktemp("trained")
    tiny = Tiny(write_tiny_params(folder, params_text), normalized, folder)
    tiny.change(ONE_EPOCH)
    return tiny.trained_bytes("trained")


def test_it_learns_and_writes_model_history_record_and_log(tiny: Tiny, capsys: Capture) -> None:
    tiny.change(("epochs: 2", "epochs: 8"), ("learning_rate: 0.001", "learning_rate: 0.01"))
    model, history = tiny.train("once")
    rows = pd.read_csv(history)
    assert list(rows.columns) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert list(rows["epoch"]) == list(range(1, 9))
    assert rows["loss"].iloc[-1] < rows["loss"].iloc[0]
    network = build_network(tiny.architecture)
    load_weights(network, model)
    images, labels = read_split(tiny.normalized, "test")
    accuracy = (network.predict(images, verbose=0).argmax(axis=1) == labels).mean()
    assert accuracy > 0.9
    assert rows["val_accuracy"].iloc[-1] == pytest.approx(accuracy, abs=1e-6)
    record = json.loads((model.parent / "tiny.numeric_class.json").read_text())
    assert record["model_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert not (tiny.folder / "once" / "checkpoints" / "tiny").exists()
    epochs = re.findall(r"^tiny  epoch (\d)/8  loss \d.*$", capsys.readouterr().out, re.MULTILINE)
    assert epochs == list("12345678")


@pytest.mark.parametrize("steps", [trainer_module.STEPS_PER_EXECUTION, 1])
def test_equal_parameters_give_equal_bytes_whatever_one_call_trains(
    tiny: Tiny, trained: list[bytes], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    tiny.change(ONE_EPOCH)
    monkeypatch.setattr(trainer_module, "STEPS_PER_EXECUTION", steps)
    assert tiny.trained_bytes("again") == trained


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("optimizer: adam ", "optimizer: sgd "),
        ("seed: 1", "seed: 2"),
        ("learning_rate: 0.001", "learning_rate: 0.002"),
        ("batch_size: 128", "batch_size: 64"),
        ("schedule: constant", "schedule: one_cycle"),
        ("precision: float32", "precision: mixed_bfloat16"),
        ("dropout: 0.2}", "dropout: 0}"),
        ("validation_images: 0", "validation_images: 100"),
        ("weight_decay: 0 ", "weight_decay: 0.1 "),
        ("label_smoothing: 0 ", "label_smoothing: 0.1 "),
        ("shift: 0,", "shift: 0.1,"),
        ("rotation: 0,", "rotation: 0.05,"),
        ("zoom: 0}", "zoom: 0.1}"),
        ("dropout_scale: 1 ", "dropout_scale: 0.5 "),
        ("  tiny:\n", "  tiny:\n    dropout_scale: 0\n"),
        BATCH_NORMALIZATION,
    ],
)
def test_each_parameter_of_the_recipe_matters(
    tiny: Tiny, trained: list[bytes], old: str, new: str
) -> None:
    tiny.change(ONE_EPOCH, (old, new))
    model, _ = tiny.trained_bytes("changed")
    assert model != trained[0]


EVERYTHING = [
    ("precision: float32", "precision: mixed_bfloat16"),
    ("schedule: constant", "schedule: one_cycle"),
    ("weight_decay: 0 ", "weight_decay: 0.05 "),
    ("label_smoothing: 0 ", "label_smoothing: 0.1 "),
    AUGMENTATION,
    BATCH_NORMALIZATION,
]
"""All that the notebook lacks."""

nightly = pytest.mark.nightly


@pytest.mark.parametrize(
    ("optimizer", "rate", "changes", "classes"),
    [
        ("adam", 0.01, EVERYTHING, PLAIN),  # the recipe itself: test_faults_writes kills it
        pytest.param("sgd", 0.3, [], PLAIN, marks=nightly),
        pytest.param("adamw", 0.01, [], PLAIN, marks=nightly),
        pytest.param("muon", 0.01, [], PLAIN, marks=nightly),
        pytest.param("adam", 0.01, [], COMPILED, marks=nightly),
    ],
)
def test_an_interrupted_training_ends_with_the_bytes_of_an_uninterrupted_one(
    tiny: Tiny,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    optimizer: str,
    rate: float,
    changes: list[tuple[str, str]],
    classes: KerasClasses,
) -> None:
    tiny.change(("epochs: 2", "epochs: 3"), *changes)
    tiny.change(("optimizer: adam ", f"optimizer: {optimizer} "), ("rate: 0.001", f"rate: {rate}"))
    monkeypatch.setattr(trainer_module, "choose_classes", lambda *_: classes)
    model, history = tiny.train("whole")
    losses = pd.read_csv(history)["loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    for epoch in (1, 2, 2):  # no epoch is kept of the first time, then one, then one more
        with counted_epochs(interrupted=epoch), pytest.raises(KeyboardInterrupt):
            tiny.train("resumed")
    assert not list((tiny.folder / "resumed").rglob("*.keras"))
    capsys.readouterr()
    with counted_epochs() as count:
        resumed = tiny.trained_bytes("resumed")
    assert count.done == 1
    assert "goes on after epoch 2" in capsys.readouterr().out
    assert resumed == [model.read_bytes(), history.read_bytes()]
    if BATCH_NORMALIZATION in changes:  # the statistics are kept
        network = build_network(tiny.architecture)
        load_weights(network, model)
        assert not np.allclose(network.get_layer("block1_conv1_normalization").moving_variance, 1)


def test_with_other_parameters_it_starts_anew_and_says_why(tiny: Tiny, capsys: Capture) -> None:
    with counted_epochs(interrupted=2), pytest.raises(KeyboardInterrupt):
        tiny.train("once")
    capsys.readouterr()
    tiny.change(("learning_rate: 0.001", "learning_rate: 0.002"))
    tiny.train("once")
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert "parameters.train.learning_rate: 0.001 there, 0.002 here" in first
    assert second.startswith("tiny  epoch 1/2")


def test_a_loss_that_is_no_number_ends_the_training(tiny: Tiny) -> None:
    tiny.change(("learning_rate: 0.001", "learning_rate: 1.0e+30"))
    with pytest.raises(TrainingError, match=r"epoch 1, batch \d+ of 16.*train\.learning_rate"):
        tiny.train("nan")
    assert not list((tiny.folder / "nan").rglob("*.*"))

"""The stage `train`: it learns, equal parameters give equal bytes, and it resumes exactly."""

import hashlib
import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from epochs import counted_epochs
from tiny_training import AUGMENTATION, change, train, trained_bytes

from convdepth.config.params import read_architecture
from convdepth.config.recipe import Optimizer
from convdepth.core.errors import DataError, MachineError, TrainingError
from convdepth.data.arrays import read_split
from convdepth.models.archive import load_weights
from convdepth.models.build import build_network
from convdepth.models.xla import COMPILED
from convdepth.training import loop

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIMIZERS = get_args(Optimizer)
FASTER = ("learning_rate: 0.001", "learning_rate: 0.01")


@pytest.fixture
def trained(tiny_params: Path, normalized: Path, tmp_path: Path) -> list[bytes]:
    return trained_bytes(tiny_params, normalized, tmp_path / "trained")


def test_it_learns_and_writes_model_history_record_and_log(
    tiny_params: Path, normalized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(tiny_params, ("epochs: 2", "epochs: 8"), FASTER)
    model, history = train(tiny_params, normalized, tmp_path)
    rows = pd.read_csv(history)
    assert list(rows.columns) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert list(rows["epoch"]) == list(range(1, 9))
    assert rows["loss"].iloc[-1] < rows["loss"].iloc[0]

    network = build_network(read_architecture("tiny", tiny_params))
    load_weights(network, model)
    images, labels = read_split(normalized, "test")
    accuracy = (network.predict(images, verbose=0).argmax(axis=1) == labels).mean()
    assert accuracy > 0.9
    assert rows["val_accuracy"].iloc[-1] == pytest.approx(accuracy, abs=1e-6)

    record = json.loads((model.parent / "tiny.numeric_class.json").read_text())
    assert record["model_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert not (tmp_path / "checkpoints" / "tiny").exists()
    lines = capsys.readouterr().out.splitlines()
    epochs = [int(re.match(r"tiny  epoch (\d)/8  loss \d", line)[1]) for line in lines]  # type: ignore[index]
    assert epochs == list(range(1, 9))


@pytest.mark.parametrize("steps", [loop.STEPS_PER_EXECUTION, 1])
def test_equal_parameters_give_equal_bytes_whatever_one_call_trains(
    tiny_params: Path,
    normalized: Path,
    tmp_path: Path,
    trained: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
) -> None:
    monkeypatch.setattr(loop, "STEPS_PER_EXECUTION", steps)
    assert trained_bytes(tiny_params, normalized, tmp_path / "again") == trained


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(
            ("optimizer: adam ", f"optimizer: {other} ")
            for other in OPTIMIZERS[1:]
            if other != "adamw"
        ),
        ("seed: 1", "seed: 2"),
        ("learning_rate: 0.001", "learning_rate: 0.002"),
        ("batch_size: 128", "batch_size: 64"),
        ("schedule: constant", "schedule: cosine"),
        ("schedule: constant", "schedule: one_cycle"),
        ("precision: float32", "precision: mixed_bfloat16"),
        ("dropout: 0.2}", "dropout: 0.3}"),
        ("dropout: 0.2}", "dropout: 0}"),
        ("validation_images: 0", "validation_images: 100"),
        ("weight_decay: 0 ", "weight_decay: 0.1 "),
        ("label_smoothing: 0 ", "label_smoothing: 0.1 "),
        ("shift: 0,", "shift: 0.1,"),
        ("rotation: 0,", "rotation: 0.05,"),
        ("zoom: 0}", "zoom: 0.1}"),
        ("dropout_scale: 1 ", "dropout_scale: 0.5 "),
        ("  tiny:\n", "  tiny:\n    dropout_scale: 0\n"),
        ("pool_size: 4\n", "pool_size: 4\n      batch_normalization: true\n"),
    ],
)
def test_each_parameter_of_the_recipe_matters(
    tiny_params: Path, normalized: Path, tmp_path: Path, trained: list[bytes], old: str, new: str
) -> None:
    change(tiny_params, (old, new))
    model, _ = trained_bytes(tiny_params, normalized, tmp_path / "changed")
    assert model != trained[0]


def test_the_dropout_scales_of_recipe_and_network_do_the_same(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    text, results = tiny_params.read_text(), []
    for scaled in (
        ("dropout_scale: 1 ", "dropout_scale: 0.5 "),
        ("  tiny:\n", "  tiny:\n    dropout_scale: 0.5\n"),
    ):
        tiny_params.write_text(text)
        change(tiny_params, scaled)
        results.append(trained_bytes(tiny_params, normalized, tmp_path / str(len(results))))
    assert results[0] == results[1]


RESUMED = {
    "float32": ([], [1]),
    "interrupted in its first epoch": ([], [0]),
    "interrupted twice": ([], [1, 3]),
    "compiled by XLA": ([], [2]),
    "bfloat16": (
        [
            ("precision: float32", "precision: mixed_bfloat16"),
            ("schedule: constant", "schedule: one_cycle"),
        ],
        [3],
    ),
    "with all that the notebook lacks": (
        [
            AUGMENTATION,
            ("weight_decay: 0 ", "weight_decay: 0.05 "),
            ("label_smoothing: 0 ", "label_smoothing: 0.1 "),
            ("pool_size: 4\n", "pool_size: 4\n      batch_normalization: true\n"),
        ],
        [2],
    ),
    **{
        optimizer: (
            [
                ("optimizer: adam ", f"optimizer: {optimizer} "),
                (FASTER[0], f"learning_rate: {0.3 if optimizer == 'sgd' else 0.01}"),
            ],
            [2],
        )
        for optimizer in OPTIMIZERS
    },
}
"""By name: changes of the recipe, and after how many epochs the training is interrupted."""


@pytest.mark.parametrize("name", RESUMED)
def test_an_interrupted_training_ends_with_the_bytes_of_an_uninterrupted_one(
    tiny_params: Path,
    normalized: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    changes, interruptions = RESUMED[name]
    change(tiny_params, ("epochs: 2", "epochs: 4"), *changes)
    if name == "compiled by XLA":
        monkeypatch.setattr(loop, "choose_classes", lambda _recipe: COMPILED)
    whole, history = train(tiny_params, normalized, tmp_path / "whole")
    losses = pd.read_csv(history)["loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    done, folder = 0, tmp_path / "resumed"
    for epochs in interruptions:
        with counted_epochs(interrupted=epochs - done + 1), pytest.raises(KeyboardInterrupt):
            train(tiny_params, normalized, folder)
        done = epochs
    assert not list(folder.rglob("*.keras"))
    capsys.readouterr()
    with counted_epochs() as count:
        resumed = trained_bytes(tiny_params, normalized, folder)
    assert count.done == 4 - done
    assert (f"goes on after epoch {done}" in capsys.readouterr().out) == (done > 0)
    assert resumed == [whole.read_bytes(), history.read_bytes()]


def test_the_statistics_of_normalizations_are_kept(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    change(tiny_params, ("pool_size: 4\n", "pool_size: 4\n      batch_normalization: true\n"))
    network = build_network(read_architecture("tiny", tiny_params))
    load_weights(network, train(tiny_params, normalized, tmp_path)[0])
    assert not np.allclose(network.get_layer("block1_conv1_normalization").moving_variance, 1)


def test_with_other_parameters_it_starts_anew_and_says_why(
    tiny_params: Path, normalized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with counted_epochs(interrupted=2), pytest.raises(KeyboardInterrupt):
        train(tiny_params, normalized, tmp_path)
    capsys.readouterr()
    change(tiny_params, ("learning_rate: 0.001", "learning_rate: 0.002"))
    train(tiny_params, normalized, tmp_path)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert "epoch 1 " in first
    assert "parameters (train.learning_rate: 0.001 there, 0.002 here)" in first
    assert second.startswith("tiny  epoch 1/2")


def test_a_loss_that_is_no_number_ends_the_training(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    change(tiny_params, ("learning_rate: 0.001", "learning_rate: 1.0e+30"))
    with pytest.raises(TrainingError, match=r"epoch 1, batch \d+ of 16.*train\.learning_rate"):
        train(tiny_params, normalized, tmp_path / "nan")
    assert not list((tmp_path / "nan").rglob("*.*"))


def test_missing_arrays_are_named(tiny_params: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_images\.npy"):
        train(tiny_params, tmp_path / "nowhere", tmp_path)


def test_a_checkpoint_that_cannot_be_written_stops_the_training(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").write_text("no folder")
    with pytest.raises(MachineError, match=r"epoch-0001\.npz: cannot be written"):
        train(tiny_params, normalized, tmp_path)

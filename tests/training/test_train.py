"""Training: the recipe, equal bytes, and what stops it."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from tiny_training import change, train

from convdepth.config.params import read_architecture, read_params
from convdepth.config.recipe import Optimizer
from convdepth.core.errors import DataError, MachineError, TrainingError
from convdepth.data.arrays import read_split
from convdepth.models.archive import load_weights
from convdepth.models.backend import keras
from convdepth.models.build import build_network
from convdepth.training import train as train_module
from convdepth.training.data import read_training_data
from convdepth.training.optimizer import learning_rate
from convdepth.training.train import build_trainer, seed_random_layers

pytestmark = pytest.mark.usefixtures("one_thread")


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def trained(tiny_params: Path, normalized: Path, tmp_path: Path) -> tuple[Path, Path]:
    return train(tiny_params, normalized, tmp_path / "trained")


def test_training_learns_to_read_drawn_digits(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    change(tiny_params, "epochs: 2", "epochs: 8")
    change(tiny_params, "learning_rate: 0.001", "learning_rate: 0.01")
    _, history = train(tiny_params, normalized, tmp_path)
    rows = pd.read_csv(history)
    assert list(rows.columns) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert list(rows["epoch"]) == list(range(1, 9))
    assert rows["val_accuracy"].iloc[-1] > 0.9
    assert rows["loss"].iloc[-1] < rows["loss"].iloc[0]


def test_the_history_validates_on_the_test_set_with_the_final_weights(
    tiny_params: Path, normalized: Path, trained: tuple[Path, Path]
) -> None:
    model, history = trained
    network = build_network(read_architecture("tiny", tiny_params))
    load_weights(network, model)
    images, labels = read_split(normalized, "test")
    accuracy = (network.predict(images, verbose=0).argmax(axis=1) == labels).mean()
    assert pd.read_csv(history)["val_accuracy"].iloc[-1] == pytest.approx(accuracy, abs=1e-6)


def test_equal_parameters_give_equal_bytes(
    tiny_params: Path, normalized: Path, tmp_path: Path, trained: tuple[Path, Path]
) -> None:
    again = train(tiny_params, normalized, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in trained]


def test_how_many_batches_are_one_call_changes_no_byte(
    tiny_params: Path,
    normalized: Path,
    tmp_path: Path,
    trained: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert train_module.STEPS_PER_EXECUTION > 1
    monkeypatch.setattr(train_module, "STEPS_PER_EXECUTION", 1)
    again = train(tiny_params, normalized, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in trained]


@pytest.mark.parametrize(
    ("old", "new"),
    [
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
        ("  tiny:\n", "  tiny:\n    dropout_scale: 0.5\n"),
        ("  tiny:\n", "  tiny:\n    dropout_scale: 0\n"),
        ("pool_size: 4\n", "pool_size: 4\n      batch_normalization: true\n"),
    ],
)
def test_each_parameter_of_the_recipe_matters(
    tiny_params: Path,
    normalized: Path,
    tmp_path: Path,
    trained: tuple[Path, Path],
    old: str,
    new: str,
) -> None:
    change(tiny_params, old, new)
    model, _ = train(tiny_params, normalized, tmp_path / "changed")
    assert model.read_bytes() != trained[0].read_bytes()


def test_the_dropout_scale_of_the_recipe_is_that_of_each_network(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_bytes(tiny_params.read_bytes())
    change(own, "  tiny:\n", "  tiny:\n    dropout_scale: 0.5\n")
    change(tiny_params, "dropout_scale: 1 ", "dropout_scale: 0.5 ")
    of_all = train(tiny_params, normalized, tmp_path / "of all")
    of_one = train(own, normalized, tmp_path / "of one")
    assert [path.read_bytes() for path in of_all] == [path.read_bytes() for path in of_one]


def rates(params: Path, schedule: str) -> np.ndarray:
    """The learning rate at each of the 2 x 10 steps, and at the one that would follow."""
    recipe = read_params(params).train.model_copy(
        update={"schedule": schedule, "batch_size": 100, "learning_rate": 0.5, "warmup": 0.25}
    )
    rate = learning_rate(recipe, images=1000)
    return np.array([float(rate(step) if callable(rate) else rate) for step in range(21)])


def test_a_constant_learning_rate(tiny_params: Path) -> None:
    assert set(rates(tiny_params, "constant")) == {0.5}


def test_a_cosine_falls_to_nothing(tiny_params: Path) -> None:
    expected = 0.25 * (1 + np.cos(np.pi * np.arange(21) / 20))
    np.testing.assert_allclose(rates(tiny_params, "cosine"), expected, atol=1e-6)


def test_one_cycle_rises_in_a_line_and_falls_along_a_cosine(tiny_params: Path) -> None:
    found = rates(tiny_params, "one_cycle")
    np.testing.assert_allclose(found[:6], 0.1 * np.arange(6), atol=1e-6)
    expected = 0.25 * (1 + np.cos(np.pi * np.arange(16) / 15))
    np.testing.assert_allclose(found[5:], expected, atol=1e-6)


def test_an_epoch_depends_on_the_seed_and_its_number_alone(
    tiny_params: Path, normalized: Path
) -> None:
    recipe = read_params(tiny_params).train
    trainer = build_tiny_trainer(tiny_params, normalized)

    def masked(epoch: int) -> np.ndarray:
        seed_random_layers(trainer, recipe.seed, epoch)
        return np.asarray(trainer(np.arange(5), training=True))

    first = masked(1)
    assert not np.array_equal(masked(2), first)
    np.testing.assert_array_equal(masked(1), first)


def test_no_two_layers_draw_the_same(tiny_params: Path, normalized: Path) -> None:
    change(tiny_params, AUGMENTATION[0], AUGMENTATION[1])
    trainer = build_tiny_trainer(tiny_params, normalized)
    seed_random_layers(trainer, 1, 1)
    layers = [*trainer.layers, *trainer.layers[-1].layers]
    generators = [getattr(layer, "generator", None) for layer in layers]
    generators += [getattr(layer, "seed_generator", None) for layer in layers]
    states = [tuple(np.asarray(each.state)) for each in generators if each is not None]
    assert len(set(states)) == len(states) == 5  # two dropouts, three augmentations


def build_tiny_trainer(params: Path, normalized: Path) -> keras.Sequential:
    recipe = read_params(params).train
    return build_trainer(
        read_architecture("tiny", params), recipe, read_training_data(normalized, recipe)
    )


AUGMENTATION = ("{shift: 0, rotation: 0, zoom: 0}", "{shift: 0.1, rotation: 0.03, zoom: 0.1}")


def test_augmentation_is_in_training_only(tiny_params: Path, normalized: Path) -> None:
    change(tiny_params, AUGMENTATION[0], AUGMENTATION[1])
    trainer = build_tiny_trainer(tiny_params, normalized)
    rows = np.arange(20)
    images, _ = read_split(normalized, "test")
    network = trainer.layers[-1]
    np.testing.assert_array_equal(
        trainer.predict(rows, verbose=0), network.predict(images[:20], verbose=0)
    )


def test_an_image_is_moved_no_further_than_was_said(tiny_params: Path, normalized: Path) -> None:
    change(tiny_params, AUGMENTATION[0], "{shift: 0.1, rotation: 0, zoom: 0}")
    take, shift, _ = build_tiny_trainer(tiny_params, normalized).layers
    white = np.ones((500, 28, 28, 1), np.float32)
    moved = np.asarray(shift(white, training=True))
    assert take.name == "rows"
    np.testing.assert_allclose(moved[:, 3:-3, 3:-3], 1, atol=1e-5)  # 2.8 pixels at most
    assert moved[:, 0].min() == moved[:, :, 0].min() == 0  # and background comes in
    means = moved.mean(axis=(1, 2, 3))
    assert 0.81 <= means.min() < 0.87  # (25.2 / 28) ** 2 = 0.81 in the corner
    assert means.max() > 0.98


def test_one_line_per_epoch_for_the_log(
    tiny_params: Path, normalized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_params, normalized, tmp_path)
    lines = lines_of(capsys)
    assert len(lines) == 2
    for number, line in enumerate(lines, start=1):
        assert re.fullmatch(
            rf"tiny  epoch {number}/2  loss \d\.\d+  accuracy 0\.\d+  val_loss \d\.\d+  "
            rf"val_accuracy 0\.\d+  [\d,]+ images/s  \d+:\d\d left",
            line,
        )


def test_a_loss_that_is_no_number_ends_the_training(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    change(tiny_params, "learning_rate: 0.001", "learning_rate: 1.0e+30")
    with pytest.raises(TrainingError, match=r"tiny: the loss is NaN in epoch 1, batch \d+ of 16"):
        train(tiny_params, normalized, tmp_path / "nan")
    assert not list((tmp_path / "nan").rglob("*.*"))


def test_missing_arrays_are_named(tiny_params: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_images\.npy"):
        train(tiny_params, tmp_path / "nowhere", tmp_path)


class Interruption(BaseException):
    """Stands for whatever ends a process: nothing in the training expects it."""


def interrupt_after(
    monkeypatch: pytest.MonkeyPatch, epochs: int, params: Path, normalized: Path, folder: Path
) -> None:
    """Train, and end it when so many epochs are done and the next one has changed the weights."""
    whole = train_module.train_epoch

    def train_epoch(*arguments: Any) -> dict[str, float]:
        row = whole(*arguments)
        if row["epoch"] > epochs:
            raise Interruption
        return row

    monkeypatch.setattr(train_module, "train_epoch", train_epoch)
    with pytest.raises(Interruption):
        train(params, normalized, folder)
    monkeypatch.undo()


@pytest.fixture
def four_epochs(tiny_params: Path) -> Path:
    change(tiny_params, "epochs: 2", "epochs: 4")
    return tiny_params


@pytest.mark.parametrize("epochs", [0, 1, 3])
@pytest.mark.parametrize(
    ("precision", "schedule"), [("float32", "constant"), ("mixed_bfloat16", "one_cycle")]
)
def test_an_interrupted_training_ends_with_the_bytes_of_an_uninterrupted_one(
    four_epochs: Path,
    normalized: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    epochs: int,
    precision: str,
    schedule: str,
) -> None:
    change(four_epochs, "precision: float32", f"precision: {precision}")
    change(four_epochs, "schedule: constant", f"schedule: {schedule}")
    whole = train(four_epochs, normalized, tmp_path / "whole")
    interrupt_after(monkeypatch, epochs, four_epochs, normalized, tmp_path / "resumed")
    assert not list((tmp_path / "resumed").rglob("*.keras"))
    capsys.readouterr()
    resumed = train(four_epochs, normalized, tmp_path / "resumed")
    first, *_ = lines_of(capsys)
    if epochs:
        assert first == f"tiny  was interrupted, and goes on after epoch {epochs}"
    else:
        assert first.startswith("tiny  epoch 1/4")
    assert [path.read_bytes() for path in resumed] == [path.read_bytes() for path in whole]


def test_two_interruptions_are_as_good_as_none(
    four_epochs: Path, normalized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(four_epochs, normalized, tmp_path / "whole")
    for epochs in (1, 3):
        interrupt_after(monkeypatch, epochs, four_epochs, normalized, tmp_path / "resumed")
    resumed = train(four_epochs, normalized, tmp_path / "resumed")
    assert [path.read_bytes() for path in resumed] == [path.read_bytes() for path in whole]


def test_with_all_that_the_notebook_does_not_have_it_is_the_same(
    four_epochs: Path, normalized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(four_epochs, *AUGMENTATION)
    change(four_epochs, "weight_decay: 0 ", "weight_decay: 0.05 ")
    change(four_epochs, "label_smoothing: 0 ", "label_smoothing: 0.1 ")
    change(four_epochs, "pool_size: 4\n", "pool_size: 4\n      batch_normalization: true\n")
    whole = train(four_epochs, normalized, tmp_path / "whole")
    interrupt_after(monkeypatch, 2, four_epochs, normalized, tmp_path / "resumed")
    resumed = train(four_epochs, normalized, tmp_path / "resumed")
    assert [path.read_bytes() for path in resumed] == [path.read_bytes() for path in whole]
    network = build_network(read_architecture("tiny", four_epochs))
    load_weights(network, resumed[0])
    moved = network.get_layer("block1_conv1_normalization").moving_variance
    assert not np.allclose(moved, 1)  # what the network has seen of the data is kept


OPTIMIZERS = get_args(Optimizer)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_is_of_weights_and_not_of_biases(
    tiny_params: Path, normalized: Path, optimizer: str
) -> None:
    change(tiny_params, "optimizer: adam ", f"optimizer: {optimizer} ")
    change(tiny_params, "weight_decay: 0 ", "weight_decay: 0.5 ")
    change(tiny_params, "pool_size: 4\n", "pool_size: 4\n      batch_normalization: true\n")
    trainer = build_tiny_trainer(tiny_params, normalized)
    built, network = trainer.optimizer, trainer.layers[-1]
    for weight in network.trainable_weights:
        weight.assign(np.ones(weight.shape))
    built.build(trainer.trainable_variables)
    built.apply([np.zeros(weight.shape, np.float32) for weight in network.trainable_weights])
    decayed = {weight.path.split("/")[-1]: float(np.min(weight)) for weight in network.weights}
    assert decayed["bias"] == decayed["gamma"] == decayed["beta"] == pytest.approx(1)
    if optimizer != "schedule_free_adamw":  # which goes back to where its average is
        assert decayed["kernel"] == pytest.approx(1 - 0.5 * 0.001)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_optimizer_learns_and_resumes_with_equal_bytes(
    four_epochs: Path,
    normalized: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
) -> None:
    change(four_epochs, "optimizer: adam ", f"optimizer: {optimizer} ")
    rate = 0.3 if optimizer == "sgd" else 0.01
    change(four_epochs, "learning_rate: 0.001", f"learning_rate: {rate}")
    whole = train(four_epochs, normalized, tmp_path / "whole")
    losses = pd.read_csv(whole[1])["loss"]
    assert losses.iloc[-1] < losses.iloc[0] - 0.1
    interrupt_after(monkeypatch, 2, four_epochs, normalized, tmp_path / "resumed")
    resumed = train(four_epochs, normalized, tmp_path / "resumed")
    assert [path.read_bytes() for path in resumed] == [path.read_bytes() for path in whole]


def test_no_two_optimizers_train_alike(tiny_params: Path, normalized: Path, tmp_path: Path) -> None:
    change(tiny_params, "weight_decay: 0 ", "weight_decay: 0.1 ")
    text, models = tiny_params.read_text(), set()
    for optimizer in OPTIMIZERS:
        tiny_params.write_text(text.replace("optimizer: adam ", f"optimizer: {optimizer} "))
        models.add(train(tiny_params, normalized, tmp_path / optimizer)[0].read_bytes())
    assert len(models) == len(OPTIMIZERS) - 1  # Adam with weight decay is AdamW


def test_muon_trains_the_dense_layer_of_the_head_alone(tiny_params: Path, normalized: Path) -> None:
    change(tiny_params, "optimizer: adam ", "optimizer: muon ")
    trainer = build_tiny_trainer(tiny_params, normalized)
    optimizer, variables = trainer.optimizer, trainer.trainable_variables
    optimizer.build(variables)
    names = {
        "/".join(each.path.split("/")[-2:])
        for each in variables
        if optimizer.adam_velocities[optimizer._get_variable_index(each)] is None
    }
    assert names == {"head_dense/kernel"}


def test_with_other_parameters_it_starts_anew_and_says_why(
    four_epochs: Path,
    normalized: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupt_after(monkeypatch, 2, four_epochs, normalized, tmp_path / "resumed")
    capsys.readouterr()
    change(four_epochs, "learning_rate: 0.001", "learning_rate: 0.002")
    train(four_epochs, normalized, tmp_path / "resumed")
    first, second, *_ = lines_of(capsys)
    assert "the checkpoint of epoch 2 in " in first
    assert "other parameters (train.learning_rate: 0.001 there, 0.002 here)" in first
    assert second.startswith("tiny  epoch 1/4")


def test_checkpoints_are_deleted_when_the_training_is_done(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    train(tiny_params, normalized, tmp_path)
    assert not (tmp_path / "checkpoints" / "tiny").exists()


def test_a_checkpoint_that_cannot_be_written_stops_the_training(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").write_text("no folder")
    with pytest.raises(MachineError, match=r"epoch-0001\.npz: cannot be written"):
        train(tiny_params, normalized, tmp_path)


def test_what_made_a_model_is_recorded_beside_it(trained: tuple[Path, Path]) -> None:
    model, _ = trained
    record = json.loads((model.parent / "tiny.numeric_class.json").read_text())
    assert record["model_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert record["threads"] == 1
    assert record["precision"] == "float32"
    assert record["onednn"] is record["deterministic"] is True
    assert record["tensorflow"].startswith("2.")
    assert record["device"]

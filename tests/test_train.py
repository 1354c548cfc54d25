"""Training: the recipe, equal bytes, and what stops it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convdepth.archive import load_weights
from convdepth.errors import DataError, ParameterError, TrainingError
from convdepth.images import read_split
from convdepth.network import build_network
from convdepth.params import read_architecture, read_params
from convdepth.train import (
    Batches,
    Subset,
    compile_network,
    main,
    read_training_data,
    seed_dropout,
    stratified_rows,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def train(params: Path, normalized: Path, folder: Path, name: str = "tiny") -> tuple[Path, Path]:
    model, history = folder / "models" / "tiny.keras", folder / "histories" / "tiny.csv"
    main(name=name, normalized=normalized, model=model, history=history, params=params)
    return model, history


def change(params: Path, old: str, new: str) -> None:
    text = params.read_text()
    assert old in text
    params.write_text(text.replace(old, new))


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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed: 1", "seed: 2"),
        ("learning_rate: 0.001", "learning_rate: 0.002"),
        ("batch_size: 128", "batch_size: 64"),
        ("precision: float32", "precision: mixed_bfloat16"),
        ("dropout: 0.2}", "dropout: 0.3}"),
        ("validation_images: 0", "validation_images: 100"),
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


def test_an_epoch_depends_on_the_seed_and_its_number_alone(
    tiny_params: Path, normalized: Path
) -> None:
    recipe = read_params(tiny_params).train
    network = compile_network(read_architecture("tiny", tiny_params), recipe)
    images, _ = read_split(normalized, "train")

    def masked(epoch: int) -> np.ndarray:
        seed_dropout(network, recipe.seed, epoch)
        return np.asarray(network(images[:5], training=True))

    first = masked(1)
    assert not np.array_equal(masked(2), first)
    np.testing.assert_array_equal(masked(1), first)


def test_dropout_layers_have_different_masks(tiny_params: Path) -> None:
    network = build_network(read_architecture("tiny", tiny_params))
    seed_dropout(network, 1, 1)
    states = [
        tuple(np.asarray(layer.seed_generator.state))
        for layer in network.layers
        if layer.name.endswith("dropout")
    ]
    assert len(set(states)) == len(states) == 2


def test_one_line_per_epoch_for_the_log(
    tiny_params: Path, normalized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_params, normalized, tmp_path)
    lines = capsys.readouterr().out.splitlines()
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
    with pytest.raises(TrainingError, match=r"tiny: the loss is nan in epoch 1, batch \d+ of 16"):
        train(tiny_params, normalized, tmp_path / "nan")
    assert not list((tmp_path / "nan").rglob("*.*"))


def test_an_unknown_name_is_refused(tiny_params: Path, normalized: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"architectures\.tinny: .*did you mean tiny\?"):
        train(tiny_params, normalized, tmp_path, "tinny")


def test_missing_arrays_are_named(tiny_params: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_images\.npy"):
        train(tiny_params, tmp_path / "nowhere", tmp_path)


def test_held_out_images_are_training_images_and_not_trained_on(
    tiny_params: Path, normalized: Path
) -> None:
    change(tiny_params, "validation_images: 0", "validation_images: 500")
    data = read_training_data(normalized, read_params(tiny_params).train)
    images, _ = read_split(normalized, "train")
    assert np.shares_memory(data.validation.images, data.training.images)
    assert len(data.validation.rows) == 500
    both = np.concatenate([data.training.rows, data.validation.rows])
    np.testing.assert_array_equal(np.sort(both), np.arange(len(images)))


@pytest.mark.parametrize("count", [10, 100, 777, 2000])
def test_held_out_images_are_stratified(normalized: Path, count: int) -> None:
    _, labels = read_split(normalized, "train")
    rows = stratified_rows(labels, count, seed=3)
    assert len(np.unique(rows)) == count
    expected = np.bincount(labels, minlength=10) * count / len(labels)
    assert np.abs(np.bincount(labels[rows], minlength=10) - expected).max() <= 1
    np.testing.assert_array_equal(rows, stratified_rows(labels, count, seed=3))
    if count < len(labels):
        assert not np.array_equal(rows, stratified_rows(labels, count, seed=4))


def test_batches_cover_the_order_once(normalized: Path) -> None:
    images, labels = read_split(normalized, "train")
    order = np.random.default_rng(0).permutation(300)
    batches = Batches(Subset(images, labels, np.arange(300)), order, 128)
    parts = [batches[index] for index in range(len(batches))]
    assert [len(part) for part, _ in parts] == [128, 128, 44]
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), images[order])
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), labels[order])

"""The images of a training: held-out images, batches of rows, and augmentation."""

from pathlib import Path

import numpy as np
import pytest
from tiny_training import AUGMENTATION, Tiny, tiny

from convdepth.config.recipe import Augmentation
from convdepth.data.arrays import read_split
from convdepth.training.data import (
    Subset,
    TakeRows,
    TrainingData,
    augmentation_layers,
    held_out,
    stratified_rows,
)

__all__ = ["tiny"]  # a fixture


@pytest.fixture
def data(tiny: Tiny) -> TrainingData:
    return tiny.read_data()


def test_held_out_images_are_not_trained_on_and_do_not_depend_on_the_seed(tiny: Tiny) -> None:
    tiny.change(("validation_images: 0", "validation_images: 500"))
    training, validation = tiny.read_data()
    assert np.shares_memory(validation.images, training.images)
    assert len(validation.rows) == 500
    both = np.concatenate([training.rows, validation.rows])
    np.testing.assert_array_equal(np.sort(both), np.arange(len(training.images)))
    tiny.change(("seed: 1", "seed: 2"))
    np.testing.assert_array_equal(validation.rows, tiny.read_data().validation.rows)


def test_few_images_are_repeated_stratified_and_never_held_out(tiny: Tiny) -> None:
    tiny.change(("validation_images: 0", "validation_images: 500\n  images: 30"))
    training, validation = tiny.read_data()
    chosen, times = np.unique(training.rows, return_counts=True)
    assert (len(chosen), len(training.rows), set(times)) == (30, 1500, {50})
    assert not np.isin(chosen, validation.rows).any()
    counts = np.bincount(training.labels[chosen], minlength=10)
    shares = np.bincount(training.labels, minlength=10) / len(training.labels)
    assert np.abs(counts - 30 * shares).max() <= 1.5
    tiny.change(("seed: 1", "seed: 2"))
    np.testing.assert_array_equal(training.rows, tiny.read_data().training.rows)


def test_at_least_one_image_of_each_class_is_held_out() -> None:
    assert [held_out(0.1, 60_000), held_out(0.001, 600)] == [6000, 10]


@pytest.mark.parametrize("count", [10, 777, 2000])
def test_held_out_images_are_stratified(normalized: Path, count: int) -> None:
    _, labels = read_split(normalized, "train")
    rows = stratified_rows(labels, count)
    assert len(np.unique(rows)) == count
    expected = np.bincount(labels, minlength=10) * count / len(labels)
    assert np.abs(np.bincount(labels[rows], minlength=10) - expected).max() <= 1


@pytest.mark.parametrize("in_memory", [False, True])
def test_rows_are_those_of_the_training_images_only_while_training(
    data: TrainingData, in_memory: bool
) -> None:
    if in_memory:
        data = TrainingData(
            *(Subset(np.array(each.images), each.labels, each.rows) for each in data)
        )
    take, rows = TakeRows(data), np.array([3, 1999, 0])
    np.testing.assert_array_equal(take(rows, training=True), data.training.images[rows])
    np.testing.assert_array_equal(take(rows), data.validation.images[rows])


def test_images_are_taken_from_the_memory_map_itself(data: TrainingData) -> None:
    taken = TakeRows(data)
    mapped = [
        line for line in Path("/proc/self/maps").read_text().splitlines() if "train_im" in line
    ]
    address = np.asarray(memoryview(taken.training_images)).ctypes.data
    bounds = [[int(each, 16) for each in line.split()[0].split("-")] for line in mapped]
    assert any(low <= address < high for low, high in bounds)


def test_augmentation_is_in_training_only(tiny: Tiny) -> None:
    tiny.change(AUGMENTATION)
    trainer = tiny.build_trainer()
    images, _ = read_split(tiny.normalized, "test")
    np.testing.assert_array_equal(
        trainer.predict(np.arange(20), verbose=0),
        trainer.layers[-1].predict(images[:20], verbose=0),
    )


def test_an_image_is_moved_no_further_than_was_said() -> None:
    (shift,) = augmentation_layers(Augmentation(shift=0.1))
    moved = np.asarray(shift(np.ones((500, 28, 28, 1), np.float32), training=True))
    np.testing.assert_allclose(moved[:, 3:-3, 3:-3], 1, atol=1e-5)  # 2.8 pixels at most
    assert moved[:, 0].min() == moved[:, :, 0].min() == 0  # and background comes in
    assert moved.mean(axis=(1, 2, 3)).max() > 0.98

"""What is trained on, and what is held out."""

from pathlib import Path

import numpy as np
import pytest

from convdepth.config.params import read_params
from convdepth.data.arrays import read_split
from convdepth.training.data import (
    Subset,
    TakeRows,
    TrainingData,
    batches,
    held_out,
    read_training_data,
    stratified_rows,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_held_out_images_are_training_images_and_not_trained_on(
    tiny_params: Path, normalized: Path
) -> None:
    text = tiny_params.read_text()
    tiny_params.write_text(text.replace("validation_images: 0", "validation_images: 500"))
    data = read_training_data(normalized, read_params(tiny_params).train)
    images, _ = read_split(normalized, "train")
    assert np.shares_memory(data.validation.images, data.training.images)
    assert len(data.validation.rows) == 500
    both = np.concatenate([data.training.rows, data.validation.rows])
    np.testing.assert_array_equal(np.sort(both), np.arange(len(images)))


@pytest.mark.parametrize(
    ("share", "images", "count"), [(0.1, 60_000, 6000), (0.1, 600, 60), (0.001, 600, 10)]
)
def test_at_least_one_image_of_each_class_is_held_out(
    share: float, images: int, count: int
) -> None:
    assert held_out(share, images) == count


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
    parts = list(batches(Subset(images, labels, np.arange(300)), order, 128).as_numpy_iterator())
    assert [len(part) for part, _ in parts] == [128, 128, 44]
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), order)
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), labels[order])


def test_rows_are_those_of_the_training_images_only_while_training(
    tiny_params: Path, normalized: Path
) -> None:
    data = read_training_data(normalized, read_params(tiny_params).train)
    take, rows = TakeRows(data), np.array([3, 1999, 0])
    np.testing.assert_array_equal(take(rows, training=True), data.training.images[rows])
    np.testing.assert_array_equal(take(rows), data.validation.images[rows])


def test_images_are_taken_from_the_memory_map_itself(tiny_params: Path, normalized: Path) -> None:
    data = read_training_data(normalized, read_params(tiny_params).train)
    taken = TakeRows(data)
    mapped = [
        line for line in Path("/proc/self/maps").read_text().splitlines() if "train_im" in line
    ]
    address = np.asarray(memoryview(taken.training_images)).ctypes.data
    bounds = [[int(each, 16) for each in line.split()[0].split("-")] for line in mapped]
    assert any(low <= address < high for low, high in bounds)


def test_arrays_in_memory_serve_as_well(normalized: Path) -> None:
    subsets = []
    for split in ("train", "test"):
        images, labels = read_split(normalized, split)
        subsets.append(Subset(np.array(images), labels, np.arange(len(labels))))
    take = TakeRows(TrainingData(*subsets))
    np.testing.assert_array_equal(take(np.arange(3)), subsets[1].images[:3])

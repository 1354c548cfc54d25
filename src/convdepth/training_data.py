"""What a network is trained on, and what the ``val_`` columns of its history are computed on."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convdepth.images import Images, Labels, read_split
from convdepth.params import Train
from convdepth.runtime import keras

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Subset:
    """Some images of a split.

    Attributes:
        images: ``(n, 28, 28, 1)``, float32, 0.0 to 1.0, all of the split, memory-mapped.
        labels: ``(n,)``, uint8, 0 to 9, all of the split.
        rows: ``(m,)``, int64, which of them belong to the subset.
    """

    images: Images
    labels: Labels
    rows: Rows


class TrainingData(NamedTuple):
    """What to train on, and what the ``val_`` columns of the history are computed on."""

    training: Subset
    validation: Subset


def read_training_data(normalized: Path, recipe: Train) -> TrainingData:
    """Choose what is trained on, and what the ``val_`` columns of the history are computed on.

    The latter is the test set, as in the notebook, unless ``validation_images`` training images
    are held out for it. Nothing is selected by these columns.

    Args:
        normalized: The folder of the normalized arrays.
        recipe: Gives ``validation_images`` and ``seed``.

    Returns:
        The training images and the validation images.

    Raises:
        DataError: The arrays are missing or damaged.
    """
    images, labels = read_split(normalized, "train")
    rows = np.arange(len(labels))
    if recipe.validation_images == 0:
        test_images, test_labels = read_split(normalized, "test")
        test = Subset(test_images, test_labels, np.arange(len(test_labels)))
        return TrainingData(Subset(images, labels, rows), test)
    held_out = stratified_rows(labels, recipe.validation_images, recipe.seed)
    rest = np.setdiff1d(rows, held_out)
    return TrainingData(Subset(images, labels, rest), Subset(images, labels, held_out))


def stratified_rows(labels: Labels, count: int, seed: int) -> Rows:
    """Draw rows so that each class has its share among them.

    Args:
        labels: ``(n,)``, 0 to 9.
        count: How many rows to draw, at most n.
        seed: Determines the draw.

    Returns:
        ``(count,)``, ascending, all different.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Evenly spaced places in a list that is sorted by class: each class in proportion.
    places = np.linspace(0, len(labels) - 1, count).round().astype(np.int64)
    return np.sort(by_class[places])


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """A subset in a given order, batch by batch.

    The images are read from the memory map as they are needed: a shuffled copy of all would cost
    each training 188 MB, and no time is won by it.
    """

    def __init__(self, subset: Subset, order: Rows, batch_size: int) -> None:
        super().__init__()
        self.subset, self.order, self.batch_size = subset, order, batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Images, Labels]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.subset.images[rows], self.subset.labels[rows]

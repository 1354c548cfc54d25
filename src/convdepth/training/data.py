"""The images of a training: which rows of a split, how batches reach the network, augmentation."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convdepth.config.dataset import NUM_CLASSES
from convdepth.config.recipe import Augmentation, Train
from convdepth.data.arrays import Images, Labels, read_split
from convdepth.models.backend import gpus, keras, tf

Rows = NDArray[np.int64]

_BLACK: dict[str, Any] = {"fill_mode": "constant", "fill_value": 0.0, "dtype": "float32"}
"""Pixels beyond the edge of an image are background."""


@dataclass(frozen=True)
class Subset:
    """The rows ``(m,)``, int64, of a split whose arrays are memory-mapped as a whole."""

    images: Images
    labels: Labels
    rows: Rows


class TrainingData(NamedTuple):
    """Images to train on, and images for the ``val_`` columns of the history."""

    training: Subset
    validation: Subset


def read_training_data(normalized: Path, recipe: Train) -> TrainingData:
    """Read the training images; validation images are the test set, or held-out training images.

    The notebook validates on the test set, and nothing is selected by it. Held-out images do not
    depend on the training's seed, so accuracies of several seeds are of the same images.
    """
    images, labels = read_split(normalized, "train")
    rows = np.arange(len(labels))
    if recipe.validation_images == 0:
        test_images, test_labels = read_split(normalized, "test")
        validation = Subset(test_images, test_labels, np.arange(len(test_labels)))
    else:
        held_out = stratified_rows(labels, recipe.validation_images)
        validation = Subset(images, labels, held_out)
        rows = np.setdiff1d(rows, held_out)
    if recipe.images is not None:
        rows = np.resize(rows[stratified_rows(labels[rows], recipe.images)], len(rows))
    return TrainingData(Subset(images, labels, rows), validation)


def stratified_rows(labels: Labels, count: int) -> Rows:
    """Return ``count`` rows, ascending, with each class in proportion; always the same rows."""
    shuffled = np.random.default_rng(1).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Evenly spaced positions in a list that is sorted by class.
    positions = np.linspace(0, len(labels) - 1, count).round().astype(np.int64)
    return np.sort(by_class[positions])


def held_out(share: float, images: int) -> int:
    """Return the number of held-out images for a share of all, at least one per class."""
    return max(NUM_CLASSES, round(share * images))


class TakeRows(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """The first layer of a training: from row numbers to images.

    A GPU holds one copy of the images; on a CPU parallel trainings share the memory map itself.
    """

    def __init__(self, data: TrainingData) -> None:
        super().__init__(name="rows", dtype="float32", trainable=False)
        training, validation = data.training.images, data.validation.images
        self.training_images = _as_tensor(training)
        is_shared = validation is training
        self.validation_images = self.training_images if is_shared else _as_tensor(validation)

    def call(self, rows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the images ``(n, 28, 28, 1)`` of rows ``(n,)``; in training, training images."""
        return tf.gather(self.training_images if training else self.validation_images, rows)


def augmentation_layers(augmentation: Augmentation) -> Iterator[keras.Layer]:
    """Build the layers that move images at random in training; none in the notebook.

    Each keeps its random state in ``generator``.
    """
    if augmentation.rotation:
        yield keras.layers.RandomRotation(augmentation.rotation, name="rotation", **_BLACK)
    if augmentation.zoom:
        yield keras.layers.RandomZoom(augmentation.zoom, name="zoom", **_BLACK)
    if shift := augmentation.shift:
        yield keras.layers.RandomTranslation(shift, shift, name="shift", **_BLACK)


def batches(subset: Subset, order: Rows, batch_size: int) -> tf.data.Dataset:
    """Return batches of rows, int64, and their labels, uint8, in the given order."""
    options = tf.data.Options()
    # Nothing needs tuning, and the tuning thread sleeps ever longer and delays the end of an epoch.
    options.autotune.enabled = False
    pairs = (order, subset.labels[order])
    return tf.data.Dataset.from_tensor_slices(pairs).batch(batch_size).with_options(options)


def _as_tensor(images: Images) -> tf.Tensor:
    if gpus() or not isinstance(images, np.memmap):
        return tf.convert_to_tensor(images)
    # A copy would cost each training 188 MB. TensorFlow refuses read-only arrays, so the file is
    # mapped copy-on-write; nothing writes to it.
    shared = np.memmap(str(images.filename), images.dtype, "c", images.offset, images.shape)
    return tf.experimental.dlpack.from_dlpack(shared.__dlpack__())

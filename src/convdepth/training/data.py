"""What a network is trained on, and what the ``val_`` columns of its history are computed on."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convdepth.config.dataset import NUM_CLASSES
from convdepth.config.recipe import Train
from convdepth.data.arrays import Images, Labels, read_split
from convdepth.models.backend import gpus, keras, tf

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


def held_out(share: float, images: int) -> int:
    """Count the images that are held out.

    Args:
        share: Of all, above 0 and below 1.
        images: How many there are.

    Returns:
        The nearest number, at least one per class.
    """
    return max(NUM_CLASSES, round(share * images))


class TakeRows(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """The first layer of a training: from row numbers to images.

    The arrays are where the network is, on a GPU as one copy, and on a CPU as the memory map
    itself, so that parallel trainings share them. What is fed are numbers, and no batch passes
    through Python.
    """

    def __init__(self, data: TrainingData) -> None:
        """Bring the arrays to where they are needed.

        Args:
            data: The images that are trained on, and those of the validation.
        """
        super().__init__(name="rows", dtype="float32", trainable=False)
        training, validation = data.training.images, data.validation.images
        self.training_images = _as_tensor(training)
        held_out = validation is training
        self.validation_images = self.training_images if held_out else _as_tensor(validation)

    def call(self, rows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Give the images of some rows.

        Args:
            rows: ``(n,)``, int64.
            training: Whether they are rows of the training images; else of those of the validation.

        Returns:
            ``(n, 28, 28, 1)``, float32, 0.0 to 1.0.
        """
        return tf.gather(self.training_images if training else self.validation_images, rows)


def batches(subset: Subset, order: Rows, batch_size: int) -> tf.data.Dataset:
    """Give rows and their labels in a given order, batch by batch.

    Args:
        subset: Has the labels.
        order: ``(n,)``, int64, rows of the subset.
        batch_size: The number of rows in each batch but the last, which may have fewer.

    Returns:
        Pairs of rows, int64, and labels, uint8.
    """
    options = tf.data.Options()
    # There is nothing to tune, and its thread, which wakes ever more rarely, can hold up the end
    # of an epoch until it does.
    options.autotune.enabled = False
    pairs = (order, subset.labels[order])
    return tf.data.Dataset.from_tensor_slices(pairs).batch(batch_size).with_options(options)


def _as_tensor(images: Images) -> tf.Tensor:
    if gpus() or not isinstance(images, np.memmap):
        return tf.convert_to_tensor(images)
    # Without a copy, which would cost each training 188 MB. TensorFlow takes no array that is
    # read-only; what it would write into this one, which it does not, would stay in this process.
    shared = np.memmap(str(images.filename), images.dtype, "c", images.offset, images.shape)
    return tf.experimental.dlpack.from_dlpack(shared.__dlpack__())

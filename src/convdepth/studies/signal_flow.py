"""How much of the image reaches each block in training mode, and how well gradients agree.

Both are measured on fresh weights with dropout on. Variance between images is signal; variance
between dropout masks, for the same image, is noise.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convdepth.data.arrays import Images, Labels
from convdepth.models.backend import keras, tf


@dataclass(frozen=True)
class Gradient:
    """The gradients of one block, over several masks and batches.

    Attributes:
        norm: Root mean square of the Euclidean norm.
        agreement: Of the labels' part, which is the gradient minus the gradient with the labels
            of other images: the mean vector's share of the mean square, 0 to 1.
    """

    norm: float
    agreement: float


def block_names(network: keras.Model) -> list[str]:
    """Return the names of a network's blocks in order."""
    names = (layer.name.partition("_")[0] for layer in network.layers)
    return [name for name in dict.fromkeys(names) if name.startswith("block")]


def signal_shares(network: keras.Model, images: Images, masks: int) -> dict[str, float]:
    """Measure the share of the variance after each block that comes from the images.

    An analysis of variance with one factor: with variance W between masks, the means over M masks
    vary between images by the signal plus W / M.

    Args:
        network: Its dropout layers must draw new masks in each call.
        images: ``(n, 28, 28, 1)``, float32, 0.0 to 1.0.
        masks: Number of masks per image, at least 2.

    Returns:
        For each block, and last ``head_dense``: the share after its dropout, 0 to 1; 0 if no
        signal is left.
    """
    places = _ends(network)
    watched = keras.Model(network.inputs[0], [layer.output for layer in places.values()])
    forward = tf.function(lambda batch: watched(batch, training=True), reduce_retracing=True)
    totals = [_Moments() for _ in places]
    for _ in range(masks):
        for total, values in zip(totals, _as_list(forward(images)), strict=True):
            total.add(np.asarray(values, np.float64).reshape(len(images), -1))
    return {name: total.share() for name, total in zip(places, totals, strict=True)}


def gradients(
    network: keras.Model, images: Images, labels: Labels, batch_size: int, batches: int
) -> dict[str, Gradient]:
    """Measure the gradients of the loss with respect to each block's weights.

    Args:
        network: Its dropout layers must draw new masks in each call.
        images: ``(n, 28, 28, 1)``, float32, 0.0 to 1.0; taken in order, and again from the front.
        labels: ``(n,)``, 0 to 9.
        batch_size: Images per gradient.
        batches: Number of gradients, at least 2.
    """
    blocks = {
        block: [
            weight
            for layer in network.layers
            if layer.name.startswith(f"{block}_")
            for weight in layer.trainable_weights
        ]
        for block in block_names(network)
    }
    differentiate = _differentiation(network, list(blocks.values()))
    whole = [_Vectors() for _ in blocks]
    of_labels = [_Vectors() for _ in blocks]
    for rows in _rows(len(images), batch_size, batches):
        pairs = differentiate(images[rows], labels[rows])
        for number, (right, wrong) in enumerate(zip(*pairs, strict=True)):
            whole[number].add(right)
            of_labels[number].add(right - wrong)
    return {
        name: Gradient(math.sqrt(every.mean_square), part.agreement())
        for name, every, part in zip(blocks, whole, of_labels, strict=True)
    }


def _differentiation(
    network: keras.Model, blocks: Sequence[Sequence[keras.Variable]]
) -> Callable[[Images, Labels], tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]]:
    """Return a function for the gradients with the labels, and with labels rolled by one."""
    weights = [[weight.value for weight in block] for block in blocks]

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]  # it has no types
    def both(images: tf.Tensor, labels: tf.Tensor) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            probabilities = network(images, training=True)  # with the same masks for both
            right, wrong = (
                tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(each, probabilities))
                for each in (labels, tf.roll(labels, 1, 0))
            )
        return tape.gradient(right, weights), tape.gradient(wrong, weights)

    def differentiate(images: Images, labels: Labels) -> Any:
        return tuple(
            [np.concatenate([np.ravel(each) for each in block], dtype=np.float64) for block in side]
            for side in both(images, labels.astype(np.int32))
        )

    return differentiate


class _Vectors:
    """Sums over vectors, for their mean square and their agreement."""

    def __init__(self) -> None:
        self.count = 0
        self.total: NDArray[np.float64] = np.zeros(1)
        self.squares = 0.0

    def add(self, vector: NDArray[np.float64]) -> None:
        self.count += 1
        self.total = self.total + vector
        self.squares += float(vector @ vector)

    @property
    def mean_square(self) -> float:
        return self.squares / self.count

    def agreement(self) -> float:
        if not self.mean_square:
            return 0.0
        of_mean = float(self.total @ self.total) / self.count**2
        # An unbiased estimate: the mean of a few vectors scatters too.
        steady = (self.count * of_mean - self.mean_square) / (self.count - 1)
        return min(1.0, max(0.0, steady / self.mean_square))


class _Moments:
    """Sums over masks, for the variances."""

    def __init__(self) -> None:
        self.count = 0
        self.total: NDArray[np.float64] = np.zeros(1)
        self.squares: NDArray[np.float64] = np.zeros(1)

    def add(self, values: NDArray[np.float64]) -> None:
        self.count += 1
        self.total = self.total + values
        self.squares = self.squares + values**2

    def share(self) -> float:
        means = self.total / self.count
        between_masks = (self.squares / self.count - means**2) * self.count / (self.count - 1)
        noise = float(between_masks.mean(axis=0).sum())
        signal = float(means.var(axis=0, ddof=1).sum()) - noise / self.count
        return max(0.0, signal) / (max(0.0, signal) + noise) if noise > 0 else float(signal > 0)


def _ends(network: keras.Model) -> dict[str, keras.Layer]:
    """Return the last layer of each block, and the head's last layer before the softmax."""
    ends = {
        name: [layer for layer in network.layers if layer.name.startswith(f"{name}_")][-1]
        for name in (*block_names(network), "head")
    }
    ends["head_dense"] = ends.pop("head")
    return ends


def _as_list(outputs: Sequence[tf.Tensor] | tf.Tensor) -> Sequence[tf.Tensor]:
    return outputs if isinstance(outputs, list | tuple) else [outputs]


def _rows(images: int, batch_size: int, batches: int) -> Iterator[NDArray[np.int64]]:
    for batch in range(batches):
        yield np.arange(batch * batch_size, (batch + 1) * batch_size) % images

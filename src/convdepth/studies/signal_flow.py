"""How much of the image reaches each block in training mode, and how well gradients agree.

Both are measured on fresh weights with dropout on; the dropout layers must draw new masks in each
call. Variance between images is signal; variance between masks, for the same image, is noise.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convdepth.data.arrays import Images, Labels
from convdepth.models.backend import keras, tf

HEAD = "head_dense"


@dataclass(frozen=True)
class Gradient:
    """The gradients of one block, over several masks and batches."""

    norm: float
    """Root mean square of the Euclidean norm."""
    agreement: float
    """Of the labels' part, which is the gradient minus the gradient with the labels of other
    images: the mean vector's share of the mean square, 0 to 1."""


def signal_shares(network: keras.Model, images: Images, masks: int) -> dict[str, float]:
    """Measure the share of the variance that comes from the images, after each block and the head.

    An analysis of variance with one factor: with variance W between masks, the means over M masks,
    at least 2 per image, vary between images by the signal plus W / M. Shares are from 0 to 1.
    """
    ends = {name: layers[-1] for name, layers in _parts(network).items()}
    watched = keras.Model(network.inputs[0], [layer.output for layer in ends.values()])
    forward = tf.function(lambda batch: watched(batch, training=True), reduce_retracing=True)
    totals = dict.fromkeys(ends, np.zeros(1))
    squares = dict.fromkeys(ends, np.zeros(1))
    for _ in range(masks):
        for name, output in zip(ends, forward(images), strict=True):
            values = np.asarray(output, np.float64).reshape(len(images), -1)
            totals[name] = totals[name] + values
            squares[name] = squares[name] + values**2
    return {name: _share(totals[name], squares[name], masks) for name in ends}


def _share(total: NDArray[np.float64], squares: NDArray[np.float64], masks: int) -> float:
    means = total / masks
    between_masks = (squares / masks - means**2) * masks / (masks - 1)
    noise = float(between_masks.mean(axis=0).sum())
    signal = float(means.var(axis=0, ddof=1).sum()) - noise / masks
    return max(0.0, signal) / (max(0.0, signal) + noise) if noise > 0 else float(signal > 0)


def gradients(
    network: keras.Model, images: Images, labels: Labels, batch_size: int, batches: int
) -> dict[str, Gradient]:
    """Measure the gradients of the loss with respect to each block's weights.

    Each of at least 2 batches gives a gradient with the labels, and one with the labels rolled by
    one. Images are taken in order, and again from the front.
    """
    weights = {
        name: [weight.value for layer in layers for weight in layer.trainable_weights]
        for name, layers in _parts(network).items()
        if name != HEAD
    }
    blocks = list(weights.values())

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]  # it has no types
    def differentiate(images: tf.Tensor, labels: tf.Tensor) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            probabilities = network(images, training=True)  # with the same masks for both
            right, wrong = (
                tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(each, probabilities))
                for each in (labels, tf.roll(labels, 1, 0))
            )
        return tape.gradient(right, blocks), tape.gradient(wrong, blocks)

    squares, part_squares = dict.fromkeys(weights, 0.0), dict.fromkeys(weights, 0.0)
    parts = dict.fromkeys(weights, np.zeros(1))
    for batch in range(batches):
        rows = np.arange(batch * batch_size, (batch + 1) * batch_size) % len(images)
        sides = differentiate(images[rows], labels[rows].astype(np.int32))
        for name, *pair in zip(weights, *sides, strict=True):
            right, wrong = map(_flatten, pair)
            part = right - wrong
            squares[name] += float(right @ right)
            parts[name] = parts[name] + part
            part_squares[name] += float(part @ part)
    return {
        name: Gradient(
            norm=math.sqrt(squares[name] / batches),
            agreement=_agreement(parts[name], part_squares[name], batches),
        )
        for name in weights
    }


def _flatten(gradient: Sequence[tf.Tensor]) -> NDArray[np.float64]:
    return np.concatenate([np.ravel(each) for each in gradient], dtype=np.float64)


def _agreement(total: NDArray[np.float64], squares: float, count: int) -> float:
    square = squares / count
    if not square:
        return 0.0
    of_mean = float(total @ total) / count**2
    # An unbiased estimate: the mean of a few vectors scatters too.
    steady = (count * of_mean - square) / (count - 1)
    return min(1.0, max(0.0, steady / square))


def _parts(network: keras.Model) -> dict[str, list[keras.Layer]]:
    """Return the layers of each block in order, and those of the head before the softmax."""
    parts = defaultdict(list)
    for layer in network.layers:
        parts[layer.name.partition("_")[0]].append(layer)
    blocks = {name: layers for name, layers in parts.items() if name.startswith("block")}
    return {**blocks, HEAD: parts["head"]}

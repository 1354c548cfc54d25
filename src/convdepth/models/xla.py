"""Steps of a training compiled by XLA: on a GPU, which else waits for the launches of kernels.

A step of a small network is some 200 kernels of a few microseconds, and launching them one by one
takes longer than they do. XLA makes a few of them. On a CPU its convolutions take ten times as long
as those of oneDNN, so there it stays off.
"""

import functools
from itertools import product
from typing import NamedTuple

from convdepth.config.recipe import Augmentation, Train
from convdepth.models.backend import gpus, keras, tf


class CompiledSequential(keras.Sequential):  # type: ignore[misc]  # Keras has no types
    """A model whose steps XLA compiles, although their sums have a fixed order.

    Keras turns XLA off there, without a word. But XLA does keep the order, and only refuses what it
    cannot do so: the gradient of a pooling, for which there is `SlicedMaxPooling2D`.
    """

    @property
    def jit_compile(self) -> bool:
        """Whether XLA compiles the steps, which it does whatever Keras sets."""
        return True

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        pass


class SlicedMaxPooling2D(keras.layers.MaxPooling2D):  # type: ignore[misc]  # Keras has no types
    """Keras's pooling of squares that do not overlap, as a maximum of strided slices.

    The values are the same. Where two of a square are equal, the gradient goes to the one that
    comes first.
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Take the maximum of each square.

        Args:
            images: ``(n, height, width, channels)``.

        Returns:
            ``(n, height // size, width // size, channels)``; what is left over at the lower and the
            right edge is dropped, as by ``padding="valid"``.
        """
        size = self.pool_size[0]
        height, width = (side // size * size for side in images.shape[1:3])
        slices = [
            images[:, row:height:size, column:width:size]
            for row, column in product(range(size), repeat=2)
        ]
        return functools.reduce(tf.maximum, slices)


class KerasClasses(NamedTuple):
    """Classes of Keras, or such that do the same in another way."""

    model: type[keras.Sequential]
    pooling: type[keras.layers.MaxPooling2D]


PLAIN = KerasClasses(keras.Sequential, keras.layers.MaxPooling2D)
COMPILED = KerasClasses(CompiledSequential, SlicedMaxPooling2D)


def choose_classes(recipe: Train) -> KerasClasses:
    """Choose what a training is built from.

    Args:
        recipe: With augmentations nothing is compiled: XLA cannot move an image by parts of pixels.

    Returns:
        `COMPILED` where there is a GPU, else `PLAIN`.
    """
    return COMPILED if gpus() and recipe.augmentation == Augmentation() else PLAIN

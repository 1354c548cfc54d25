"""XLA compiles the steps of a training on a GPU, where launching small kernels takes longest.

On a CPU XLA is off: its convolutions take ten times as long as those of oneDNN.
"""

import functools
from itertools import product
from typing import NamedTuple

from convdepth.config.recipe import Augmentation, Train
from convdepth.models.backend import gpus, keras, tf


class CompiledSequential(keras.Sequential):  # type: ignore[misc]  # Keras has no types
    """A model whose steps XLA compiles although operations are deterministic.

    Keras silently turns XLA off for deterministic operations. But XLA keeps the order of sums; it
    only refuses the gradient of a pooling, which `SlicedMaxPooling2D` avoids.
    """

    @property
    def jit_compile(self) -> bool:
        """Whether XLA compiles the steps: always, whatever Keras sets."""
        return True

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        pass


class SlicedMaxPooling2D(keras.layers.MaxPooling2D):  # type: ignore[misc]  # Keras has no types
    """Keras's pooling of squares that do not overlap, as a maximum of strided slices.

    The gradient goes to the first of equal values in a square. Incomplete squares are dropped.
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Take the maximum of each square of ``(n, height, width, channels)``."""
        size = self.pool_size[0]
        height, width = (side // size * size for side in images.shape[1:3])
        slices = [
            images[:, row:height:size, column:width:size]
            for row, column in product(range(size), repeat=2)
        ]
        return functools.reduce(tf.maximum, slices)


class KerasClasses(NamedTuple):
    """Keras classes or their XLA-compatible replacements."""

    model: type[keras.Sequential]
    pooling: type[keras.layers.MaxPooling2D]


PLAIN = KerasClasses(keras.Sequential, keras.layers.MaxPooling2D)
COMPILED = KerasClasses(CompiledSequential, SlicedMaxPooling2D)


def choose_classes(recipe: Train) -> KerasClasses:
    """Return `COMPILED` on a GPU unless images are augmented, since XLA cannot interpolate."""
    return COMPILED if gpus() and recipe.augmentation == Augmentation() else PLAIN

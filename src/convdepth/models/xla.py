"""XLA compiles the steps of a training on a GPU, where launching small kernels takes longest.

On a CPU XLA is off: its convolutions take ten times as long as those of oneDNN.
"""

from typing import NamedTuple

from convdepth.models.backend import keras
from convdepth.models.layers import TRAINED, BatchNormalization, Layers, SlicedMaxPooling2D


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


class KerasClasses(NamedTuple):
    """The class of a trainer, and those of its layers."""

    model: type[keras.Sequential]
    layers: Layers


PLAIN = KerasClasses(keras.Sequential, TRAINED)
COMPILED = KerasClasses(
    CompiledSequential,
    TRAINED._replace(normalization=BatchNormalization, pooling=SlicedMaxPooling2D),
)

"""From an `Architecture` to a Keras model; the only code that builds layers."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from convdepth.config.architecture import Architecture, Block, Convolution, Head
from convdepth.config.dataset import IMAGE_SHAPE, NUM_CLASSES
from convdepth.models.backend import keras


def build_network(
    architecture: Architecture,
    precision: str = "float32",
    seed: int = 0,
    dropout: type[keras.layers.Dropout] = keras.layers.Dropout,
    pooling: type[keras.layers.MaxPooling2D] = keras.layers.MaxPooling2D,
) -> keras.Sequential:
    """Build the network of an architecture, with fresh weights.

    The layers are named as in ``params.yaml``: ``block2`` and ``conv1`` give ``block2_conv1``.

    Args:
        architecture: What ``params.yaml`` says.
        precision: ``float32``; or ``mixed_bfloat16``, which computes in bfloat16 and keeps the
            weights and the softmax in float32.
        seed: Determines the weights, which Keras draws by Glorot's uniform rule.
        dropout: The class of the dropout layers.
        pooling: The class of the pooling layers.

    Returns:
        A model from images ``(n, 28, 28, 1)``, float32, 0.0 to 1.0, to probabilities ``(n, 10)``,
        float32.
    """
    keras.utils.set_random_seed(seed)
    build = _Builder(precision, dropout, pooling, architecture.dropout_scale)
    blocks = (build.block(name, block) for name, block in architecture.blocks.items())
    return keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE, name="images"),
            *itertools.chain.from_iterable(blocks),
            *build.head(architecture.head),
        ],
        # Keras would number what has no name, and so put into the archive what was built before.
        name="network",
    )


@dataclass(frozen=True)
class _Builder:
    """Builds layers with what all of a network have in common.

    Attributes:
        precision: Their dtype policy.
        dropout_class: The class of the dropout layers.
        pooling_class: The class of the pooling layers.
        dropout_scale: What each dropout rate is multiplied with.
    """

    precision: str
    dropout_class: type[keras.layers.Dropout]
    pooling_class: type[keras.layers.MaxPooling2D]
    dropout_scale: float

    def block(self, name: str, block: Block) -> Iterator[keras.Layer]:
        for conv_name, convolution in block.convolutions.items():
            full_name = f"{name}_{conv_name}"
            if block.batch_normalization:
                yield from self.normalized_convolution(full_name, convolution)
            else:
                yield self.convolution(full_name, convolution, activation="relu")
        if block.pools:
            yield self.pooling_class(block.pool_size, dtype=self.precision, name=f"{name}_pool")
        yield from self.dropout(name, block.dropout)

    def normalized_convolution(self, name: str, convolution: Convolution) -> Iterator[keras.Layer]:
        yield self.convolution(name, convolution, use_bias=False)  # the normalization has one
        yield keras.layers.BatchNormalization(dtype=self.precision, name=f"{name}_normalization")
        yield keras.layers.ReLU(dtype=self.precision, name=f"{name}_relu")

    def convolution(self, name: str, convolution: Convolution, **further: Any) -> keras.Layer:
        return keras.layers.Conv2D(
            convolution.filters,
            convolution.kernel_size,
            padding=convolution.padding,
            dtype=self.precision,
            name=name,
            **further,
        )

    def dropout(self, name: str, rate: float | None) -> Iterator[keras.Layer]:
        if rate is not None:
            yield self.dropout_class(
                rate * self.dropout_scale, dtype=self.precision, name=f"{name}_dropout"
            )

    def head(self, head: Head) -> Iterator[keras.Layer]:
        yield keras.layers.Flatten(dtype=self.precision, name="flatten")
        yield keras.layers.Dense(
            head.units, activation="relu", dtype=self.precision, name="head_dense"
        )
        yield from self.dropout("head", head.dropout)
        yield self.softmax()

    def softmax(self) -> keras.Layer:
        # bfloat16 has three digits: too few for probabilities whose logarithm is the loss.
        return keras.layers.Dense(
            NUM_CLASSES, activation="softmax", dtype="float32", name="softmax"
        )

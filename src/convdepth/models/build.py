"""From an `Architecture` to a Keras model.

`config.architecture.walk` lists the same layers without Keras; a test compares both.
"""

from collections.abc import Iterator
from typing import Any

from convdepth.config.architecture import Architecture, Block
from convdepth.config.dataset import IMAGE_SHAPE, NUM_CLASSES
from convdepth.models.backend import keras
from convdepth.models.layers import SAVED, Layers


def build_network(
    architecture: Architecture, precision: str = "float32", seed: int = 0, kinds: Layers = SAVED
) -> keras.Sequential:
    """Build a network with weights that Keras draws anew by Glorot's uniform rule.

    It maps images ``(n, 28, 28, 1)``, 0.0 to 1.0, to probabilities ``(n, 10)``, both float32. The
    precision ``mixed_bfloat16`` computes in bfloat16 and keeps weights and softmax in float32.
    Layers are named as in ``params.yaml``: ``block2`` and ``conv1`` give ``block2_conv1``.
    """
    keras.utils.set_random_seed(seed)
    scale = architecture.dropout_scale

    def dropped(name: str, rate: float | None) -> Iterator[keras.Layer]:
        if rate is not None:
            yield kinds.dropout(rate * scale, dtype=precision, name=f"{name}_dropout")

    layers = [keras.Input(IMAGE_SHAPE, name="images")]
    for name, block in architecture.blocks.items():
        layers += _convolutions(name, block, precision, kinds)
        if block.pools:
            layers.append(kinds.pooling(block.pool_size, dtype=precision, name=f"{name}_pool"))
        layers += dropped(name, block.dropout)
    units = architecture.head.units
    layers += [
        keras.layers.Flatten(dtype=precision, name="flatten"),
        keras.layers.Dense(units, activation="relu", dtype=precision, name="head_dense"),
        *dropped("head", architecture.head.dropout),
        # bfloat16 has three digits: too few for probabilities whose logarithm is the loss.
        keras.layers.Dense(NUM_CLASSES, activation="softmax", dtype="float32", name="softmax"),
    ]
    # Without a name Keras would number the model, and the archive would tell what was built before.
    return keras.Sequential(layers, name="network")


def _convolutions(
    block_name: str, block: Block, precision: str, kinds: Layers
) -> Iterator[keras.Layer]:
    for name, convolution in block.convolutions.items():
        full_name = f"{block_name}_{name}"
        common: dict[str, Any] = {"padding": convolution.padding, "dtype": precision}
        arguments = (convolution.filters, convolution.kernel_size)
        if not block.batch_normalization:
            yield keras.layers.Conv2D(*arguments, activation="relu", name=full_name, **common)
            continue
        yield keras.layers.Conv2D(*arguments, use_bias=False, name=full_name, **common)
        yield kinds.normalization(dtype=precision, name=f"{full_name}_normalization")
        yield keras.layers.ReLU(dtype=precision, name=f"{full_name}_relu")

"""From an `Architecture` to a Keras model; the only code that builds layers."""

from collections.abc import Iterator

from convdepth.architecture import Architecture, Block
from convdepth.images import IMAGE_SHAPE, NUM_CLASSES
from convdepth.runtime import keras


def build_network(
    architecture: Architecture,
    precision: str = "float32",
    seed: int = 0,
    dropout: type[keras.layers.Dropout] = keras.layers.Dropout,
) -> keras.Sequential:
    """Build the network of an architecture, with fresh weights.

    The layers are named as in ``params.yaml``: ``block2`` and ``conv1`` give ``block2_conv1``.

    Args:
        architecture: What ``params.yaml`` says.
        precision: ``float32``; or ``mixed_bfloat16``, which computes in bfloat16 and keeps the
            weights and the softmax in float32.
        seed: Determines the weights, which Keras draws by Glorot's uniform rule.
        dropout: The class of the dropout layers.

    Returns:
        A model from images ``(n, 28, 28, 1)``, float32, 0.0 to 1.0, to probabilities ``(n, 10)``,
        float32.
    """
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE, name="images"),
            *_block_layers(architecture, precision, dropout),
            *_head_layers(architecture, precision, dropout),
        ],
        # Keras would number what has no name, and so put into the archive what was built before.
        name="network",
    )


def _block_layers(
    architecture: Architecture, precision: str, dropout: type[keras.layers.Dropout]
) -> Iterator[keras.Layer]:
    for name, block in architecture.blocks.items():
        yield from _layers_of_block(name, block, precision, dropout)


def _layers_of_block(
    name: str, block: Block, precision: str, dropout: type[keras.layers.Dropout]
) -> Iterator[keras.Layer]:
    for conv_name, convolution in block.convolutions.items():
        yield keras.layers.Conv2D(
            convolution.filters,
            convolution.kernel_size,
            padding=convolution.padding,
            activation="relu",
            dtype=precision,
            name=f"{name}_{conv_name}",
        )
    if block.pools:
        yield keras.layers.MaxPooling2D(block.pool_size, dtype=precision, name=f"{name}_pool")
    if block.dropout is not None:
        yield dropout(block.dropout, dtype=precision, name=f"{name}_dropout")


def _head_layers(
    architecture: Architecture, precision: str, dropout: type[keras.layers.Dropout]
) -> Iterator[keras.Layer]:
    head = architecture.head
    yield keras.layers.Flatten(dtype=precision, name="flatten")
    yield keras.layers.Dense(head.units, activation="relu", dtype=precision, name="head_dense")
    if head.dropout is not None:
        yield dropout(head.dropout, dtype=precision, name="head_dropout")
    # bfloat16 has three digits: too few for probabilities whose logarithm is the loss.
    yield keras.layers.Dense(NUM_CLASSES, activation="softmax", dtype="float32", name="softmax")

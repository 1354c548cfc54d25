"""Which channels of a trained network answer to any image: those that answer to none are dead.

A ReLU that is zero for every image tells nothing of any, and for none of them a gradient comes back
through it. Where all channels of a layer are so, nothing before it learns any more.
"""

from typing import Any

from convdepth.data.arrays import Images
from convdepth.models.backend import EVALUATION_BATCH_SIZE, keras


def active_channels(network: keras.Sequential, images: Images) -> list[dict[str, Any]]:
    """Count in each layer with a ReLU the channels that are above zero for some image.

    Args:
        network: From `build_network`, with its weights.
        images: ``(n, 28, 28, 1)``, float32, 0.0 to 1.0.

    Returns:
        In order of the layers: ``layer`` (as in ``params.yaml``: ``block2_conv1``), ``channels``,
        and ``active``, how many of these are above zero somewhere in at least one image.
    """
    layers = rectified_layers(network)
    highest = [
        keras.ops.max(layer.output, axis=tuple(range(1, len(layer.output.shape) - 1)))
        for layer in layers
    ]
    values = keras.Model(network.inputs, highest).predict(
        images, batch_size=EVALUATION_BATCH_SIZE, verbose=0
    )
    return [
        {
            "layer": layer.name.removesuffix("_relu"),
            "channels": each.shape[-1],
            "active": int((each > 0).any(axis=0).sum()),
        }
        for layer, each in zip(layers, values, strict=True)
    ]


def rectified_layers(network: keras.Sequential) -> list[keras.Layer]:
    """List the layers whose output has gone through a ReLU, of their own or in a layer of its own.

    Args:
        network: From `build_network`.
    """
    return [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.ReLU)
        or getattr(layer, "activation", None) is keras.activations.relu
    ]

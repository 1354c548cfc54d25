"""Dead channels of a trained network: zero for every image.

No gradient flows back through a dead channel. If all channels of a layer are dead, no earlier
layer learns.
"""

from convdepth.data.arrays import Images
from convdepth.evaluation.results import Layer
from convdepth.models.backend import EVALUATION_BATCH_SIZE, keras


def active_channels(network: keras.Sequential, images: Images) -> list[Layer]:
    """Count the channels above zero anywhere in at least one image, for each layer with a ReLU.

    Args:
        network: From `build_network`, with its weights.
        images: ``(n, 28, 28, 1)``, float32, 0.0 to 1.0.
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
        Layer(
            layer=layer.name.removesuffix("_relu"),
            channels=each.shape[-1],
            active=int((each > 0).any(axis=0).sum()),
        )
        for layer, each in zip(layers, values, strict=True)
    ]


def rectified_layers(network: keras.Sequential) -> list[keras.Layer]:
    """Return the layers of a network whose output has gone through a ReLU."""
    return [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.ReLU)
        or getattr(layer, "activation", None) is keras.activations.relu
    ]

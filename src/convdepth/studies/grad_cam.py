"""Grad-CAM: the parts of an image that raise the score of the network's answer."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from convdepth.config.dataset import IMAGE_SHAPE
from convdepth.data.arrays import Images
from convdepth.models.backend import keras, tf

SMALLEST_MAP = 8
"""Values on a side; smaller maps are too coarse to tell the parts of a digit."""


def rectified_layers(network: keras.Sequential) -> list[keras.Layer]:
    """Return the layers of a network whose output has gone through a ReLU."""
    return [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.ReLU)
        or getattr(layer, "activation", None) is keras.activations.relu
    ]


def choose_layer(network: keras.Model) -> keras.Layer:
    """Choose the convolution for the maps: the last one with maps of `SMALLEST_MAP` or larger.

    If no map is that large, the first convolution. With batch normalization, the layer is the
    ReLU behind it: the maps before the ReLU have negative values.
    """
    convolutions = [each for each in rectified_layers(network) if len(each.output.shape) == 4]
    fine = [each for each in convolutions if each.output.shape[1] >= SMALLEST_MAP]
    return (fine or convolutions[:1])[-1]


def grad_cam(network: keras.Model, images: Images) -> NDArray[np.float32]:
    """Compute the maps of `build_grad_cam` once."""
    return build_grad_cam(network)(images)


def build_grad_cam(network: keras.Model) -> Callable[[Images], NDArray[np.float32]]:
    """Return a function from images to class activation maps (Selvaraju et al. 2017).

    Each map of the chosen layer is weighted by the mean gradient of the answer's logit; negative
    values of the weighted sum become 0. The maps are ``(n, 28, 28)``, each scaled to a maximum of
    1, or all 0.
    """
    place = network.layers.index(choose_layer(network)) + 1
    before, after, softmax = network.layers[:place], network.layers[place:-1], network.layers[-1]
    front = keras.Sequential([keras.Input(IMAGE_SHAPE), *before])
    back = keras.Sequential([keras.Input(before[-1].output.shape[1:]), *after])

    def compute(images: Images) -> NDArray[np.float32]:
        if not len(images):  # Keras's layers do not take an empty batch
            return np.zeros((0, *IMAGE_SHAPE[:2]), np.float32)
        maps = front(tf.convert_to_tensor(images), training=False)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            scores = (
                tf.matmul(back(maps, training=False), softmax.kernel.value) + softmax.bias.value
            )
            highest = tf.reduce_max(scores, axis=1)
        weights = tf.reduce_mean(tape.gradient(highest, maps), axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * maps, axis=3, keepdims=True))
        large = np.asarray(keras.ops.image.resize(heat, IMAGE_SHAPE[:2], interpolation="bilinear"))
        highest = large.max(axis=(1, 2, 3), keepdims=True)
        scaled = np.divide(large, highest, out=np.zeros_like(large), where=highest > 0)
        return np.asarray(scaled[..., 0], np.float32)

    return compute

"""Random changes of the images that a network is trained on, as layers; off in the notebook."""

from collections.abc import Iterator
from typing import Any

from convdepth.config.recipe import Augmentation
from convdepth.models.backend import keras

_BLACK: dict[str, Any] = {"fill_mode": "constant", "fill_value": 0.0, "dtype": "float32"}
"""What comes in from beyond the edge of an image is background."""


def augmentation_layers(augmentation: Augmentation) -> Iterator[keras.Layer]:
    """Build the layers that change images in training, and nothing otherwise.

    Args:
        augmentation: How far images are moved.

    Returns:
        Layers from images ``(n, 28, 28, 1)``, float32, 0.0 to 1.0, to images of the same kind, each
        with a random state in its ``generator``; none for what is 0.
    """
    if augmentation.rotation:
        yield keras.layers.RandomRotation(augmentation.rotation, name="rotation", **_BLACK)
    if augmentation.zoom:
        yield keras.layers.RandomZoom(augmentation.zoom, name="zoom", **_BLACK)
    if shift := augmentation.shift:
        yield keras.layers.RandomTranslation(shift, shift, name="shift", **_BLACK)

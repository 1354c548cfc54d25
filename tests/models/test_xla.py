"""Replacements of Keras classes for XLA; `test_loop` and `test_train` train with them."""

import numpy as np
import pytest
from tiny_training import Tiny, tiny

from convdepth.config.recipe import Augmentation
from convdepth.models import xla
from convdepth.models.backend import keras, tf
from convdepth.models.xla import COMPILED, PLAIN, KerasClasses, SlicedMaxPooling2D, choose_classes

__all__ = ["tiny"]  # a fixture

pytestmark = pytest.mark.usefixtures("one_thread")


def pooled(
    layer: type[keras.layers.MaxPooling2D], images: tf.Tensor, size: int
) -> tuple[np.ndarray, np.ndarray]:
    with tf.GradientTape() as tape:
        tape.watch(images)
        values = layer(size)(images)
        loss = tf.reduce_sum(values**2)
    return values.numpy(), tape.gradient(loss, images).numpy()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_pooling_by_slices_has_the_values_and_gradients_of_keras(size: int) -> None:
    images = tf.constant(np.random.default_rng(0).random((5, 9, 11, 3), np.float32))
    found = pooled(SlicedMaxPooling2D, images, size)
    for one, other in zip(found, pooled(keras.layers.MaxPooling2D, images, size), strict=True):
        np.testing.assert_array_equal(one, other)


def test_of_equal_values_one_alone_has_the_gradient() -> None:
    _, gradient = pooled(SlicedMaxPooling2D, tf.ones((1, 4, 4, 1)), 2)
    np.testing.assert_array_equal(gradient[0, :, :, 0], np.tile([[2, 0], [0, 0]], (2, 2)))


@pytest.mark.parametrize(("gpus", "classes"), [([], [PLAIN, PLAIN]), (["GPU"], [COMPILED, PLAIN])])
def test_only_on_a_gpu_and_only_without_augmentation(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, gpus: list[str], classes: list[KerasClasses]
) -> None:
    monkeypatch.setattr(xla, "gpus", lambda: gpus)
    augmented = tiny.recipe.model_copy(update={"augmentation": Augmentation(shift=0.1)})
    assert [choose_classes(recipe) for recipe in (tiny.recipe, augmented)] == classes

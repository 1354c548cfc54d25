"""The layers that replace Keras's compute the same."""

import numpy as np
import pytest

from convdepth.models.backend import keras, tf
from convdepth.models.layers import (
    LEVELS,
    BatchNormalization,
    EightBitDropout,
    FusedBatchNormalization,
    SlicedMaxPooling2D,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (50, 41, 8)


def masked(rate: float, seed: int = 1, dtype: str = "float32") -> np.ndarray:
    layer = EightBitDropout(rate, seed=seed, dtype=dtype)
    return np.asarray(tf.cast(layer(tf.ones(SHAPE, dtype), training=True), "float32"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_the_share_of_zeros_is_the_rate_and_the_mean_stays(rate: float, dtype: str) -> None:
    values = masked(rate, dtype=dtype)
    np.testing.assert_allclose(np.unique(values), [0, 1 / (1 - rate)], rtol=2**-8)
    for axes in [(0, 1, 2), (1, 2), (0, 2), (0, 1)]:  # as a whole, and along each axis
        shares = np.atleast_1d((values == 0).mean(axis=axes))
        deviation = np.sqrt(rate * (1 - rate) * len(shares) / values.size)
        assert np.abs(shares - rate).max() < 5 * deviation


def test_masks_follow_from_the_seed_and_are_independent() -> None:
    layer = EightBitDropout(0.5, seed=1)
    first, second = (np.asarray(layer(tf.ones(SHAPE), training=True)).ravel() for _ in range(2))
    np.testing.assert_array_equal(first, masked(0.5).ravel())
    assert not np.array_equal(first, masked(0.5, seed=2).ravel())
    # Four neighbours come from the same 32 bits.
    for one, other in [(first, second), *((first[i::4], first[i + 1 :: 4]) for i in range(3))]:
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(one.size)


def test_the_gradient_passes_where_values_were_kept() -> None:
    layer, inputs = EightBitDropout(0.6, seed=1), tf.Variable(tf.ones(SHAPE))
    with tf.GradientTape() as tape:
        outputs = layer(inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


def test_it_does_nothing_else_and_takes_extreme_rates_and_odd_shapes() -> None:
    for rate, training in [(0.5, False), (0.0, True)]:
        inputs = np.random.default_rng(0).random(SHAPE, np.float32)
        np.testing.assert_array_equal(EightBitDropout(rate)(inputs, training=training), inputs)
    assert (masked(1 - 1e-9) != 0).mean() < 20 / LEVELS
    assert EightBitDropout(0.5)(tf.ones((3, 5)), training=True).shape == (3, 5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    ("replacement", "channels"),
    [(BatchNormalization, 4), (FusedBatchNormalization, 4), (FusedBatchNormalization, 16)],
)
def test_batch_normalization_is_that_of_keras(
    replacement: type[keras.layers.BatchNormalization], channels: int, dtype: str
) -> None:
    generator = np.random.default_rng(0)
    inputs = tf.constant(generator.normal(3, 2, (8, 5, 5, channels)).astype(np.float32))
    results = []
    for kind in (keras.layers.BatchNormalization, replacement):
        gamma = keras.initializers.RandomUniform(1, 2, seed=1)
        layer = kind(momentum=0.5, dtype=dtype, gamma_initializer=gamma)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = tf.cast(layer(inputs, training=True), tf.float32)
            loss = tf.reduce_sum(outputs**3)
        gradients = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
        later = tf.cast(layer(inputs), tf.float32)
        results.append([outputs, later, *gradients, layer.moving_mean, layer.moving_variance])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-2, atol=2e-2 if "b" in dtype else 2e-3)
    for expected, found in zip(*(each[-2:] for each in results), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-3)  # without Bessel's correction


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

"""Dropout with 16 random bits a value: as Keras's, but for how the masks are drawn."""

import numpy as np
import pytest

from convdepth.models.backend import keras, tf
from convdepth.models.dropout import LEVELS, SixteenBitDropout

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (50, 41, 8)


def masked(rate: float, seed: int = 1, dtype: str = "float32") -> np.ndarray:
    layer = SixteenBitDropout(rate, seed=seed, dtype=dtype)
    return np.asarray(tf.cast(layer(tf.ones(SHAPE, dtype), training=True), "float32"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.6, 0.9])
def test_the_share_of_zeros_is_the_rate_and_the_mean_stays(rate: float, dtype: str) -> None:
    values = masked(rate, dtype=dtype)
    assert values.shape == SHAPE
    np.testing.assert_allclose(np.unique(values), [0, 1 / (1 - rate)], rtol=2**-8)
    deviation = np.sqrt(rate * (1 - rate) / values.size)
    assert abs((values == 0).mean() - rate) < 5 * deviation
    for axis in range(3):  # no part of it is spared
        others = tuple(each for each in range(3) if each != axis)
        shares = (values == 0).mean(axis=others)
        spread = np.sqrt(rate * (1 - rate) * len(shares) / values.size)
        assert np.abs(shares - rate).max() < 5 * spread


def test_masks_follow_from_the_seed() -> None:
    np.testing.assert_array_equal(masked(0.5), masked(0.5))
    assert not np.array_equal(masked(0.5), masked(0.5, seed=2))
    layer = SixteenBitDropout(0.5, seed=1)
    first, second = (np.asarray(layer(tf.ones(SHAPE), training=True)) for _ in range(2))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / np.sqrt(first.size)


def test_neighbours_are_independent() -> None:
    values = masked(0.5).ravel()  # two of them come from the same 32 bits
    assert abs(np.corrcoef(values[::2], values[1::2])[0, 1]) < 5 / np.sqrt(values.size / 2)


def test_the_gradient_passes_where_values_were_kept() -> None:
    layer, inputs = SixteenBitDropout(0.6, seed=1), tf.Variable(tf.ones(SHAPE))
    with tf.GradientTape() as tape:
        outputs = layer(inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_it_does_nothing_else(rate: float, training: bool) -> None:
    inputs = np.random.default_rng(0).random(SHAPE, np.float32)
    np.testing.assert_array_equal(SixteenBitDropout(rate)(inputs, training=training), inputs)


def test_a_rate_near_one_keeps_next_to_nothing() -> None:
    values = masked(1 - 1e-9)
    assert (values != 0).mean() < 20 / LEVELS


def test_an_odd_number_of_values_has_a_mask() -> None:
    assert SixteenBitDropout(0.5)(tf.ones((3, 5)), training=True).shape == (3, 5)


def test_it_is_a_dropout_of_keras() -> None:
    assert isinstance(SixteenBitDropout(0.5), keras.layers.Dropout)

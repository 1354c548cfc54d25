"""Dropout with 16 random bits a value: Keras's, except for how the masks are drawn."""

import numpy as np
import pytest

from convdepth.models.backend import tf
from convdepth.models.dropout import LEVELS, SixteenBitDropout

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (50, 41, 8)


def masked(rate: float, seed: int = 1, dtype: str = "float32") -> np.ndarray:
    layer = SixteenBitDropout(rate, seed=seed, dtype=dtype)
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
    layer = SixteenBitDropout(0.5, seed=1)
    first, second = (np.asarray(layer(tf.ones(SHAPE), training=True)).ravel() for _ in range(2))
    np.testing.assert_array_equal(first, masked(0.5).ravel())
    assert not np.array_equal(first, masked(0.5, seed=2).ravel())
    # Of two neighbours both come from the same 32 bits.
    for one, other in [(first, second), (first[::2], first[1::2])]:
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(one.size)


def test_the_gradient_passes_where_values_were_kept() -> None:
    layer, inputs = SixteenBitDropout(0.6, seed=1), tf.Variable(tf.ones(SHAPE))
    with tf.GradientTape() as tape:
        outputs = layer(inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


def test_it_does_nothing_else_and_takes_extreme_rates_and_odd_shapes() -> None:
    for rate, training in [(0.5, False), (0.0, True)]:
        inputs = np.random.default_rng(0).random(SHAPE, np.float32)
        np.testing.assert_array_equal(SixteenBitDropout(rate)(inputs, training=training), inputs)
    assert (masked(1 - 1e-9) != 0).mean() < 20 / LEVELS
    assert SixteenBitDropout(0.5)(tf.ones((3, 5)), training=True).shape == (3, 5)

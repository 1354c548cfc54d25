"""Intervals over seeds and images, against what is known of them."""

import numpy as np
import pytest
from convdepth.evaluation.bootstrap import RESAMPLES, mean_interval, resampled_means


def test_the_draws_centre_on_the_mean() -> None:
    values = np.random.default_rng(1).random((5, 300))
    means = resampled_means(values)
    assert means.shape == (RESAMPLES,)
    assert means.mean() == pytest.approx(values.mean(), abs=0.001)


def test_images_alone_vary_as_in_a_binomial() -> None:
    # All seeds answered alike: with 90 of 100 right, the deviation is that of 100 throws.
    right = np.repeat(np.arange(100)[None] < 90, 4, axis=0)
    assert resampled_means(right).std() == pytest.approx(np.sqrt(0.9 * 0.1 / 100), rel=0.03)


def test_seeds_alone_vary_as_their_mean_does() -> None:
    # Within a seed all images are alike: the deviation of the mean of 4 draws from 0, 0, 0, 1.
    right = np.repeat(np.array([[0], [0], [0], [1]]), 50, axis=1)
    assert resampled_means(right).std() == pytest.approx(np.sqrt(0.25 * 0.75 / 4), rel=0.03)


def test_where_nothing_varies_the_interval_has_no_width() -> None:
    assert mean_interval(np.full((5, 20), 0.25)) == (0.25, 0.25)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(60):
        by_seed = generator.normal(0.9, 0.02, (20, 1))
        by_image = generator.normal(0, 0.05, (1, 200))
        low, high = mean_interval(by_seed + by_image)
        covered += low <= 0.9 <= high
    assert covered >= 51  # 57 expected, and 51 has a chance of 2 % to be missed


def test_a_level_nearer_to_certainty_is_wider() -> None:
    values = np.random.default_rng(1).random((5, 300))
    low, high = mean_interval(values, 0.99)
    narrow_low, narrow_high = mean_interval(values)
    assert low < narrow_low < narrow_high < high


def test_equal_values_have_equal_intervals_whatever_the_order_of_the_images() -> None:
    values = np.random.default_rng(1).random((5, 300)) < 0.9
    assert mean_interval(values) == mean_interval(values[:, ::-1]) == mean_interval(values)

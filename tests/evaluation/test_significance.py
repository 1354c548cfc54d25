"""Tests and intervals of the difference of two networks, against cases computed by hand."""

from math import atan, comb, pi

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from properties import cases

from convdepth.core.errors import DataError
from convdepth.evaluation.significance import (
    LEVEL,
    Estimate,
    Paired,
    difference_over_seeds,
    holm,
    mcnemar,
    mean_over_seeds,
    pair,
    seed_range,
)


def answers(*predicted: int, labels: tuple[int, ...] = (1, 2, 3, 4)) -> pd.DataFrame:
    return pd.DataFrame({"index": range(len(labels)), "label": labels, "predicted": predicted})


def test_answers_are_counted_for_each_image_that_both_have() -> None:
    paired = pair(answers(1, 2, 0, 0), answers(1, 0, 3, 5))
    assert paired == Paired(images=4, both=1, only_first=1, only_second=1, differing=3)
    assert (paired.first_accuracy, paired.second_accuracy, paired.difference) == (0.5, 0.5, 0)
    paired = pair(answers(1, 2, 3, 4), answers(1, 0, labels=(1, 2)))
    assert paired == Paired(images=2, both=1, only_first=1, only_second=0, differing=1)


def test_other_images_are_refused() -> None:
    table = answers(1, 2, 3, 4)
    with pytest.raises(DataError, match="image 2 and 1 more"):
        pair(table, answers(1, 2, 3, 4, labels=(1, 2, 4, 3)))
    with pytest.raises(DataError):
        pair(table, table.assign(index=range(4, 8)))
    with pytest.raises(pd.errors.MergeError):
        pair(pd.concat([table] * 2), table)


def interval(only_first: int, only_second: int, images: int) -> tuple[float, float]:
    return Paired(images, 0, only_first, only_second, 0).interval


def test_the_interval_of_two_trainings_by_hand_and_its_coverage() -> None:
    # 100 images, 10 and 3 discordant: 11/102 and 4/102, a difference of -0.068627, and a standard
    # error of sqrt((0.147059 - 0.004710) / 102) = 0.037358.
    reach = 1.959964 * 0.037358
    assert interval(10, 3, 100) == pytest.approx((-0.068627 - reach, -0.068627 + reach), abs=1e-5)
    assert interval(0, 2, 2)[1] == 1
    low, high = interval(0, 0, 10_000)
    assert low < 0 < high
    drawn = np.random.default_rng(0).multinomial(1_000, [0.97, 0.02, 0.01], size=2_000)
    bounds = [interval(int(first), int(second), 1_000) for _, first, second in drawn]
    held = np.mean([low <= -0.01 <= high for low, high in bounds])
    assert 0.93 <= held <= 0.98


@pytest.mark.parametrize(
    ("values", "mean", "error", "freedom"),
    [
        # The mean squares of seeds, of images, and of the rest are all 1/4.
        ([[1, 0], [1, 1]], 3 / 4, np.sqrt(1 / 16), 1),
        # The mean squares are 1/3 of seeds, 1/3 of images, and 2/15 of the rest.
        ([[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]], 1 / 3, np.sqrt(8 / 15 / 12), 64 / 25),
        # Seeds do not differ: the error is that of the mean over the images.
        ([[1, 0, 0, 1]] * 3, 1 / 2, np.sqrt(1 / 3 / 4), np.inf),
        # One seed: images alone.
        ([[1, 0, 0, 1]], 1 / 2, np.sqrt(1 / 3 / 4), 3),
    ],
)
def test_the_mean_over_seeds_and_images_by_hand(
    values: list[list[int]], mean: float, error: float, freedom: float
) -> None:
    found = mean_over_seeds(np.array(values))
    assert (found.mean, found.error, found.freedom) == pytest.approx((mean, error, freedom))
    reach = scipy.stats.t.ppf(0.975, freedom) * error
    assert found.interval == pytest.approx((mean - reach, mean + reach))
    p = 2 * scipy.stats.t.sf(mean / error, freedom) if len(values) > 1 else None
    assert found.p == (None if p is None else pytest.approx(p))


def test_extreme_means_over_seeds() -> None:
    assert mean_over_seeds(np.array([[1, 0], [1, 1]])).p == pytest.approx(1 - 2 * atan(3) / pi)
    zeros, ones = mean_over_seeds(np.zeros((3, 4))), mean_over_seeds(np.ones((3, 4)))
    assert (zeros.p, zeros.interval) == (1, (0, 0))
    assert (ones.p, ones.interval) == (0, (1, 1))
    assert mean_over_seeds(np.array([[1]])).interval == (1, 1)


@pytest.mark.parametrize(("seed_spread", "image_spread"), [(0.5, 0.0), (0.1, 2.0), (0.0, 1.0)])
def test_mean_over_seeds_keeps_level_and_coverage(seed_spread: float, image_spread: float) -> None:
    draw = np.random.default_rng(3).normal
    studies = [
        draw(0, seed_spread, (5, 1)) + draw(0, image_spread, (1, 100)) + draw(0, 1, (5, 100))
        for _ in range(1000)
    ]
    found = [mean_over_seeds(study) for study in studies]
    # By chance alone, 32 to 70 of 1,000 in 99.9 % of such tests; images alone make it careful.
    assert np.mean([mean.p < 0.05 for mean in found]) < 0.07
    assert np.mean([mean.interval[0] <= 0 <= mean.interval[1] for mean in found]) > 0.93
    shifted = [mean_over_seeds(study + 5 * seed_spread + image_spread) for study in studies]
    assert np.mean([mean.p < 0.05 for mean in shifted]) > 0.9


@pytest.mark.parametrize(
    ("first", "second", "mean", "error", "freedom"),
    [
        # By seed 1/2 and 1 against 1/2 and 1/2: variances of the means 1/16 and 0. By image the
        # difference is 0 and -1/2, its variance 1/8, its mean's 1/16; of that, the rest adds
        # (4 * 1/16) / 4 = 1/16 for the first and (4 * 1/4) / 4 = 1/4 for the second.
        ([[1, 0], [1, 1]], [[1, 0], [0, 1]], -1 / 4, np.sqrt(1 / 16), 1),
        # Seeds do not differ: the images alone, with three and two seeds.
        ([[1, 0, 0, 1]] * 3, [[1, 1, 0, 0]] * 2, 0, np.sqrt(2 / 3 / 4), np.inf),
        # One seed of the second: the images alone.
        ([[1, 0, 0, 1]] * 3, [[1, 1, 0, 0]], 0, np.sqrt(2 / 3 / 4), 3),
    ],
)
def test_the_difference_over_nested_seeds_by_hand(
    first: list[list[int]], second: list[list[int]], mean: float, error: float, freedom: float
) -> None:
    found = difference_over_seeds(np.array(first), np.array(second))
    assert (found.mean, found.error, found.freedom) == pytest.approx((mean, error, freedom))
    assert (found.p is None) == (len(second) == 1)


def test_without_an_effect_of_images_it_is_the_test_of_welch() -> None:
    draw = np.random.default_rng(5).normal
    first, second = draw(0, 1, (4, 1)), draw(1, 3, (7, 1))
    found = difference_over_seeds(first.repeat(9, axis=1), second.repeat(9, axis=1))
    expected = scipy.stats.ttest_ind(second[:, 0], first[:, 0], equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))


@pytest.mark.parametrize("spreads", [(0.3, 0.3), (0.1, 1.0), (0.0, 0.0)])
@pytest.mark.parametrize("seeds", [(5, 5), (10, 5)])
def test_nested_differences_keep_level_and_coverage(
    seeds: tuple[int, int], spreads: tuple[float, float]
) -> None:
    draw = np.random.default_rng(4).normal
    found, shifted = [], []
    for _ in range(1000):
        images = draw(0, 1, 100)
        groups = [
            draw(0, spread, (size, 1)) + images + draw(0, 0.5, 100) + draw(0, 1, (size, 100))
            for size, spread in zip(seeds, spreads, strict=True)
        ]
        found.append(difference_over_seeds(groups[0], groups[1]))
        shifted.append(difference_over_seeds(groups[0], groups[1] + 0.4))
    # Of 8,000 such studies 4.6% reject, 5.4% with five seeds whose spreads differ tenfold.
    level = 0.08 if len(set(spreads)) > 1 and seeds == (5, 5) else 0.07
    rejected = np.mean([each.p < 0.05 for each in found])
    assert 0.03 < rejected < level
    assert np.mean([each.interval[0] <= 0 <= each.interval[1] for each in found]) == 1 - rejected
    # A true difference of the margin is found equivalent in 5% at most, no difference often.
    assert np.mean([each.equivalence_p(0.4) < 0.05 for each in shifted]) < 0.07
    assert np.mean([each.equivalence_p(5) < 0.05 for each in found]) > 0.9


def test_equivalence_is_the_ninety_percent_interval_within_the_margin() -> None:
    estimate = Estimate(mean=0.02, error=0.05, freedom=8, several_seeds=True)
    reach = 0.05 * scipy.stats.t.ppf(0.95, 8)
    assert estimate.equivalence_p(0.02 + reach) == pytest.approx(0.05)
    assert estimate.equivalence_p(0.02) == pytest.approx(0.5)
    equal = Estimate(mean=0.0, error=0.0, freedom=np.inf, several_seeds=True)
    assert (equal.p, equal.equivalence_p(0.001)) == (1, 0)
    assert Estimate(0.0, 0.1, 3, several_seeds=False).equivalence_p(0.001) is None


def test_the_range_of_two_seeds_by_hand() -> None:
    # Deviations 0.01 and 0.02, of two and of three seeds: pooled, the variance is
    # (1 * 0.0001 + 2 * 0.0004) / 3 = 0.0003, and Student's t of three degrees of freedom 3.1824.
    groups = [[0.9 - 0.01 / 2**0.5, 0.9 + 0.01 / 2**0.5], [0.93, 0.95, 0.97]]
    assert seed_range(groups) == pytest.approx(3.182446 * (2 * 0.0003) ** 0.5, rel=1e-6)
    assert seed_range([[0.9, 0.9]]) == 0
    assert seed_range([[0.9], [0.8]]) is None
    assert seed_range([]) is None


def test_holm_by_hand() -> None:
    # In order 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, and never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@st.composite
def differences(draw: st.DrawFn) -> NDArray[np.int8]:
    """Draw what one of two networks has right more, by seed and image."""
    shape = draw(st.integers(1, 5)), draw(st.integers(2, 40))
    chances = draw(st.sampled_from([(0.1, 0.8, 0.1), (0.3, 0.4, 0.3), (0, 0.9, 0.1), (0, 1, 0)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return random.choice(np.int8([-1, 0, 1]), shape, p=chances)


@cases(300)
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_symmetric_and_the_sign_test(first: int, second: int) -> None:
    p = mcnemar(first, second)
    assert 0 < p <= 1
    assert p == pytest.approx(mcnemar(second, first), rel=1e-9)
    tail = sum(comb(first + second, heads) for heads in range(min(first, second) + 1))
    assert p == pytest.approx(min(1, 2 * tail / 2 ** (first + second)), rel=1e-9)


def close(found: Estimate, expected: Estimate) -> bool:
    def limited(each: Estimate) -> list[float]:
        # Beyond a million, degrees of freedom change nothing; rounding decides on infinity.
        return [abs(each.mean), each.error, min(each.freedom, 1e6), each.p or 0]

    return limited(found) == pytest.approx(limited(expected), rel=1e-6, abs=1e-12)


@cases(200)
@given(differences())
def test_exchanged_networks_have_the_opposite_mean_and_the_same_p(values: NDArray[np.int8]) -> None:
    found, exchanged = mean_over_seeds(values), mean_over_seeds(-values)
    assert found.mean == -exchanged.mean
    assert close(found, exchanged)
    low, high = exchanged.interval
    assert found.interval == pytest.approx((-high, -low), abs=1e-12)
    if found.p is not None:
        assert (found.p < LEVEL) == (not low <= 0 <= high)


@cases(200)
@given(differences(), differences(), st.integers(0, 2**32 - 1))
def test_exchange_and_order_of_nested_seeds(
    first: NDArray[np.int8], second: NDArray[np.int8], seed: int
) -> None:
    images = min(first.shape[1], second.shape[1])
    first, second = first[:, :images], second[:, :images]
    found, exchanged = difference_over_seeds(first, second), difference_over_seeds(second, first)
    assert found.mean == pytest.approx(-exchanged.mean, abs=1e-12)
    assert close(found, exchanged)
    shuffled = np.random.default_rng(seed).permutation(second, axis=0)
    assert close(found, difference_over_seeds(first, shuffled))


@cases(200)
@given(differences(), st.integers(0, 2**32 - 1))
def test_the_order_of_seeds_and_images_does_not_matter(values: NDArray[np.int8], seed: int) -> None:
    random = np.random.default_rng(seed)
    shuffled = random.permutation(random.permutation(values, axis=0), axis=1)
    assert close(mean_over_seeds(shuffled), mean_over_seeds(values))
    assert mean_over_seeds(shuffled).mean == pytest.approx(values.mean(), abs=1e-12)

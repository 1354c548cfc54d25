"""Tests of two networks on the same images, against cases computed by hand."""

from math import atan, comb, pi

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from convdepth.core.errors import DataError
from convdepth.evaluation.significance import (
    Paired,
    difference_interval,
    holm,
    mcnemar,
    mean_p,
    pair,
    seed_range,
)


def answers(*predicted: int, labels: tuple[int, ...] = (1, 2, 3, 4)) -> pd.DataFrame:
    return pd.DataFrame({"index": range(len(labels)), "label": labels, "predicted": predicted})


def test_answers_are_counted_image_by_image() -> None:
    paired = pair(answers(1, 2, 0, 0), answers(1, 0, 3, 5))
    assert paired == Paired(images=4, both=1, only_first=1, only_second=1, differing=3)
    assert (paired.first_accuracy, paired.second_accuracy, paired.difference) == (0.5, 0.5, 0)


def test_only_images_that_both_have_are_compared() -> None:
    paired = pair(answers(1, 2, 3, 4), answers(1, 0, labels=(1, 2)))
    assert paired == Paired(images=2, both=1, only_first=1, only_second=0, differing=1)


def test_other_labels_are_other_images() -> None:
    with pytest.raises(DataError, match="image 2 and 1 more have different labels"):
        pair(answers(1, 2, 3, 4), answers(1, 2, 3, 4, labels=(1, 2, 4, 3)))


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(DataError, match="no image in common"):
        pair(answers(1, 2, 3, 4), answers(1, 2, 3, 4).assign(index=range(4, 8)))


def test_an_image_that_is_there_twice_is_refused() -> None:
    twice = pd.concat([answers(1, 2, 3, 4)] * 2)
    with pytest.raises(pd.errors.MergeError):
        pair(twice, answers(1, 2, 3, 4))


@pytest.mark.parametrize(("first", "second"), [(3, 10), (10, 3), (0, 6), (1, 1), (5, 5)])
def test_mcnemar_is_the_sign_test_of_the_discordant(first: int, second: int) -> None:
    n, k = first + second, min(first, second)
    by_hand = min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n)
    assert mcnemar(first, second) == pytest.approx(by_hand)


def test_without_a_discordant_image_there_is_no_evidence() -> None:
    assert mcnemar(0, 0) == 1


def test_the_interval_by_hand() -> None:
    # 100 images, 10 and 3 discordant: 11/102 and 4/102, a difference of -0.068627, and a standard
    # error of sqrt((0.147059 - 0.004710) / 102) = 0.037358.
    low, high = difference_interval(10, 3, 100)
    assert low == pytest.approx(-0.068627 - 1.959964 * 0.037358, abs=1e-5)
    assert high == pytest.approx(-0.068627 + 1.959964 * 0.037358, abs=1e-5)


def test_the_interval_stays_within_what_is_possible() -> None:
    assert difference_interval(0, 2, 2)[1] == 1
    low, high = difference_interval(0, 0, 10_000)
    assert low < 0 < high


def test_the_interval_holds_what_it_promises() -> None:
    """Of 2,000 draws with a known difference, about 95 % of the intervals have it."""
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(1_000, [0.97, 0.02, 0.01], size=2_000)
    bounds = [difference_interval(int(first), int(second), 1_000) for _, first, second in drawn]
    held = np.mean([low <= -0.01 <= high for low, high in bounds])
    assert 0.93 <= held <= 0.98


def test_the_mean_over_seeds_and_images_by_hand() -> None:
    # Mean 3/4; the mean squares of seeds, of images, and of the rest are all 1/4. So the square of
    # the standard error is 1/4 / 4, t is 3, and there is one degree of freedom: Cauchy's p.
    assert mean_p(np.array([[1, 0], [1, 1]])) == pytest.approx(1 - 2 * atan(3) / pi)


def test_images_that_differ_count_beside_seeds_that_do() -> None:
    # Mean 1/3; the mean squares are 1/3 of seeds (1/2 and 1/6), 1/3 of images (1, 1/2, 1/2, and 0
    # three times), and 2/15 of the rest. So the square of the standard error is 8/15 / 12, and the
    # degrees of freedom are (8/15)**2 / (1/3)**2.
    p = mean_p(np.array([[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]]))
    assert p == pytest.approx(2 * scipy.stats.t.sf((1 / 3) / np.sqrt(2 / 45), 64 / 25))


def test_one_seed_tells_nothing_of_others_and_no_difference_is_none() -> None:
    assert mean_p(np.array([[1, 0, 1]])) is None
    assert mean_p(np.zeros((3, 4))) == 1
    assert mean_p(np.ones((3, 4))) == 0


@pytest.mark.parametrize(("seed_spread", "image_spread"), [(0.5, 0.0), (0.1, 2.0), (0.0, 1.0)])
def test_the_mean_over_seeds_and_images_holds_its_level(
    seed_spread: float, image_spread: float
) -> None:
    draw = np.random.default_rng(3).normal
    studies = [
        draw(0, seed_spread, (5, 1)) + draw(0, image_spread, (1, 100)) + draw(0, 1, (5, 100))
        for _ in range(1000)
    ]
    found = [mean_p(study) or 0.0 for study in studies]
    # By chance alone, 32 to 70 of 1,000 in 99.9 % of such tests; images alone make it careful.
    assert np.mean(np.array(found) < 0.05) < 0.07
    shifted = [mean_p(study + 5 * seed_spread + image_spread) or 0.0 for study in studies]
    assert np.mean(np.array(shifted) < 0.05) > 0.9


def test_two_seeds_differ_by_so_much() -> None:
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
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []

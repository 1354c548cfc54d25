"""Laws that hold for the statistics of any answers."""

from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from properties import cases

from convdepth.evaluation import metrics, significance

P_VALUES = st.lists(st.floats(0, 1), max_size=8)
COUNTS = st.integers(0, 300)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def predictions(draw: st.DrawFn) -> pd.DataFrame:
    """Draw predictions of up to 60 images, with few or many classes among them."""
    random, images = np.random.default_rng(draw(SEEDS)), draw(st.integers(1, 60))
    classes = draw(st.integers(1, 10))
    return pd.DataFrame(
        {
            "index": range(images),
            **{name: random.integers(classes, size=images) for name in ("label", "predicted")},
            "second": random.integers(10, size=images),
            "probability": random.uniform(0.1, 1, images).round(draw(st.integers(0, 6))),
            "loss": random.uniform(0, 16, images),
        }
    )


@st.composite
def differences(draw: st.DrawFn) -> NDArray[np.int8]:
    """Draw what one of two networks has right more, by seed and image."""
    shape = draw(st.integers(1, 5)), draw(st.integers(2, 40))
    chances = draw(st.sampled_from([(0.1, 0.8, 0.1), (0.3, 0.4, 0.3), (0, 0.9, 0.1), (0, 1, 0)]))
    return np.random.default_rng(draw(SEEDS)).choice(np.int8([-1, 0, 1]), shape, p=chances)


@cases(300)
@given(P_VALUES)
def test_holm_is_at_least_p_at_most_1_and_keeps_the_order(p_values: list[float]) -> None:
    corrected = significance.holm(p_values)
    assert all(p <= each <= 1 for p, each in zip(p_values, corrected, strict=True))
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    in_order = [corrected[place] for place in order]
    assert in_order == sorted(in_order)
    assert significance.holm([p_values[place] for place in order]) == in_order
    if p_values:
        assert min(corrected) == min(1, len(p_values) * min(p_values))


@cases(300)
@given(COUNTS, COUNTS)
def test_mcnemar_is_symmetric_and_the_sign_test(first: int, second: int) -> None:
    p = significance.mcnemar(first, second)
    assert 0 < p <= 1
    assert p == pytest.approx(significance.mcnemar(second, first), rel=1e-9)
    tail = sum(comb(first + second, heads) for heads in range(min(first, second) + 1))
    assert p == pytest.approx(min(1, 2 * tail / 2 ** (first + second)), rel=1e-9)


@cases(300)
@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_the_interval_of_two_is_mirrored(both: int, first: int, second: int, neither: int) -> None:
    assume(images := both + first + second + neither)
    one, other = (
        significance.Paired(images, both, first, second, 0),
        significance.Paired(images, both, second, first, 0),
    )
    low, high = one.interval
    assert -1 <= low < high <= 1
    assert (-high, -low) == pytest.approx(other.interval)
    assert one.difference == -other.difference


@cases(60)
@given(predictions(), SEEDS)
def test_a_pair_counts_each_image_once_in_any_order(table: pd.DataFrame, seed: int) -> None:
    other = table.assign(predicted=table["second"])
    found, swapped = significance.pair(table, other), significance.pair(other, table)
    assert found == significance.pair(table, other.sample(frac=1, random_state=seed))
    assert (found.only_first, found.only_second) == (swapped.only_second, swapped.only_first)
    assert found.both + max(found.only_first, found.only_second) <= found.images == len(table)
    assert found.only_first + found.only_second <= found.differing
    assert found.first_accuracy == pytest.approx(metrics.score(table).accuracy, abs=1e-6)


def close(found: significance.SeedsMean, expected: significance.SeedsMean) -> bool:
    def limited(each: significance.SeedsMean) -> list[float]:
        # Beyond a million, degrees of freedom change nothing; rounding decides on infinity.
        return [abs(each.mean), each.error, min(each.freedom, 1e6), each.p or 0]

    return limited(found) == pytest.approx(limited(expected), rel=1e-6, abs=1e-12)


@cases(200)
@given(differences())
def test_exchanged_networks_have_the_opposite_mean_and_the_same_p(values: NDArray[np.int8]) -> None:
    found, exchanged = significance.mean_over_seeds(values), significance.mean_over_seeds(-values)
    assert found.mean == -exchanged.mean
    assert close(found, exchanged)
    low, high = exchanged.interval
    assert found.interval == pytest.approx((-high, -low), abs=1e-12)
    if found.p is not None:
        assert (found.p < significance.LEVEL) == (not low <= 0 <= high)


@cases(200)
@given(differences(), SEEDS)
def test_the_order_of_seeds_and_images_does_not_matter(values: NDArray[np.int8], seed: int) -> None:
    random = np.random.default_rng(seed)
    shuffled = random.permutation(random.permutation(values, axis=0), axis=1)
    assert close(significance.mean_over_seeds(shuffled), significance.mean_over_seeds(values))
    assert significance.mean_over_seeds(shuffled).mean == pytest.approx(values.mean(), abs=1e-12)


@cases(100)
@given(predictions())
def test_shares_of_any_predictions_are_consistent(table: pd.DataFrame) -> None:
    found = metrics.score(table)
    assert 0 <= found.accuracy_low <= found.accuracy <= found.accuracy_high <= 1
    assert found.accuracy <= found.top2_accuracy <= 1
    bins = metrics.reliability(table)
    assert sum(each.images for each in bins) == len(table)
    mean = sum(each.accuracy * each.images for each in bins) / len(table)
    assert mean == pytest.approx(found.accuracy, abs=1e-5)
    assert 0 <= metrics.calibration_error(bins) <= 1


@cases(100)
@given(predictions())
def test_the_sums_of_a_confusion_matrix_are_the_counts(table: pd.DataFrame) -> None:
    matrix = metrics.confusion_matrix(table)
    for axis, column in ((1, "label"), (0, "predicted")):
        counts = np.bincount(table[column], minlength=10)
        np.testing.assert_array_equal(matrix.sum(axis=axis), counts)
    right = int((table["label"] == table["predicted"]).sum())
    assert (np.trace(matrix), matrix.sum()) == (right, len(table))
    by_digit = metrics.class_scores(table)
    recalled = sum((each["recall"] or 0) * (each["images"] or 0) for each in by_digit)
    assert recalled == pytest.approx(right, abs=1e-3)
    for each in by_digit:
        if each["precision"] and each["recall"]:
            low, high = sorted([each["precision"], each["recall"]])
            assert low - 1e-6 <= (each["f1"] or 0) <= high + 1e-6

"""Metrics, against cases that were worked out by hand."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn import CLASS_COUNTS

from convdepth.evaluation.class_prior import prior_loss
from convdepth.evaluation.metrics import (
    BINS,
    calibration_error,
    class_scores,
    confusion_matrix,
    rank_failures,
    reliability,
    score,
)


def predictions(label: Any, predicted: Any, loss: Any = 0.5) -> pd.DataFrame:
    label, predicted = np.asarray(label, int), np.asarray(predicted, int)
    columns = {"index": np.arange(len(label)), "label": label, "predicted": predicted}
    return pd.DataFrame(columns | {"second": (predicted + 1) % 10, "loss": loss})


def counted(correct: int, images: int) -> pd.DataFrame:
    """So many answers, of which so many are right, spread over all digits."""
    number = np.arange(images)
    label = number % 10
    return predictions(label, np.where(number < correct, label, label + 1 + number // 10 % 9) % 10)


@pytest.mark.parametrize(
    ("correct", "low", "high"),
    # The intervals that the field notes give for the notebook's accuracies; and the ends.
    [(9916, 0.9896, 0.9932), (9890, 0.9868, 0.9909), (10_000, 0.9996, 1), (0, 0, 0.0004)],
)
def test_the_interval_is_wilsons(correct: int, low: float, high: float) -> None:
    result = score(counted(correct, 10_000))
    assert result.accuracy == correct / 10_000
    assert (round(result.accuracy_low, 4), round(result.accuracy_high, 4)) == (low, high)


def test_loss_is_a_mean_and_the_second_answer_counts_for_top2() -> None:
    result = score(predictions([1, 2, 3, 4], [1, 1, 1, 3], loss=[0.1, 0.2, 0.6, 0.1]))
    assert (result.images, result.loss, result.top2_accuracy) == (4, 0.25, 0.75)


TENTHS = np.arange(1000) % 10


@pytest.mark.parametrize(
    ("table", "status"),
    [
        (predictions(TENTHS, [1] * 1000), "collapsed"),
        (predictions(TENTHS, [7] * 990 + [1] * 10), "collapsed"),
        (predictions(TENTHS, [7] * 980 + [1] * 20), "near chance"),
        (predictions(*np.random.default_rng(0).integers(10, size=(2, 5000))), "near chance"),
        (counted(250, 1000), "ok"),
    ],
)
def test_the_status_tells_what_was_learned(table: pd.DataFrame, status: str) -> None:
    result = score(table)
    assert result.status == status
    assert result.answer_share == (table["predicted"] == result.answer).mean()


def test_class_scores_by_hand() -> None:
    table = predictions([3, 3, 3, 5, 5, 8], [3, 3, 5, 5, 5, 5])
    matrix = confusion_matrix(table)  # labels in rows, answers in columns
    assert (matrix.shape, matrix.sum()) == ((10, 10), 6)
    assert (matrix[3, 3], matrix[3, 5], matrix[5, 5], matrix[8, 5]) == (2, 1, 2, 1)
    found = {
        row["digit"]: (row["images"], row["precision"], row["recall"], row["f1"])
        for row in class_scores(table)
    }
    assert list(found) == list(range(10))
    assert found[3] == (3, 1.0, 0.666667, 0.8)
    assert found[5] == (2, 0.5, 1.0, 0.666667)
    assert found[8] == (1, None, 0.0, 0.0)  # never answered
    assert found[0] == (0, None, None, None)  # neither answered nor there


def test_the_prior_loss_of_mnist_is_the_loss_of_the_notebooks_deepest_network() -> None:
    labels = {split: np.repeat(np.arange(10), counts) for split, counts in CLASS_COUNTS.items()}
    assert prior_loss(labels["train"], labels["test"]) == 2.301019
    unseen = prior_loss(np.array([0, 1], np.uint8), np.array([2], np.uint8))
    assert unseen == pytest.approx(-math.log(1e-7))


def said(*rows: tuple[float, bool]) -> pd.DataFrame:
    """Answers of which each has a probability, and is right or not."""
    table = predictions([1] * len(rows), [1 if right else 2 for _, right in rows])
    return table.assign(probability=[probability for probability, _ in rows])


def test_the_calibration_error_by_hand() -> None:
    assert calibration_error(reliability(said(*[(0.75, True)] * 3, (0.75, False)))) == 0
    # Of the three in the last of 15 ranges, with a mean probability of 0.98, two are right; the
    # one of 0.5 is right: 3/4 of |0.98 - 2/3| and 1/4 of |0.5 - 1|.
    bins = reliability(said((0.98, True), (0.96, True), (1.0, False), (0.5, True)))
    assert calibration_error(bins) == pytest.approx(0.75 * (0.98 - 2 / 3) + 0.25 * 0.5, abs=1e-6)
    assert [tuple(dict(each).values()) for each in bins] == [(1, 0.5, 1.0), (3, 0.98, 0.666667)]
    edges = [number / BINS for number in range(1, BINS + 1)]  # each is in one range
    bins = reliability(said(*[(edge, True) for edge in edges], (0.0, False)))
    assert [each.images for each in bins] == [2, *[1] * (BINS - 1)]


def test_the_hardest_are_those_that_most_get_wrong_and_then_the_costliest() -> None:
    tables = {
        "a": predictions([1, 2, 3, 4], [1, 0, 0, 4], [0.1, 2.0, 3.0, 0.1]),
        "b": predictions([1, 2, 3, 4], [1, 2, 0, 0], [0.1, 0.1, 1.0, 5.0]),
        "c": predictions([1, 2, 3, 4], [1, 2, 5, 4], [0.1, 0.1, 1.0, 0.1]),
    }
    found = rank_failures(tables)
    assert found["index"].tolist() == [2, 3, 1]  # all get the first image right
    assert found["failing"].tolist() == [3, 1, 1]
    assert found["loss"].tolist() == [1.666667, 1.733333, 0.733333]
    assert found["answers"].iloc[0] == {"a": 0, "b": 0, "c": 5}

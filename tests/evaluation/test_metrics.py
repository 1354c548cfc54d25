"""Scores, against cases that were worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from convdepth.evaluation.class_prior import prior_loss
from convdepth.evaluation.metrics import class_scores, confusion_matrix, score


def predictions(label: list[int], predicted: list[int], loss: float = 0.5) -> pd.DataFrame:
    second = [(digit + 1) % 10 for digit in predicted]
    table = {"label": label, "predicted": predicted, "second": second, "loss": loss}
    return pd.DataFrame(table)


def counted(correct: int, images: int) -> pd.DataFrame:
    """So many answers, of which so many are right, spread over all digits."""
    label = np.arange(images) % 10
    wrong = (label + 1 + np.arange(images) // 10 % 9) % 10
    predicted = np.where(np.arange(images) < correct, label, wrong)
    return predictions(list(label), list(predicted))


@pytest.mark.parametrize(
    ("correct", "low", "high"),
    # The intervals that the field notes give for the notebook's accuracies.
    [(9916, 0.9896, 0.9932), (9890, 0.9868, 0.9909)],
)
def test_the_interval_is_wilsons(correct: int, low: float, high: float) -> None:
    result = score(counted(correct, 10_000))
    assert result.accuracy == correct / 10_000
    assert (round(result.accuracy_low, 4), round(result.accuracy_high, 4)) == (low, high)


@pytest.mark.parametrize(("correct", "end"), [(10_000, "accuracy_high"), (0, "accuracy_low")])
def test_the_interval_stays_within_0_and_1(correct: int, end: str) -> None:
    result = score(counted(correct, 10_000))
    assert getattr(result, end) == result.accuracy
    assert 0 <= result.accuracy_low < result.accuracy_high <= 1


def test_a_label_counts_if_it_is_one_of_the_two_most_probable_answers() -> None:
    assert score(predictions([1, 2, 3, 4], [1, 1, 1, 3])).top2_accuracy == 0.75


def test_loss_is_the_mean() -> None:
    table = predictions([1, 2, 3], [1, 2, 3])
    table["loss"] = [0.1, 0.2, 0.6]
    assert score(table).loss == pytest.approx(0.3)


def test_no_prediction_has_no_score() -> None:
    with pytest.raises(ValueError, match="at least one prediction"):
        score(predictions([], []))


def test_a_network_that_answers_one_digit_has_collapsed() -> None:
    label = list(np.arange(1000) % 10)
    result = score(predictions(label, [1] * 1000))
    assert (result.status, result.answer, result.answer_share) == ("collapsed", 1, 1.0)


def test_a_network_that_nearly_always_answers_one_digit_has_collapsed() -> None:
    label = list(np.arange(1000) % 10)
    assert score(predictions(label, [7] * 990 + [1] * 10)).status == "collapsed"
    assert score(predictions(label, [7] * 980 + [1] * 20)).status == "near chance"


def test_shuffled_labels_are_near_chance() -> None:
    random = np.random.default_rng(0)
    label, predicted = random.integers(10, size=(2, 5000))
    assert score(predictions(list(label), list(predicted))).status == "near chance"


def test_a_poor_network_that_has_learned_something_is_ok() -> None:
    assert score(counted(250, 1000)).status == "ok"


def test_confusion_has_labels_in_rows_and_answers_in_columns() -> None:
    matrix = confusion_matrix(predictions([3, 3, 3, 8], [3, 5, 5, 8]))
    assert matrix.shape == (10, 10)
    assert matrix.sum() == 4
    assert (matrix[3, 3], matrix[3, 5], matrix[8, 8]) == (1, 2, 1)


def test_class_scores_by_hand() -> None:
    table = predictions([3, 3, 3, 5, 5, 8], [3, 3, 5, 5, 5, 5])
    scores = class_scores(table)
    assert [entry["digit"] for entry in scores] == list(range(10))
    assert scores[3] == {
        "digit": 3,
        "images": 3,
        "precision": 1.0,
        "recall": round(2 / 3, 6),
        "f1": 0.8,
    }
    assert scores[5] == {
        "digit": 5,
        "images": 2,
        "precision": 0.5,
        "recall": 1.0,
        "f1": round(2 / 3, 6),
    }
    # 8 was never answered, 0 neither answered nor there.
    assert (scores[8]["precision"], scores[8]["recall"], scores[8]["f1"]) == (None, 0.0, 0.0)
    assert (scores[0]["precision"], scores[0]["recall"], scores[0]["f1"]) == (None, None, None)


def test_the_prior_loss_of_mnist_is_what_the_notebooks_deepest_network_has() -> None:
    from drawn import CLASS_COUNTS

    labels = {split: np.repeat(np.arange(10), counts) for split, counts in CLASS_COUNTS.items()}
    assert prior_loss(labels["train"], labels["test"]) == 2.301019


def test_a_digit_that_never_occurs_in_training_has_infinite_loss() -> None:
    assert prior_loss(np.array([0, 1], np.uint8), np.array([2], np.uint8)) == math.inf

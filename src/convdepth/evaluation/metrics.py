"""What a list of predictions says about the network that made them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from convdepth.config.dataset import NUM_CLASSES

Status = Literal["ok", "collapsed", "near chance"]

COLLAPSED_SHARE = 0.99
"""A network that gives one answer to at least this share of the images has collapsed."""


@dataclass(frozen=True)
class Score:
    """How good the predictions are as a whole.

    Attributes:
        images: How many there are.
        accuracy: Share of right answers, 0 to 1.
        accuracy_low: Lower end of the accuracy's 95 % interval after Wilson (1927).
        accuracy_high: Its upper end.
        top2_accuracy: Share of images whose label is among the two most probable answers, 0 to 1.
        loss: Mean cross-entropy in nats.
        status: ``collapsed``: nearly all answers are the same; ``near chance``: not better than
            always giving the most frequent label, as after shuffling the labels; else ``ok``.
        answer: The most frequent answer, 0 to 9.
        answer_share: How frequent it is, 0 to 1.
    """

    images: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    top2_accuracy: float
    loss: float
    status: Status
    answer: int
    answer_share: float


def score(predictions: pd.DataFrame) -> Score:
    """Score predictions.

    Args:
        predictions: One row per image with label, predicted and second (0 to 9), and loss (nats).

    Returns:
        The score; floats are rounded to six digits.

    Raises:
        ValueError: There is no row.
    """
    if predictions.empty:
        raise ValueError("expected at least one prediction, got none")
    images = len(predictions)
    correct = int((predictions["label"] == predictions["predicted"]).sum())
    interval = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    second = int((predictions["label"] == predictions["second"]).sum())
    answers = predictions["predicted"].value_counts(normalize=True)
    return Score(
        images=images,
        accuracy=round(correct / images, 6),
        accuracy_low=round(float(interval.low), 6),
        accuracy_high=round(float(interval.high), 6),
        top2_accuracy=round((correct + second) / images, 6),
        loss=round(float(predictions["loss"].mean()), 6),
        status=learning_status(predictions),
        answer=int(answers.index[0]),
        answer_share=round(float(answers.iloc[0]), 6),
    )


def learning_status(predictions: pd.DataFrame) -> Status:
    """Tell whether a network has learned anything.

    Args:
        predictions: One row per image with label and predicted, 0 to 9.
    """
    correct = int((predictions["label"] == predictions["predicted"]).sum())
    interval = binomtest(correct, len(predictions)).proportion_ci(0.95, method="wilson")
    if predictions["predicted"].value_counts(normalize=True).iloc[0] >= COLLAPSED_SHARE:
        return "collapsed"
    chance = predictions["label"].value_counts(normalize=True).iloc[0]
    return "near chance" if interval.low <= chance else "ok"


def confusion_matrix(predictions: pd.DataFrame) -> NDArray[np.int64]:
    """Count the images by label and answer.

    Args:
        predictions: One row per image with label and predicted, 0 to 9.

    Returns:
        ``(10, 10)``, int64: in row i and column j the images of digit i that were called j.
    """
    matrix = np.zeros((NUM_CLASSES, NUM_CLASSES), np.int64)
    np.add.at(matrix, (predictions["label"].to_numpy(), predictions["predicted"].to_numpy()), 1)
    return matrix


def class_scores(predictions: pd.DataFrame) -> list[dict[str, float | int | None]]:
    """Score each digit.

    Args:
        predictions: One row per image with label and predicted, 0 to 9.

    Returns:
        For each digit in order: digit, images, precision, recall and f1 (0 to 1, six digits).
        What is undefined, such as the precision of an answer that was never given, is None.
    """
    matrix = confusion_matrix(predictions)
    right, labelled, answered = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    return [
        {
            "digit": digit,
            "images": int(labelled[digit]),
            "precision": _ratio(right[digit], answered[digit]),
            "recall": _ratio(right[digit], labelled[digit]),
            "f1": _ratio(2 * right[digit], labelled[digit] + answered[digit]),
        }
        for digit in range(NUM_CLASSES)
    ]


def _ratio(part: int, whole: int) -> float | None:
    return round(float(part / whole), 6) if whole else None

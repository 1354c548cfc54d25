"""Metrics of predictions, which are a table from `answers.predict`, one row per image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from convdepth.config.dataset import NUM_CLASSES
from convdepth.evaluation.result_file import Loss, Result, Share

Status = Literal["ok", "collapsed", "near chance"]

COLLAPSED_SHARE = 0.99
"""A network that gives one answer to at least this share of the images has collapsed."""

BINS = 15
"""Number of equal ranges of the probabilities from 0 to 1 (Naeini et al. 2015)."""


@dataclass(frozen=True)
class Score:
    """Metrics of all predictions of a network: shares from 0 to 1, loss in nats, six digits.

    The bounds of the accuracy are its 95% interval over images (Wilson 1927). `top2_accuracy`
    counts labels among the two most probable answers; `answer` is the most frequent answer.
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


class Bin(Result):
    """A range of probabilities: number of images, mean probability and accuracy."""

    images: int
    probability: Share
    accuracy: Share


class Scores(Result):
    """The scores of one training of a study on the test set: ``<seed>.scores.json``."""

    accuracy: Share
    loss: Loss
    status: Status
    calibration_error: Share
    reliability: list[Bin]


def score_training(predictions: pd.DataFrame) -> Scores:
    """Score the predictions of one training of a study."""
    total, bins = score(predictions), reliability(predictions)
    return Scores(
        accuracy=total.accuracy,
        loss=total.loss,
        status=total.status,
        calibration_error=calibration_error(bins),
        reliability=bins,
    )


def score(predictions: pd.DataFrame) -> Score:
    """Score predictions, at least one, by their columns label, predicted, second and loss."""
    right = predictions["label"] == predictions["predicted"]
    low, high = _wilson(right)
    answers = predictions["predicted"].value_counts(normalize=True)
    return Score(
        images=len(predictions),
        accuracy=_mean(right),
        accuracy_low=round(low, 6),
        accuracy_high=round(high, 6),
        top2_accuracy=_mean(right | (predictions["label"] == predictions["second"])),
        loss=_mean(predictions["loss"]),
        status=learning_status(predictions),
        answer=int(answers.index[0]),
        answer_share=round(float(answers.iloc[0]), 6),
    )


def learning_status(predictions: pd.DataFrame) -> Status:
    """Tell by label and predicted whether a network has learned anything.

    ``collapsed`` if nearly all answers are the same; ``near chance`` if it is no better than always
    giving the most frequent label, as after training on shuffled labels; else ``ok``.
    """
    if predictions["predicted"].value_counts(normalize=True).iloc[0] >= COLLAPSED_SHARE:
        return "collapsed"
    chance = predictions["label"].value_counts(normalize=True).iloc[0]
    low, _ = _wilson(predictions["label"] == predictions["predicted"])
    return "near chance" if low <= chance else "ok"


def _wilson(right: "pd.Series[bool]") -> tuple[float, float]:
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def confusion_matrix(predictions: pd.DataFrame) -> NDArray[np.int64]:
    """Count images: in row i and column j of ``(10, 10)`` those of digit i that were called j."""
    matrix = np.zeros((NUM_CLASSES, NUM_CLASSES), np.int64)
    np.add.at(matrix, (predictions["label"].to_numpy(), predictions["predicted"].to_numpy()), 1)
    return matrix


def class_scores(predictions: pd.DataFrame) -> list[dict[str, float | int | None]]:
    """Score each digit in order: digit, images, precision, recall and f1 (0 to 1, six digits).

    A share is None where undefined, such as the precision of an answer that was never given.
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


def reliability(predictions: pd.DataFrame) -> list[Bin]:
    """Compare probability and accuracy in each of `BINS` ranges with images, lowest first."""
    # The upper end belongs to a range, so that a probability of 1 is in the last one.
    number = np.ceil(predictions["probability"] * BINS).clip(1, BINS)
    right = predictions["label"] == predictions["predicted"]
    return [
        Bin(
            images=len(group),
            probability=_mean(group["probability"]),
            accuracy=_mean(right[group.index]),
        )
        for _, group in predictions.groupby(number)
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error over images, 0 to 1 (Naeini et al. 2015)."""
    ranges = pd.DataFrame([dict(each) for each in bins])
    gaps = (ranges["probability"] - ranges["accuracy"]).abs()
    return round(float((gaps * ranges["images"]).sum() / ranges["images"].sum()), 6)


def rank_failures(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """List the images that a network gets wrong, those that most get wrong and of most loss first.

    All predictions are for the same images in the same order. Returns one row per image: index,
    label, failing (number of networks), loss (their mean, six digits), answers (by network).
    """
    images = next(iter(tables.values()))[["index", "label"]]
    answers = pd.DataFrame({name: table["predicted"] for name, table in tables.items()})
    losses = pd.DataFrame({name: table["loss"] for name, table in tables.items()})
    counted = images.assign(
        failing=answers.ne(images["label"], axis=0).sum(axis=1),
        loss=losses.mean(axis=1).round(6),
        answers=pd.Series(answers.to_dict("records"), answers.index),
    )
    failed = counted[counted["failing"] > 0]
    return failed.sort_values(["failing", "loss"], ascending=False, kind="stable")


def _mean(values: "pd.Series[Any]") -> float:
    return round(float(values.mean()), 6)


def _ratio(part: int, whole: int) -> float | None:
    return round(float(part / whole), 6) if whole else None

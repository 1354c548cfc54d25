"""One training of a study: its history, its answers to the test images, and its scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from convdepth.config.architecture import Strict
from convdepth.config.dataset import NUM_CLASSES
from convdepth.core.errors import DataError
from convdepth.data.arrays import Labels
from convdepth.evaluation.metrics import Status, calibration_error, reliability, score

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
"""Columns of a history that are kept of each epoch."""

ANSWERS = ("label", "predicted")
"""Columns of the answers of one training."""

AGAIN = "`dvc repro studies/dvc.yaml` writes it again."


class Scores(Strict):
    """The scores of one training on the test set."""

    accuracy: float
    """0 to 1."""
    loss: float
    """Mean cross-entropy in nats."""
    status: Status
    calibration_error: float
    reliability: list[dict[str, Any]]
    """From `calibration.reliability`."""


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        seed: What it was trained with.
        history: One row per epoch: `CURVES`.
        answers: One row per test image: `ANSWERS`, 0 to 9.
        scores: From `describe`.
    """

    seed: int
    history: pd.DataFrame
    answers: pd.DataFrame
    scores: Scores


def describe(predictions: pd.DataFrame) -> Scores:
    """Score one training.

    Args:
        predictions: From `answers.predict`.
    """
    total = score(predictions)
    return Scores(
        accuracy=total.accuracy,
        loss=total.loss,
        status=total.status,
        calibration_error=calibration_error(predictions),
        reliability=reliability(predictions),
    )


def read_run(folder: Path, seed: int, labels: Labels) -> Run:
    """Read one training of a study.

    Args:
        folder: With ``<seed>.csv`` (the history), ``<seed>.answers.csv`` and
            ``<seed>.scores.json``.
        seed: Which training.
        labels: ``(n,)``, uint8, 0 to 9, of the test images.

    Raises:
        DataError: A file is missing, damaged, or has other labels.
    """
    history = _read_table(folder / f"{seed}.csv", CURVES, float)
    path = folder / f"{seed}.answers.csv"
    answers = _read_table(path, ANSWERS, int)
    if not np.array_equal(answers["label"], labels):
        raise DataError(
            f"{path}: expected the labels of the {len(labels)} test images in their order, got "
            f"{len(answers)} rows with others. {AGAIN}"
        )
    if not answers["predicted"].isin(range(NUM_CLASSES)).all():
        raise DataError(f"{path}: expected predicted from 0 to 9, got other values. {AGAIN}")
    path = folder / f"{seed}.scores.json"
    try:
        return Run(seed, history, answers, Scores.model_validate_json(path.read_bytes()))
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: cannot be read: {error}. {AGAIN}") from error


def _read_table(path: Path, columns: tuple[str, ...], kind: type[int | float]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(columns, kind))[list(columns)]
        if table.empty or not np.isfinite(table.to_numpy()).all():
            raise ValueError(f"expected finite {', '.join(columns)} in each row")
        return table
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be read: {error}. {AGAIN}") from error

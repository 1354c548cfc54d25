"""What several trainings of one network, which differ in their seed alone, say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.bootstrap import mean_interval
from convdepth.calibration import calibration_error, reliability
from convdepth.errors import DataError
from convdepth.scores import score

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
"""What is kept of each epoch."""


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        seed: What it was trained with.
        history: One row per epoch.
        predictions: One row per test image, from `evaluate.predict`.
    """

    seed: int
    history: pd.DataFrame
    predictions: pd.DataFrame


def summarize(runs: Sequence[Run]) -> dict[str, Any]:
    """Put several trainings together; none is left out, also where it has learned nothing.

    Args:
        runs: All of one network, with different seeds, on the same images.

    Returns:
        ``runs``, each with seed, accuracy, loss, status, calibration and its curves; how many there
        are, and how many of them collapsed; and of accuracy (0 to 1) and loss (nats) the mean, the
        standard deviation (of the sample; None for one run), and the ends of the mean's 95 %
        interval over seeds and images.
    """
    described = [_describe(run) for run in runs]
    right = np.array([run.predictions["label"] == run.predictions["predicted"] for run in runs])
    losses = np.array([run.predictions["loss"] for run in runs])
    return {
        "runs": described,
        "count": len(runs),
        "collapsed": sum(run["status"] == "collapsed" for run in described),
        "near_chance": sum(run["status"] == "near chance" for run in described),
        "accuracy": _spread(right),
        "loss": _spread(losses),
    }


def tabulate_answers(runs: Sequence[Run]) -> pd.DataFrame:
    """Set the answers of several trainings side by side.

    Args:
        runs: All of one network, on the same images.

    Returns:
        One row per image: label, and for each run ``seed_<seed>``, its answer (0 to 9).
    """
    answers = {f"seed_{run.seed}": run.predictions["predicted"].to_numpy() for run in runs}
    return pd.DataFrame({"label": runs[0].predictions["label"].to_numpy(), **answers})


def read_answers(path: Path) -> pd.DataFrame:
    """Read what `tabulate_answers` gave.

    Args:
        path: The CSV file.

    Raises:
        DataError: It is missing, or none of these.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read: {error}. `dvc repro studies/dvc.yaml` writes it."
        ) from error
    wrong = [name for name in table.columns[1:] if not name.startswith("seed_")]
    numbers = all(kind.kind == "i" for kind in table.dtypes)
    if table.columns[0] != "label" or wrong or table.shape[1] == 1 or table.empty or not numbers:
        raise DataError(
            f"{path}: expected the columns label, seed_1, seed_2, ... of digits, got "
            f"{', '.join(table.columns)}. `dvc repro studies/dvc.yaml` writes it again."
        )
    return table


def rightness(answers: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which answers are right.

    Args:
        answers: From `read_answers`.

    Returns:
        ``(seeds, images)``, bool.
    """
    labels = answers["label"].to_numpy()
    return np.array([answers[name].to_numpy() == labels for name in answers.columns[1:]])


def _describe(run: Run) -> dict[str, Any]:
    total = score(run.predictions)
    curves: Mapping[str, Any] = {
        name: [round(float(value), 6) for value in run.history[name]] for name in CURVES
    }
    return {
        "seed": run.seed,
        "accuracy": total.accuracy,
        "loss": total.loss,
        "status": total.status,
        "calibration_error": calibration_error(run.predictions),
        "reliability": reliability(run.predictions),
        "curves": curves,
    }


def _spread(values: NDArray[Any]) -> dict[str, float | None]:
    means = values.mean(axis=1)
    low, high = mean_interval(values)
    return {
        "mean": round(float(means.mean()), 6),
        "standard_deviation": round(float(means.std(ddof=1)), 6) if len(means) > 1 else None,
        "low": round(low, 6),
        "high": round(high, 6),
    }

"""The trainings of one network with several seeds: read, summarized, and tabulated."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.data.arrays import Labels
from convdepth.evaluation import results
from convdepth.evaluation.metrics import Scores
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.significance import mean_over_seeds


@dataclass(frozen=True)
class Run:
    """One training: its history, its answers (label and predicted per test image), its scores."""

    seed: int
    history: pd.DataFrame
    answers: pd.DataFrame
    scores: Scores


def read_run(folder: Path, seed: int, labels: Labels) -> Run:
    """Read ``<seed>.csv`` (history), ``<seed>.answers.csv`` and ``<seed>.scores.json``."""
    return Run(
        seed,
        results.read_history(folder, str(seed), results.STUDIES),
        results.read_table(
            folder / f"{seed}.answers.csv", results.STUDIES, results.ANSWER_COLUMNS, labels
        ),
        read_result(folder / f"{seed}.scores.json", Scores, results.STUDIES),
    )


def summarize(runs: Sequence[Run]) -> results.Replicates:
    """Summarize trainings of one network with different seeds, on the same test images."""
    right = rightness(tabulate_answers(runs))
    statuses = [run.scores.status for run in runs]
    curves = [run.history[results.CURVE_COLUMNS].astype(float).round(6) for run in runs]
    return results.Replicates(
        runs=[
            results.SeedRun.model_validate(
                dict(run.scores) | {"seed": run.seed, "curves": each.to_dict("list")}
            )
            for run, each in zip(runs, curves, strict=True)
        ],
        count=len(runs),
        collapsed=statuses.count("collapsed"),
        near_chance=statuses.count("near chance"),
        accuracy=spread(right),
        loss=average([run.scores.loss for run in runs]),
    )


def describe(summary: results.Replicates) -> str:
    """Return the mean accuracy and the number of collapsed trainings in one line."""
    accuracy = summary.accuracy
    return (
        f"{summary.count} seeds: test accuracy {accuracy.mean:.4f} ({accuracy.low:.4f} to "
        f"{accuracy.high:.4f}); {summary.collapsed} of {summary.count} collapsed"
    )


def tabulate_answers(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row per test image: label, and for each run ``seed_<seed>``, the answer."""
    answers = {f"seed_{run.seed}": run.answers["predicted"].to_numpy() for run in runs}
    return pd.DataFrame({"label": runs[0].answers["label"].to_numpy(), **answers})


def rightness(answers: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which answers of `tabulate_answers` are right: ``(seeds, images)``."""
    labels = answers["label"].to_numpy()
    return np.array([answers[name].to_numpy() == labels for name in answers.columns[1:]])


def spread(right: NDArray[Any]) -> results.Spread:
    """Return the mean accuracy over seeds with its interval; ``right`` is ``(seeds, images)``."""
    low, high = np.clip(mean_over_seeds(right).interval, 0, 1)
    mean = average([float(each.mean()) for each in right])
    return results.Spread(**dict(mean), low=round(float(low), 6), high=round(float(high), 6))


def average(values: Sequence[float]) -> results.Mean:
    """Return mean and sample standard deviation, six digits."""
    deviation = round(float(np.std(values, ddof=1)), 6) if len(values) > 1 else None
    return results.Mean(mean=round(float(np.mean(values)), 6), standard_deviation=deviation)

"""Result files: their schemas, each both written and read, and their tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from convdepth.config.dataset import NUM_CLASSES
from convdepth.core.errors import DataError
from convdepth.data.arrays import Labels
from convdepth.evaluation.collapse_trials import Collapse, Point, Trial
from convdepth.evaluation.metrics import Bin, Scores, Status
from convdepth.evaluation.result_file import Loss, Result, Share, read_result
from convdepth.evaluation.significance import MARGIN

# These have a module of their own, so that a change of another schema reruns no training.
__all__ = ["Collapse", "Point", "Trial"]

CURVE_COLUMNS = ["loss", "accuracy", "val_loss", "val_accuracy"]
HISTORY_COLUMNS = ["epoch", *CURVE_COLUMNS]
PREDICTION_COLUMNS = ["index", "label", "predicted", "second", "probability", "loss"]
ANSWER_COLUMNS = ["label", "predicted"]
STUDIES = "dvc repro studies/dvc.yaml"
"""The command that writes all results of the studies."""

EQUIVALENT = f"equivalent within {100 * MARGIN:g} points"
NOT_SETTLED = "not settled"
"""Verdicts on a `Difference` beside "... is better"."""


class Mean(Result):
    """A mean over seeds with the sample standard deviation; None for one seed."""

    mean: float
    standard_deviation: float | None


class Spread(Mean):
    """A mean over seeds with its 95% interval, see `significance.mean_over_seeds`."""

    low: float
    high: float


class Curves(Result):
    """One value per epoch: losses in nats, accuracies from 0 to 1."""

    loss: list[Loss] = Field(min_length=1)
    accuracy: list[Share] = Field(min_length=1)
    val_loss: list[Loss] = Field(min_length=1)
    val_accuracy: list[Share] = Field(min_length=1)


class SeedRun(Scores):
    """One training of several."""

    seed: int
    curves: Curves


class FirstSeed(Result):
    """McNemar's test of the first seed's answers, corrected for all pairs (Holm)."""

    difference: float
    only_first: int
    only_second: int
    p: Share
    corrected_p: Share


class Difference(Result):
    """The mean accuracy of the second minus the first, -1 to 1, see `difference_over_seeds`.

    The verdict follows the corrected p (Holm): better, else equivalent, else not settled. The p
    values are None for one seed.
    """

    difference: float
    low: float
    high: float
    error: float
    """Standard error of the difference."""
    p: Share | None
    corrected_p: Share | None
    corrected_equivalence_p: Share | None
    """Of two one-sided tests with the margin `significance.MARGIN`."""
    verdict: str


class OverSeeds(Result):
    """One network over its seeds, beyond its accuracy.

    `agreement` is the mean over pairs of seeds, None for one seed; `vote` is the accuracy of the
    seeds' plurality vote.
    """

    accuracy_without_doubtful: Mean
    agreement: Share | None
    vote: Share


class NetworkAnswer(Result):
    """The trainings so far of one network in one group of a question of ``studies/PLAN.md``."""

    network: str
    """A network of ``params.yaml``, or a number of blocks."""
    parameters: int
    flop: int
    """Of one image's forward pass."""
    seeds: list[int] = Field(min_length=1)
    failed: int
    """Trainings that collapsed or stayed near chance; they count in the means."""
    accuracy: Spread
    loss: Mean
    calibration_error: Mean
    over_seeds: OverSeeds | None
    """None for corrupted images, of which git has no answers."""
    by_corruption: dict[str, Share]
    """Mean accuracy with each corruption of the test images; empty for other questions."""

    @property
    def has_learned(self) -> bool:
        """Whether each training has learned something."""
        return not self.failed


class Replicates(NetworkAnswer):
    """One network of an answer, with each of its trainings."""

    runs: list[SeedRun] = Field(min_length=1)


class Comparison(Difference):
    """The difference of two networks of one group of a question."""

    group: str
    first: str
    second: str
    agreement: Share | None
    """The mean over pairs of their trainings; None for corrupted images."""
    first_seed: FirstSeed | None
    """None for corrupted images."""


class Answer(Result):
    """``studies/<question>.json``: trainings by group, and comparisons once all are there."""

    seeds: int
    """Planned of each network in each group."""
    trained: int
    planned: int
    groups: dict[str, list[NetworkAnswer]]
    votes: dict[str, Share | None]
    """By group, the accuracy of the plurality vote of all its trainings."""
    comparisons: list[Comparison]
    gains: dict[str, Difference]
    """Of the question ``tuned``, by network: less the same network by the recipe."""

    def find(self, group: str, second: str, first: str | None = None) -> Comparison | None:
        """Return the comparison of a network with `first`, by default the group's first one."""
        wanted = (group, first or self.groups[group][0].network, second)
        known = {(each.group, each.first, each.second): each for each in self.comparisons}
        return known.get(wanted)


class Layer(Result):
    """A layer with a ReLU; a channel is active if any test image raises it above zero."""

    layer: str
    channels: int = Field(ge=1)
    active: int = Field(ge=0)

    @property
    def share(self) -> float:
        """The share of the active channels, 0 to 1."""
        return self.active / self.channels


class NetworkReading(Result):
    """Size, accuracy, calibration and active channels of one network; FLOP of one image."""

    accuracy: Share
    status: Status
    parameters: int
    flop: int
    calibration_error: Share
    reliability: list[Bin] = Field(min_length=1)
    layers: list[Layer] = Field(min_length=1)


class Hard(Result):
    """A hard image: the answers of the networks that have learned, and their mean loss."""

    index: int
    label: int
    answers: dict[str, int]
    failing: int
    loss: Loss


class AllFail(Result):
    """The number of images on which all networks fail that have learned."""

    images: int
    networks: list[str]


class Reading(Result):
    """``studies/reading.json``, written by the stage `examine`."""

    networks: dict[str, NetworkReading]
    hardest: list[Hard]
    all_fail: AllFail


class Rule(Result):
    """One rule for the data: the observed value, or the number of rows that break it."""

    rule: str
    table: str
    observed: float | None = None
    num_broken: int | None = None


class Validation(Result):
    """``validation.json``, written by the stage `validate`."""

    images: dict[Literal["raw", "normalized"], int]
    """The number of images that were checked, in both splits together."""
    num_rules: int
    success: bool
    rules: list[Rule]


def read_history(folder: Path, name: str, command: str | None = None) -> pd.DataFrame:
    """Read ``<name>.csv``, a history with one row per epoch; by default of the stage `train`."""
    command = command or f"dvc repro train@{name}"
    return read_table(folder / f"{name}.csv", command, HISTORY_COLUMNS)


def read_replicates(answer: Answer, folder: Path) -> dict[str, Replicates]:
    """Read each training of an answer with one group: ``<group>/<network>/<seed>`` in a folder."""
    ((group, networks),) = answer.groups.items()
    return {
        each.network: Replicates(
            **dict(each),
            runs=[_read_run(folder / group / each.network, seed) for seed in each.seeds],
        )
        for each in networks
    }


def _read_run(folder: Path, seed: int) -> SeedRun:
    scores = read_result(folder / f"{seed}.scores.json", Scores, STUDIES)
    curves = read_history(folder, str(seed), STUDIES)[CURVE_COLUMNS].astype(float).round(6)
    return SeedRun(**dict(scores), seed=seed, curves=Curves.model_validate(curves.to_dict("list")))


def read_predictions(folder: Path, name: str, labels: Labels) -> pd.DataFrame:
    """Read ``<name>.csv``, the predictions of the stage `evaluate`, one row per test image."""
    path = folder / f"{name}.csv"
    return read_table(path, f"dvc repro evaluate@{name}", PREDICTION_COLUMNS, labels)


def read_mistakes(path: Path, labels: Labels) -> pd.DataFrame:
    """Read index, label and predicted of the images that a training of a question got wrong."""
    table = read_table(path, STUDIES, ["index", *ANSWER_COLUMNS], may_be_empty=True)
    index = table["index"]
    known = index.isin(range(len(labels))) & ~index.duplicated()
    if not (known.all() and np.array_equal(labels[index.astype(np.int64)], table["label"])):
        raise DataError(
            f"{path}: expected different indices of test images, and their labels, got others. Run "
            f"`{STUDIES}`, which writes it."
        )
    return table.astype(np.int64)


def read_wrong_corruptions(path: Path, images: int) -> NDArray[np.int64]:
    """Read with how many corruptions each of the test images is wrong, ``(images,)``."""
    table = read_table(path, STUDIES, ["index", "corruptions"], may_be_empty=True)
    if not table["index"].isin(range(images)).all() or table["index"].duplicated().any():
        raise DataError(
            f"{path}: index: expected different numbers below {images}, got others. Run "
            f"`{STUDIES}`, which writes it."
        )
    counts = np.zeros(images, np.int64)
    counts[table["index"]] = table["corruptions"]
    return counts


def read_table(
    path: Path,
    command: str,
    columns: Sequence[str],
    labels: Labels | None = None,
    *,
    may_be_empty: bool = False,
) -> pd.DataFrame:
    """Read the columns of a CSV file of finite numbers, which ``command`` writes.

    Answers must be whole numbers from 0 to 9, and labels the given ones.
    """
    again = f"Run `{command}`, which writes it."
    try:
        table = pd.read_csv(path)
        if missing := [name for name in columns if name not in table.columns]:
            raise ValueError(f"no column {', '.join(missing)}")
        table = table[list(columns)]
        if not (may_be_empty and table.empty):
            _require_numbers(table)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. {again}") from error
    except ValueError as error:
        expected = ", ".join(columns)
        raise DataError(f"{path}: expected numbers in {expected}: {error}. {again}") from error
    if labels is not None and not np.array_equal(table["label"], labels):
        raise DataError(
            f"{path}: label: expected those of the {len(labels)} test images in their order, got "
            f"{len(table)} rows with other labels. {again}"
        )
    return table


def _require_numbers(table: pd.DataFrame) -> None:
    if table.empty:
        raise ValueError("no row")
    for name, column in table.items():
        if column.dtype.kind not in "iuf" or not np.isfinite(column).all():
            raise ValueError(f"column {name} has text, or an empty or infinite value")
        is_digit = name in ("label", "predicted", "second")
        if is_digit and not (column.dtype.kind in "iu" and column.isin(range(NUM_CLASSES)).all()):
            raise ValueError(f"column {name} has values other than 0 to {NUM_CLASSES - 1}")

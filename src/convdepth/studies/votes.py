"""The plurality vote of several trainings, and how often two of them agree."""

import itertools
from collections.abc import Iterable

import numpy as np
import pandas as pd

from convdepth.config.dataset import NUM_CLASSES


def vote(tables: Iterable[pd.DataFrame]) -> float:
    """Return the accuracy of the plurality vote of all trainings, 0 to 1.

    Tables are from `runs.tabulate_answers`. Each training votes, a collapsed one too; a tie goes to
    the smallest of the tied digits.
    """
    tables = list(tables)
    answers = np.concatenate([table.to_numpy()[:, 1:] for table in tables], axis=1)
    votes = (answers[..., np.newaxis] == np.arange(NUM_CLASSES)).sum(axis=1)
    return _mean(votes.argmax(axis=1) == tables[0]["label"].to_numpy())


def mean_agreement(first: pd.DataFrame, second: pd.DataFrame | None = None) -> float:
    """Return the share of equal answers, right or wrong, as a mean over pairs of trainings.

    Each pair has one training of each table; with one table, two of its trainings.
    """
    columns = [list(table.to_numpy()[:, 1:].T) for table in (first, second) if table is not None]
    pairs = itertools.combinations(columns[0], 2) if second is None else itertools.product(*columns)
    return _mean(np.array([one == other for one, other in pairs]))


def _mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 6)

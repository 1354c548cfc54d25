"""Rank experiments by their accuracy on held-out training images.

The test set is not used: a choice by it would bias the accuracy on unseen images.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from convdepth.workspace.dvc import show_experiments
from pipelines.experiments.grid import SEED, Experiment

Row = dict[str, Any]  # a row of a table, by column
Scores = Mapping[tuple[str, str], Mapping[str, float]]  # held-out, by experiment and network
ACCURACY, LOSS = "validation accuracy", "validation loss"


def read_scores(commit: str, folder: Path = Path()) -> Scores:
    """Ask DVC for the scores of all experiments on top of a commit, where there are any."""
    return {
        (experiment["name"], Path(file).stem): content["data"]["validation"]
        for baseline in show_experiments([commit], folder)
        for experiment in baseline["experiments"] or ()
        for file, content in ((experiment["revs"][0]["data"] or {}).get("metrics") or {}).items()
        if "validation" in content.get("data", {})
    }


def rank(
    experiments: Sequence[Experiment],
    networks: Sequence[str],
    states: Mapping[str, str],
    scores: Scores,
) -> list[Row]:
    """Return one row for each network and experiment of a sweep; the best ones come first.

    The columns are network, experiment, the varied parameters, validation accuracy (0 to 1),
    validation loss (nats), and the state.
    """
    keys = varied(experiments)
    rows = []
    for network in networks:
        for each in experiments:
            score = scores.get((each.name, network), {})
            changes = {key: each.changes[key] for key in keys}
            row = {"network": network, "experiment": each.name, **changes}
            row |= {ACCURACY: score.get("accuracy"), LOSS: score.get("loss")}
            rows.append(row | {"state": states[each.name]})
    return _best_first(rows, ACCURACY)


def average_over_seeds(rows: Sequence[Row]) -> list[Row]:
    """Average the rows of `rank` that differ only in their seed; no row if no seed is varied.

    The columns are network, the other parameters, the number of seeds with a score, mean and sample
    standard deviation (None for one seed) of the validation accuracy.
    """
    if SEED not in rows[0]:
        return []
    table = pd.DataFrame(rows, dtype=object).dropna(subset=ACCURACY)
    others = [key for key in rows[0] if key not in ("experiment", SEED, ACCURACY, LOSS, "state")]
    groups = table.astype({ACCURACY: float}).groupby(others, sort=False, dropna=False)[ACCURACY]
    averages = groups.agg(["count", "mean", "std"]).round(6).reset_index()
    averages.columns = pd.Index([*others, "seeds", "mean", "standard deviation"])
    found = averages.astype(object).where(averages.notna(), None).to_dict("records")
    return _best_first([{str(key): row[key] for key in row} for row in found], "mean")


def varied(experiments: Sequence[Experiment]) -> list[str]:
    """List the parameters that differ between experiments, which all change the same keys."""
    # JSON tells true from 1, which are equal in Python.
    return [
        key
        for key in experiments[0].changes
        if len({json.dumps(each.changes[key]) for each in experiments}) > 1
    ]


def describe_fixed(experiments: Sequence[Experiment]) -> str:
    """Return the parameters that are changed alike in all experiments, as the end of a sentence."""
    differing = varied(experiments)
    changes = experiments[0].changes.items()
    fixed = [f"{key} = {json.dumps(value)}" for key, value in changes if key not in differing]
    return f"; all with {', '.join(fixed)}" if fixed else ""


def _best_first(rows: list[Row], column: str) -> list[Row]:
    """Sort the rows of each network; the networks keep their order."""
    networks = list(dict.fromkeys(row["network"] for row in rows))
    best_first = sorted(rows, key=lambda row: (row[column] is None, -(row[column] or 0.0)))
    return sorted(best_first, key=lambda row: networks.index(row["network"]))

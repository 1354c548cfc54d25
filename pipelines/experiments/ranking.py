"""Rank experiments by their accuracy on held-out training images.

The test set is not used: a choice by it would bias the accuracy on unseen images.
"""

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from convdepth.core.errors import MachineError
from pipelines.experiments.grid import SEED, Experiment

Row = dict[str, Any]
"""A row of a table, by column."""

Scores = Mapping[tuple[str, str], Mapping[str, float]]
"""``accuracy`` and ``loss`` on the held-out images, by experiment and network."""

ACCURACY = "validation accuracy"


def read_scores(commit: str, folder: Path = Path()) -> Scores:
    """Ask DVC for the scores of all experiments on top of a commit, where there are any.

    Raises:
        MachineError: DVC cannot show the experiments.
    """
    hidden = ("--hide-workspace", "--hide-queued", "--hide-failed")
    command = ["--wait-for-lock", "exp", "show", "--json", *hidden, "--rev", commit]
    ended = subprocess.run(
        [sys.executable, "-m", "dvc", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise MachineError(f"`dvc exp show` in {folder.resolve()} failed: {ended.stderr.strip()}")
    return {
        (experiment["name"], Path(file).stem): content["data"]["validation"]
        for baseline in json.loads(ended.stdout)
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
    """Return one row for each network and experiment.

    Args:
        experiments: All of a sweep.
        networks: The trained networks.
        states: State of each experiment by name.
        scores: As of `read_scores`.

    Returns:
        Rows by network, the best experiment first, those without a score last: network,
        experiment, the varied parameters, validation accuracy (0 to 1) and loss (nats), state.
    """
    keys = varied(experiments)
    rows = [
        {
            "network": network,
            "experiment": each.name,
            **{key: each.changes[key] for key in keys},
            ACCURACY: scores.get((each.name, network), {}).get("accuracy"),
            "validation loss": scores.get((each.name, network), {}).get("loss"),
            "state": states[each.name],
        }
        for network in networks
        for each in experiments
    ]
    return _best_first(rows, networks, ACCURACY)


def average_over_seeds(
    experiments: Sequence[Experiment], networks: Sequence[str], scores: Scores
) -> list[Row]:
    """Average the experiments that differ only in their seed; no row if no seed is varied.

    Returns:
        One row for each network and combination of the other parameters, the best first: network,
        these parameters, the number of seeds with a score, mean and sample standard deviation
        (None for one seed) of the validation accuracy.
    """
    keys = varied(experiments)
    if SEED not in keys:
        return []
    points: dict[str, Row] = {}
    accuracies: dict[str, list[float]] = defaultdict(list)
    for each in experiments:
        for network in networks:
            if (score := scores.get((each.name, network))) is not None:
                point = {key: each.changes[key] for key in keys if key != SEED}
                group = json.dumps([network, point])
                points[group] = {"network": network, **point}
                accuracies[group].append(score["accuracy"])
    rows = [
        {
            **points[group],
            "seeds": len(found),
            "mean": round(statistics.mean(found), 6),
            "standard deviation": round(statistics.stdev(found), 6) if len(found) > 1 else None,
        }
        for group, found in accuracies.items()
    ]
    return _best_first(rows, networks, "mean")


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


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print rows with the same columns as a table that is never cut off."""
    table = pd.DataFrame(rows, dtype=object).fillna("")
    print(f"{title}\n\n{table.to_string(index=False)}\n", flush=True)


def _best_first(rows: list[Row], networks: Sequence[str], column: str) -> list[Row]:
    def position(row: Row) -> tuple[int, bool, float]:
        return networks.index(row["network"]), row[column] is None, -(row[column] or 0.0)

    return sorted(rows, key=position)

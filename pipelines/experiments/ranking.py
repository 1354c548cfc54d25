"""Which experiment is the best one, by the training images that were held out.

The test set is left out on purpose: whoever chooses by it can no longer say how good the choice is
on images that nobody has seen.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from convdepth.core.errors import MachineError
from pipelines.experiments.grid import SEED, Experiment

Row = dict[str, Any]
"""A row of a table, by column."""

Scores = Mapping[tuple[str, str], Mapping[str, float]]
"""``accuracy`` and ``loss`` on the held-out images, by experiment and network."""

NETWORK, EXPERIMENT, STATE = "network", "experiment", "state"
ACCURACY, LOSS = "validation accuracy", "validation loss"

MANY_COLUMNS = 1000
"""Of characters: no table is that wide."""


def read_scores(commit: str, folder: Path = Path()) -> Scores:
    """Read what the networks of all experiments make of the held-out images.

    Args:
        commit: Whose experiments.
        folder: The root of the project.

    Returns:
        The scores of those that have any.

    Raises:
        MachineError: DVC cannot show the experiments.
    """
    hidden = ("--hide-workspace", "--hide-queued", "--hide-failed")
    command = ["--wait-for-lock", "exp", "show", "--json", *hidden, "--rev", commit]
    finished = subprocess.run(
        [sys.executable, "-m", "dvc", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise MachineError(f"DVC cannot show the experiments: {finished.stderr.strip()}")
    return {
        (experiment["name"], Path(file).stem): content["data"]["validation"]
        for baseline in json.loads(finished.stdout)
        for experiment in baseline["experiments"] or ()
        for file, content in _metrics(experiment).items()
        if "validation" in content.get("data", {})
    }


def rank(
    experiments: Sequence[Experiment],
    networks: Sequence[str],
    states: Mapping[str, str],
    scores: Scores,
) -> list[Row]:
    """Put the experiments in order.

    Args:
        experiments: All of a sweep.
        networks: What was trained in each.
        states: What became of each experiment, by its name.
        scores: What came out.

    Returns:
        One row for each network and experiment, the networks in their order, the best experiment
        first, and those without a score last: network, experiment, the parameters that differ
        between the experiments, validation accuracy (0 to 1) and loss (nats), state.
    """
    rows = [
        {
            NETWORK: network,
            EXPERIMENT: each.name,
            **{key: each.changes[key] for key in varied(experiments)},
            ACCURACY: scores.get((each.name, network), {}).get("accuracy"),
            LOSS: scores.get((each.name, network), {}).get("loss"),
            STATE: states[each.name],
        }
        for network in networks
        for each in experiments
    ]
    return sorted(rows, key=lambda row: (networks.index(row[NETWORK]), *_worse(row[ACCURACY])))


def average_over_seeds(
    experiments: Sequence[Experiment], networks: Sequence[str], scores: Scores
) -> list[Row]:
    """Put together the experiments that differ in nothing but their seed.

    Args:
        experiments: All of a sweep.
        networks: What was trained in each.
        scores: What came out.

    Returns:
        One row for each network and combination of the other parameters, the best first: network,
        those parameters, the number of seeds with a score, mean and standard deviation (of the
        sample, None for a single one) of the validation accuracy. No row if no seed is varied.
    """
    keys = [key for key in varied(experiments) if key != SEED]
    if len(keys) == len(varied(experiments)):
        return []
    groups: dict[tuple[str, ...], list[float]] = {}
    points: dict[tuple[str, ...], Row] = {}
    for each in experiments:
        for network in networks:
            if (score := scores.get((each.name, network))) is not None:
                point = {NETWORK: network, **{key: each.changes[key] for key in keys}}
                group = tuple(map(json.dumps, point.values()))
                points[group] = point
                groups.setdefault(group, []).append(score["accuracy"])
    rows = [points[group] | _average(accuracies) for group, accuracies in groups.items()]
    return sorted(rows, key=lambda row: (networks.index(row[NETWORK]), *_worse(row["mean"])))


def varied(experiments: Sequence[Experiment]) -> list[str]:
    """List the parameters that differ between experiments.

    Args:
        experiments: All of a sweep; each changes the same keys.
    """
    first = experiments[0].changes
    return [
        key
        for key in first
        if any(json.dumps(each.changes[key]) != json.dumps(first[key]) for each in experiments)
    ]


def describe_fixed(experiments: Sequence[Experiment]) -> str:
    """Say which parameters are changed alike in all experiments.

    Args:
        experiments: All of a sweep.

    Returns:
        The end of a sentence; nothing if there are none.
    """
    differing = varied(experiments)
    changes = experiments[0].changes.items()
    fixed = [f"{key} = {json.dumps(value)}" for key, value in changes if key not in differing]
    return f"; all with {', '.join(fixed)}" if fixed else ""


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print a table, as wide as it needs to be: a name that is cut off could not be copied.

    Args:
        title: Stands above it.
        rows: All with the same columns.
    """
    headers = [column.replace(".", ".\n").replace(" ", "\n") for column in rows[0]]
    table = Table(*headers, box=box.SIMPLE, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console = Console(width=MANY_COLUMNS, highlight=False, markup=False)
    console.print(title)
    console.print(table)


def _metrics(experiment: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the metrics of an experiment by file."""
    newest = experiment["revs"][0]
    return (newest["data"] or {}).get("metrics") or {}


def _worse(accuracy: float | None) -> tuple[bool, float]:
    return accuracy is None, -(accuracy or 0.0)


def _average(accuracies: Sequence[float]) -> Row:
    deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else None
    return {
        "seeds": len(accuracies),
        "mean": round(statistics.mean(accuracies), 6),
        "standard deviation": None if deviation is None else round(deviation, 6),
    }

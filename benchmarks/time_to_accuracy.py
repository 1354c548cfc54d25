"""How long it takes to the accuracies that the notebook recorded: over an hour.

Each network that learns is trained with several seeds by three recipes: the notebook's in float32,
whose trainings are those of the studies (``metrics/replicates``), in bfloat16, and the preset
`fast`. Told are the epochs until the test accuracy first reaches what the notebook recorded, for
how many seeds it does, and what the last epoch has. Seconds follow from those of an epoch in
``results/training_speed.json``, which were measured side by side: the notebook's code has the same
recipe as ours in float32, and so needs as many epochs.

Nothing is selected here: the recipes are fixed before. What was trained before is not trained
again. Writes ``benchmarks/results/time_to_accuracy.json``, and the table in
``benchmarks/README.md``.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from networks import PARAMS, PROJECT
from reporting import FOLDER, describe_machine, record
from training_speed import FAST, MIXED, NOTEBOOK, OURS, job_seconds
from trainings import Training, run_trainings

from convdepth.notebook import read_notebook
from convdepth.params import read_params

SEEDS = (1, 2, 3, 4, 5)

COLLAPSED = 0.5
"""What learned has more than this accuracy by far, and what did not has less."""

ARMS = {NOTEBOOK: "float32", OURS: "float32", MIXED: "bfloat16", FAST: "fast"}
"""The arms of `training_speed`, each with its recipe."""

SECONDS = {"seconds": "epoch_seconds", "seconds_by_fastest": "fastest_epoch_seconds"}
"""What is computed from which of the seconds of an epoch in ``results/training_speed.json``."""

STORE = FOLDER / "results" / "accuracy_trainings.json"


def main() -> None:
    """Train what is not trained yet, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--no-training", action="store_true", help="only what was trained before")
    arguments = parser.parse_args()
    recorded = _recorded()
    accuracies = {
        "float32": {name: _replicates(name) for name in recorded},
        **_train(list(recorded), only_known=arguments.no_training),
    }
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "recorded": recorded,
        "epochs": {
            recipe: {
                name: [epochs_to(recorded[name], each) for each in runs]
                for name, runs in networks.items()
            }
            for recipe, networks in accuracies.items()
        },
        "last": {
            recipe: {name: [each[-1] for each in runs] for name, runs in networks.items()}
            for recipe, networks in accuracies.items()
        },
    }
    speed = json.loads((FOLDER / "results" / "training_speed.json").read_text(encoding="utf-8"))
    for key, epochs in SECONDS.items():
        result[key] = _seconds(result["epochs"], speed[epochs], speed["jobs"])
    record("time_to_accuracy", result, table)


def _train(names: Sequence[str], only_known: bool) -> dict[str, dict[str, list[list[float]]]]:
    """Train what is not trained yet; give, by recipe and network, the accuracies of each seed."""
    params = read_params(PARAMS)
    # The quickest recipe first: an interrupted run has most of what it can have.
    recipes: Mapping[str, Mapping[str, Any]] = {
        "fast": params.presets["fast"].model_dump(exclude_unset=True),
        "bfloat16": {"precision": "mixed_bfloat16"},
    }
    costliest_first = sorted(names, key=lambda name: -params.architectures[name].flop)
    trainings = {
        (recipe, name, seed): Training(name, {**changes, "seed": seed})
        for (recipe, changes), seed, name in product(recipes.items(), SEEDS, costliest_first)
    }
    reached = run_trainings(() if only_known else trainings.values(), STORE)
    return {
        recipe: {
            name: [
                reached[key]
                for seed in SEEDS
                if (key := trainings[recipe, name, seed].key) in reached
            ]
            for name in names
        }
        for recipe in reversed(recipes)
    }


def _replicates(name: str) -> list[list[float]]:
    """Read the test accuracy after each epoch from the studies, for each seed; none yet is none."""
    path = PROJECT / "metrics" / "replicates" / f"{name}.json"
    if not path.exists():
        return []
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return [run["curves"]["val_accuracy"] for run in runs if run["seed"] in SEEDS]


def epochs_to(target: float, accuracies: Sequence[float]) -> int | None:
    """Count the epochs until an accuracy is reached.

    Args:
        target: The accuracy, 0 to 1.
        accuracies: That after each epoch.

    Returns:
        The number of the first epoch that has it, from 1; None if there is none.
    """
    return next((n for n, each in enumerate(accuracies, start=1) if each >= target), None)


def table(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the README."""
    names = list(result["recorded"])
    lines = [
        f"| recipe | {' | '.join(f'`{name}`: epochs' for name in names)} |",
        "|---|" + "--:|" * len(names),
    ]
    for recipe, networks in result["epochs"].items():
        cells = [_cell(networks[name], result["last"][recipe][name]) for name in names]
        lines.append(f"| {recipe} | {' | '.join(cells)} |")
    targets = ", ".join(f"{each:.2%}" for each in result["recorded"].values())
    lines += [
        "",
        f"To reach: {targets}. Epochs: the median over the seeds that reach it, if most do;",
    ]
    lines += [
        "in parentheses how many of them did; then mean and standard deviation at the end.",
        "",
    ]
    lines += [
        "| | seconds for all three | times as fast | by the fastest epochs |",
        "|---|--:|--:|--:|",
    ]
    for arm, seconds in result["seconds"].items():
        is_trained = all(result["epochs"][ARMS[arm]].values())
        missing = "not reached" if is_trained else "not trained yet"
        ratios = " | ".join(_times_as_fast(result[key], arm) for key in SECONDS)
        lines.append(f"| {arm} | {f'{seconds:.0f} s' if seconds else missing} | {ratios} |")
    return lines


def _times_as_fast(seconds: Mapping[str, float | None], arm: str) -> str:
    base, other = seconds[NOTEBOOK], seconds[arm]
    return f"{base / other:.1f}" if base and other else ""


def _cell(epochs: Sequence[int | None], last: Sequence[float]) -> str:
    if not epochs:
        return "not trained yet"
    found, median = len(epochs) - epochs.count(None), _median(epochs)
    spread = f" ± {100 * statistics.stdev(last):.2f}" if len(last) > 1 else ""
    ending = f"ends at {100 * statistics.mean(last):.2f}{spread} %"
    return f"{f'{median:g}' if median else 'not'} ({found} of {len(epochs)}), {ending}"


def _recorded() -> dict[str, float]:
    """Give the accuracy that the notebook recorded, of each network that learned."""
    records = read_notebook(PROJECT / "data" / "notebook.json")
    accuracies = {name: record.test_accuracy for name, record in records.items()}
    return {name: each for name, each in accuracies.items() if each > COLLAPSED}


def _seconds(
    epochs: Mapping[str, Mapping[str, list[int | None]]],
    epoch_seconds: Mapping[str, Mapping[str, float]],
    jobs: Mapping[str, int],
) -> dict[str, float | None]:
    """Give the time until all networks have reached it, as each arm uses the machine."""
    seconds: dict[str, float | None] = {}
    for arm, recipe in ARMS.items():
        medians = {name: _median(found) for name, found in epochs[recipe].items()}
        each = epoch_seconds[arm]
        needed = {name: each[name] * number for name, number in medians.items() if number}
        whole = len(needed) == len(medians)
        seconds[arm] = round(job_seconds(needed, jobs[arm]), 1) if whole else None
    return seconds


def _median(epochs: Sequence[int | None]) -> float | None:
    """Give the median over the seeds that reach it; None if most do not."""
    found = [each for each in epochs if each is not None]
    return statistics.median(found) if 2 * len(found) > len(epochs) else None


if __name__ == "__main__":
    main()

"""How long the test accuracies that the notebook recorded take: `make time-to-accuracy`.

Three recipes are trained with five seeds each: the notebook's in float32 (these trainings are
``metrics/recipe``), the notebook's in bfloat16, and the preset `fast`. The expected epochs to
the target are the epochs of all seeds, each up to the target, over the number of seeds that reach
it: the expected running time of Hansen et al. (2009, BBOB). A seed that never reaches it costs a
whole training, after which the next seed starts.

The seconds of an arm are start-up plus expected epochs for `cnn1`, `cnn3` and `cnn5`. Start-up is
measured here, from the start of the processes to the end of the first `START_IMAGES`: imports,
building, tracing. ``results/training_speed.csv`` gives the seconds per epoch. Plain Keras trains
one network after another with all cores. Ours trains all at once, one thread each.

Intervals are bootstrap intervals over seeds and rounds. Writes
``benchmarks/results/time_to_accuracy.csv`` and the table in ``benchmarks/README.md``.
"""

import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from fast_recipe import COMMON
from interleaving import Arm, read_line, started
from networks import PARAMS, PROJECT
from numpy.typing import NDArray
from reporting import FOLDER, make_parser, write_rows, write_section
from training_speed import BASE, FAST, MIXED, OURS, STEPS, WHOLE_EPOCH, arms_of
from trainings import Training, read_store, run_trainings

from convdepth.config.params import read_params
from convdepth.evaluation.notebook_record import read_notebook

NETWORKS = ("cnn5", "cnn3", "cnn1")
"""The networks that learn by the notebook's recipe."""

SEEDS = (1, 2, 3, 4, 5)

ARMS = {BASE: "float32", OURS: "float32", MIXED: "bfloat16", FAST: "fast"}
"""Each arm with its recipe."""

START_IMAGES = 384

STORE, RESULTS, SPEED = (
    FOLDER / "results" / f"{name}.csv"
    for name in ("accuracy_trainings", "time_to_accuracy", "training_speed")
)

DRAWS = 10_000

Draws = NDArray[np.float64]
"""One value ``(1,)`` of all seeds and rounds, then `DRAWS` values of resampled seeds and rounds."""


def main() -> None:
    """Train what the store lacks, measure the starts, and write the results."""
    rounds = make_parser(__doc__, rounds=5).parse_args().rounds
    run_trainings(_trainings().values(), STORE)
    params = read_params(PARAMS)
    arms = [
        (arm, network)
        for network in NETWORKS
        for arm in arms_of(params, network, START_IMAGES)
        if arm.name in ARMS
    ]
    rows = [
        {"arm": arm.name, "network": network, "round": number, "seconds": _start(arm)}
        for number in range(rounds)
        for arm, network in random.sample(arms, len(arms))
    ]
    write_rows("time_to_accuracy", pd.DataFrame(rows))
    write_section("time_to_accuracy", table())


def _start(arm: Arm) -> float:
    """Return the seconds from the start of an arm's processes until all of them are ready."""
    with ExitStack() as stack:
        begun = time.perf_counter()
        commands = arm.commands.values()
        processes = [stack.enter_context(started(each, arm.environment)) for each in commands]
        for process in processes:
            read_line(process)
        return round(time.perf_counter() - begun, 3)


def _trainings() -> dict[tuple[str, str, int], Training]:
    """Return the trainings by recipe, network and seed; the studies have those in float32."""
    preset = read_params(PARAMS).presets["fast"].model_dump(exclude_unset=True)
    recipes = {"fast": preset, "bfloat16": COMMON}
    return {
        (recipe, name, seed): Training(name, {**recipes[recipe], "seed": seed})
        for recipe, seed, name in product(recipes, SEEDS, NETWORKS)
    }


def _curves() -> dict[str, dict[str, list[list[float]]]]:
    """Return the test accuracies after each epoch by recipe, network and seed."""
    known, curves = read_store(STORE), defaultdict(lambda: defaultdict(list))
    for name in NETWORKS:
        folder = PROJECT / "metrics" / "recipe" / "recipe" / name
        curves["float32"][name] = [
            pd.read_csv(folder / f"{seed}.csv")["val_accuracy"].tolist() for seed in SEEDS
        ]
    for (recipe, name, _), training in _trainings().items():
        curves[recipe][name].append(known[training.key].accuracies)
    return curves


def epochs_until(target: float, curve: Sequence[float]) -> tuple[int, bool]:
    """Return the epochs until an accuracy reaches the target, or all; and whether it does."""
    reached = [number for number, each in enumerate(curve, start=1) if each >= target]
    return (reached[0], True) if reached else (len(curve), False)


def resample(values: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return values ``(n, ...)``, then `DRAWS` resamples of them: ``(1 + DRAWS, n, ...)``."""
    chosen = rng.integers(len(values), size=(DRAWS, len(values)))
    return values[np.vstack([np.arange(len(values)), chosen])]


def expected_epochs(runs: Sequence[tuple[int, bool]], rng: np.random.Generator) -> Draws:
    """Return the expected epochs to the target; a resample without success counts as 1e9 epochs."""
    epochs, successes = np.moveaxis(resample(np.array(runs, float), rng).sum(axis=1), 1, 0)
    return np.where(successes > 0, epochs / np.maximum(successes, 1), 1e9)


def shared_seconds(works: Sequence[Draws], cores: int) -> Draws:
    """Return the seconds until trainings of one thread have ended that start at once on some cores.

    Each needs ``works`` seconds of a core; while there are more trainings than cores, they share.
    """
    ordered = np.sort(works, axis=0)
    running = np.arange(len(works), 0, -1)[:, None]
    return (np.diff(ordered, axis=0, prepend=0) * np.maximum(1, running / cores)).sum(axis=0)


def _seconds(runs: Mapping[str, Mapping[str, Sequence[tuple[int, bool]]]]) -> dict[str, Draws]:
    """Return the seconds of each arm until all networks have reached their targets."""
    rng = np.random.default_rng(0)
    epochs = {
        recipe: {name: expected_epochs(each, rng) for name, each in networks.items()}
        for recipe, networks in runs.items()
    }
    starts, speed = pd.read_csv(RESULTS), pd.read_csv(SPEED)
    speed["seconds"] *= WHOLE_EPOCH / speed["images"]

    def median(rows: pd.DataFrame, arm: str, name: str) -> Draws:
        own = rows.loc[(rows["arm"] == arm) & (rows["network"] == name), "seconds"]
        return np.median(resample(own.to_numpy(), rng), axis=1)

    return {
        arm: shared_seconds(
            [
                median(starts, arm, name) + epochs[recipe][name] * median(speed, arm, name)
                for name in NETWORKS
            ],
            cores=speed.loc[speed["arm"] == arm, "processes"].iloc[0],
        )
        for arm, recipe in ARMS.items()
    }


def table() -> list[str]:
    """Return the lines for the README."""
    records = read_notebook(PROJECT / "data" / "notebook.json")
    targets = {name: records[name].test_accuracy for name in NETWORKS}
    runs = {
        recipe: {
            name: [epochs_until(targets[name], curve) for curve in curves]
            for name, curves in networks.items()
        }
        for recipe, networks in _curves().items()
    }
    heads = [f"`{name}`: {target:.2%}" for name, target in targets.items()]
    lines = [f"| recipe | {' | '.join(heads)} |", "|---|" + "--:|" * len(heads)]
    for recipe in dict.fromkeys(ARMS.values()):
        lines.append(f"| {recipe} | {' | '.join(map(_describe, runs[recipe].values()))} |")
    seconds = _seconds(runs)
    lines += ["", "| | seconds for all three |", "|---|--:|"]
    lines += [f"| {arm} | {_interval(each, '.0f')} |" for arm, each in seconds.items()]
    lines += ["", "| what makes it faster | times as fast |", "|---|--:|"]
    return lines + [
        f"| {step} | {_interval(seconds[before] / seconds[after], '.2f')} |"
        for step, (before, after) in STEPS.items()
    ]


def _describe(runs: Sequence[tuple[int, bool]]) -> str:
    epochs, reached = map(sum, zip(*runs, strict=True))
    expected = f"{epochs / reached:.1f} epochs" if reached else "not reached"
    return f"{expected} ({reached} of {len(runs)} seeds)"


def _interval(draws: Draws, form: str) -> str:
    low, high = np.quantile(draws[1:], (0.025, 0.975))
    return f"{draws[0]:{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    main()

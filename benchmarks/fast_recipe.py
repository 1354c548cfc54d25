"""Which recipe reaches the notebook's accuracy soonest, told by held-out training images.

A preset of ``params.yaml`` must not be chosen by the test set: 10,000 training images are held
out here, and the test set is not looked at. Each candidate trains each network that learns with
a few seeds, on the other 50,000. Writes ``benchmarks/results/fast_recipe.json``, and the table in
``benchmarks/README.md``; what was trained before is not trained again.
"""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from reporting import FOLDER, describe_machine, record
from trainings import Training, run_trainings

NETWORKS = ("cnn1", "cnn3", "cnn5")
"""cnn7 does not learn by the notebook's recipe; there is nothing to reach."""

SEEDS = (1,)

HELD_OUT = 10_000

FIXED = {"schedule": "one_cycle", "precision": "mixed_bfloat16", "warmup": 0.25}

SLOWEST = ("cnn5",)
"""The network that falls behind first: what it does not do well with is of no use."""

POINTS: Mapping[tuple[int, int, float, float], Sequence[str]] = {
    (3, 64, 0.002, 1): ("cnn1",),
    (3, 128, 0.003, 1): NETWORKS,
    (3, 128, 0.005, 1): NETWORKS,
    (4, 64, 0.003, 1): ("cnn3", "cnn5"),
    (4, 128, 0.003, 1): NETWORKS,
    (4, 128, 0.005, 1): NETWORKS,
    (5, 64, 0.002, 1): ("cnn3", "cnn5"),
    (6, 128, 0.002, 1): SLOWEST,
    (6, 128, 0.003, 1): SLOWEST,
    (6, 128, 0.004, 1): SLOWEST,
    (8, 128, 0.002, 1): SLOWEST,
    (8, 128, 0.003, 1): NETWORKS,
    (8, 128, 0.005, 1): NETWORKS,
    (2, 128, 0.005, 0.25): NETWORKS,
    (3, 128, 0.003, 0.25): NETWORKS,
    (3, 128, 0.005, 0): NETWORKS,
    (3, 128, 0.005, 0.25): NETWORKS,
}
"""Epochs, batch size, learning rate and dropout scale of what was tried, for which networks."""

NOTEBOOK: Mapping[str, Any] = {"precision": "mixed_bfloat16"}
"""The notebook's recipe in the same precision, for what it reaches on the held-out images."""

SETTINGS = {
    "epochs": "the notebook: 12",
    "batch_size": 128,
    "learning_rate": 0.001,
    "dropout_scale": 1,
}
"""What the table tells of a recipe, and what that is where the recipe is silent."""


def main() -> None:
    """Train, and write the results."""
    candidates = [
        (
            {**FIXED, "epochs": epochs, "batch_size": size, "learning_rate": rate}
            # A scale of 1 is no part of the keys of what was trained before there was one.
            | ({} if scale == 1 else {"dropout_scale": scale}),
            names,
        )
        for (epochs, size, rate, scale), names in POINTS.items()
    ]
    recipes = [(dict(NOTEBOOK), NETWORKS), *candidates]
    trainings = [
        _training(recipe, name, seed)
        for (recipe, names), seed in itertools.product(recipes, SEEDS)
        for name in names
    ]
    reached = run_trainings(trainings, FOLDER / "results" / "fast_recipe_trainings.json")
    rows = [
        {
            "recipe": recipe,
            "accuracies": {
                name: [reached[_training(recipe, name, seed).key][-1] for seed in SEEDS]
                for name in names
            },
        }
        for recipe, names in recipes
    ]
    record("fast_recipe", {"machine": describe_machine(), "rows": rows}, table)


def table(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the README."""
    heads = ["epochs", "batch size", "learning rate", "dropouts", *(f"`{n}`" for n in NETWORKS)]
    rows = [f"| {' | '.join(heads)} |", "|" + "--:|" * len(heads)]
    for row in result["rows"]:
        settings = [f"{row['recipe'].get(key, other)}" for key, other in SETTINGS.items()]
        rows.append(f"| {' | '.join([*settings, *_cells(row['accuracies'])])} |")
    told = f"Accuracy on {HELD_OUT:,} held-out training images; seeds: {len(SEEDS)}."
    return [*rows, "", f"{told} Dropouts: the factor on every dropout rate."]


def _cells(accuracies: Mapping[str, Sequence[float]]) -> list[str]:
    return [
        f"{statistics.mean(accuracies[name]):.2%}" if name in accuracies else ""
        for name in NETWORKS
    ]


def _training(recipe: Mapping[str, Any], name: str, seed: int) -> Training:
    return Training(name, {**recipe, "seed": seed, "validation_images": HELD_OUT})


if __name__ == "__main__":
    main()

"""Which recipe reaches the notebook's accuracy soonest, told by held-out training images.

A preset of ``params.yaml`` must not be chosen by the test set: 10,000 training images are held
out here, and the test set is not looked at. Each candidate trains each network that learns with
a few seeds, on the other 50,000. Writes ``benchmarks/results/fast_recipe.json``, and the table in
``benchmarks/README.md``; what was trained before is not trained again.
"""

import itertools
import statistics
from collections.abc import Mapping
from typing import Any

from reporting import FOLDER, describe_machine, record
from trainings import Training, run_trainings

NETWORKS = ("cnn1", "cnn3", "cnn5")
"""cnn7 does not learn by the notebook's recipe; there is nothing to reach."""

SEEDS = (1,)

HELD_OUT = 10_000

FIXED = {"schedule": "one_cycle", "precision": "mixed_bfloat16", "batch_size": 128, "warmup": 0.25}

POINTS = ((3, 0.003), (3, 0.005), (4, 0.003), (4, 0.005), (8, 0.005))
"""Epochs and learning rates that were tried; the last because `cnn5` needs more than four."""

NOTEBOOK: Mapping[str, Any] = {"precision": "mixed_bfloat16"}
"""The notebook's recipe in the same precision, for what it reaches on the held-out images."""


def main() -> None:
    """Train, and write the results."""
    points = [{"epochs": epochs, "learning_rate": rate} for epochs, rate in POINTS]
    recipes = [dict(NOTEBOOK), *({**FIXED, **point} for point in points)]
    trainings = [_training(*each) for each in itertools.product(recipes, NETWORKS, SEEDS)]
    reached = run_trainings(trainings, FOLDER / "results" / "fast_recipe_trainings.json")
    accuracies = [
        {
            name: [reached[_training(recipe, name, seed).key][-1] for seed in SEEDS]
            for name in NETWORKS
        }
        for recipe in recipes
    ]
    rows = [
        {"recipe": recipe, "accuracies": each}
        for recipe, each in zip(recipes, accuracies, strict=True)
    ]
    record("fast_recipe", {"machine": describe_machine(), "rows": rows}, table)


def table(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the README."""
    rows = [
        f"| epochs | learning rate | {' | '.join(f'`{name}`' for name in NETWORKS)} |",
        "|--:|--:|" + "--:|" * len(NETWORKS),
    ]
    for row in result["rows"]:
        recipe = row["recipe"]
        shown = [f"{recipe['epochs']}", f"{recipe['learning_rate']}"] if "epochs" in recipe else []
        cells = [f"{statistics.mean(row['accuracies'][name]):.2%}" for name in NETWORKS]
        rows.append(f"| {' | '.join([*(shown or ['the notebook: 12', '0.001']), *cells])} |")
    seeds = f"Accuracy on {HELD_OUT:,} held-out training images; seeds: {len(SEEDS)}."
    return [*rows, "", seeds]


def _training(recipe: Mapping[str, Any], name: str, seed: int) -> Training:
    return Training(name, {**recipe, "seed": seed, "validation_images": HELD_OUT})


if __name__ == "__main__":
    main()

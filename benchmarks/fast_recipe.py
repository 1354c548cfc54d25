"""Which recipe reaches the notebook's accuracy soonest, told by held-out training images.

A preset of ``params.yaml`` must not be chosen by the test set: 10,000 training images are held
out here, and the test set is not looked at. Each candidate trains each network that learns with
a few seeds; ``results/fast_recipe.json`` has what they reached.
"""

import itertools
import statistics
from collections.abc import Mapping
from typing import Any

from reporting import FOLDER, write_section
from trainings import Training, run_trainings

NETWORKS = ("cnn1", "cnn3", "cnn5")
"""cnn7 does not learn by the notebook's recipe; there is nothing to reach."""

SEEDS = (1, 2)

FIXED = {"schedule": "one_cycle", "precision": "mixed_bfloat16", "validation_images": 10_000}

GRID: Mapping[str, tuple[Any, ...]] = {
    "epochs": (2, 3, 4),
    "batch_size": (64, 128),
    "learning_rate": (0.002, 0.004),
    "warmup": (0.25,),
}

NOTEBOOK = {"precision": "mixed_bfloat16", "validation_images": 10_000}
"""The notebook's recipe beside them, for what it reaches on these images."""


def main() -> None:
    """Train, and write the table."""
    points = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    recipes = [NOTEBOOK, *({**FIXED, **point} for point in points)]
    trainings = [
        Training(name, {**recipe, "seed": seed})
        for recipe in recipes
        for name in NETWORKS
        for seed in SEEDS
    ]
    reached = run_trainings(trainings, FOLDER / "results" / "fast_recipe.json")
    write_section("fast_recipe", _table(recipes, reached))


def _table(recipes: list[dict[str, Any]], reached: Mapping[str, list[float]]) -> list[str]:
    rows = [
        f"| epochs | batch | learning rate | {' | '.join(f'`{name}`' for name in NETWORKS)} |",
        "|--:|--:|--:|" + "--:|" * len(NETWORKS),
    ]
    for recipe in recipes:
        cells = []
        for name in NETWORKS:
            keys = [Training(name, {**recipe, "seed": seed}).key for seed in SEEDS]
            cells.append(f"{statistics.mean(reached[key][-1] for key in keys):.2%}")
        settings = [str(recipe.get(key, "")) for key in ("epochs", "batch_size", "learning_rate")]
        shown = settings if any(settings) else ["the notebook's", "", ""]
        rows.append(f"| {' | '.join([*shown, *cells])} |")
    return rows


if __name__ == "__main__":
    main()

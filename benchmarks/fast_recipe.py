"""Choose the preset `fast` of ``params.yaml`` by held-out training images.

The rule: of the finalists whose accuracy is at least the notebook recipe's for each network, take
the one whose trainings need the fewest CPU seconds. Accuracies are means of three seeds on the same
10,000 training images, which no training sees. The test set is not read.

Writes ``benchmarks/results/fast_recipe.csv`` and the table in ``benchmarks/README.md``. Trainings
in that file are not repeated; it also keeps former candidates.
"""

import operator
import statistics
from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple

from reporting import FOLDER, write_section
from trainings import Trained, Training, read_store, run_trainings

STORE = FOLDER / "results" / "fast_recipe.csv"

NETWORKS = ("cnn1", "cnn3", "cnn5")
"""The networks that learn by the notebook's recipe."""

SEEDS = (1, 2, 3)

HELD_OUT = 10_000

COMMON = {"precision": "mixed_bfloat16", "portable": False}

NOTEBOOK: Mapping[str, Any] = {}

ADAM = {"schedule": "one_cycle", "warmup": 0.25, "label_smoothing": 0.1}
MUON = {"optimizer": "muon", "schedule": "cosine", "warmup": 0.0, "label_smoothing": 0.1}
FINALISTS: tuple[Mapping[str, Any], ...] = (
    {"epochs": 2, "batch_size": 128, "learning_rate": 0.008, "dropout_scale": 0.125, **ADAM},
    {"epochs": 1, "batch_size": 128, "learning_rate": 0.015, "dropout_scale": 0.0, **MUON},
)
"""What differs from the notebook's recipe, beside the precision."""


class Row(NamedTuple):
    """Means over the seeds: the accuracy of each network, and the CPU seconds of all together."""

    recipe: str
    accuracies: list[float]
    cpu_seconds: float


def main() -> None:
    """Train what the store lacks, the notebook's 12 epochs last; write the table."""
    recipes = (*FINALISTS, NOTEBOOK)
    run_trainings((each for recipe in recipes for each in _trainings(recipe).values()), STORE)
    write_section("fast_recipe", table())


def _trainings(recipe: Mapping[str, Any]) -> dict[tuple[str, int], Training]:
    fixed = {**COMMON, "validation_images": HELD_OUT}
    return {
        (name, seed): Training(name, {**recipe, **fixed, "seed": seed})
        for name, seed in product(NETWORKS, SEEDS)
    }


def table() -> list[str]:
    """Return the lines for the README."""
    known = read_store(STORE)
    notebook, *rows = (_row(recipe, known) for recipe in (NOTEBOOK, *FINALISTS))
    enough = [row for row in rows if all(map(operator.ge, row.accuracies, notebook.accuracies))]
    quickest = min(enough, key=operator.attrgetter("cpu_seconds"))
    lines = [
        f"| recipe | CPU seconds | {' | '.join(f'`{name}`' for name in NETWORKS)} | qualifies |",
        "|---|--:|" + "--:|" * len(NETWORKS) + "---|",
    ]
    for row in (notebook, *sorted(rows, key=operator.attrgetter("cpu_seconds"))):
        verdict = "quickest" if row == quickest else "yes" if row in enough else "no"
        cells = [row.recipe, f"{row.cpu_seconds:.0f}", *(f"{each:.2%}" for each in row.accuracies)]
        lines.append(f"| {' | '.join(cells)} | {'' if row == notebook else verdict} |")
    return lines


def _row(recipe: Mapping[str, Any], known: Mapping[str, Trained]) -> Row:
    trained = {key: known[each.key] for key, each in _trainings(recipe).items()}
    return Row(
        ", ".join(f"{key} {value}" for key, value in recipe.items()) or "the notebook's",
        [
            statistics.mean(trained[name, seed].accuracies[-1] for seed in SEEDS)
            for name in NETWORKS
        ],
        sum(each.cpu_seconds for each in trained.values()) / len(SEEDS),
    )


if __name__ == "__main__":
    main()

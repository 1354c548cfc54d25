"""Which recipe reaches the notebook's accuracy soonest, told by held-out training images.

A preset of ``params.yaml`` must not be chosen by the test set: 10,000 training images are held
out here, and the test set is not looked at. Each candidate trains each network that learns with
a few seeds, on the other 50,000. Writes ``benchmarks/results/fast_recipe.json``, and the table in
``benchmarks/README.md``; what was trained before is not trained again.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reporting import FOLDER, describe_machine, record
from trainings import Training, run_trainings

NETWORKS = ("cnn1", "cnn3", "cnn5")
"""cnn7 does not learn by the notebook's recipe; there is nothing to reach."""

HELD_OUT = 10_000

FIXED = {"schedule": "one_cycle", "precision": "mixed_bfloat16"}


class Candidate(NamedTuple):
    """What differs between the recipes that are compared."""

    epochs: int
    batch_size: int
    learning_rate: float
    dropout_scale: float = 1
    label_smoothing: float = 0
    warmup: float = 0.25
    weight_decay: float = 0

    @property
    def recipe(self) -> dict[str, Any]:
        """All of it, for ``params.yaml``; what does nothing is left out, as in the store's keys."""
        chosen = {
            key: value
            for key, value in self._asdict().items()
            if key == "warmup" or value != self._field_defaults.get(key)
        }
        return {**FIXED, **chosen}


SLOWEST, HARDEST = ("cnn5",), ("cnn3",)
"""The network that falls behind first with all of the dropouts, and with few of them: what it does
not do well with is of no use."""

CANDIDATES: Mapping[Candidate, Sequence[str]] = {
    Candidate(3, 64, 0.002): ("cnn1",),
    Candidate(3, 128, 0.003): NETWORKS,
    Candidate(3, 128, 0.005): NETWORKS,
    Candidate(4, 64, 0.003): ("cnn3", "cnn5"),
    Candidate(4, 128, 0.003): NETWORKS,
    Candidate(4, 128, 0.005): NETWORKS,
    Candidate(5, 64, 0.002): ("cnn3", "cnn5"),
    Candidate(6, 128, 0.002): SLOWEST,
    Candidate(6, 128, 0.003): SLOWEST,
    Candidate(6, 128, 0.004): SLOWEST,
    Candidate(8, 128, 0.002): SLOWEST,
    Candidate(8, 128, 0.003): NETWORKS,
    Candidate(8, 128, 0.005): NETWORKS,
    Candidate(3, 128, 0.003, 0.25): NETWORKS,
    Candidate(3, 128, 0.005, 0): NETWORKS,
    Candidate(3, 128, 0.005, 0.25): NETWORKS,
    Candidate(2, 128, 0.003, 0.25): NETWORKS,
    Candidate(2, 128, 0.005, 0): NETWORKS,
    Candidate(2, 128, 0.005, 0.25): NETWORKS,
    Candidate(2, 128, 0.008, 0.25): NETWORKS,
    Candidate(2, 64, 0.003, 0): NETWORKS,
    Candidate(2, 64, 0.003, 0.25): NETWORKS,
    Candidate(2, 64, 0.005, 0.125): NETWORKS,
    Candidate(2, 64, 0.005, 0.25): NETWORKS,
    Candidate(2, 64, 0.005, 0.25, warmup=0.4): NETWORKS,
    Candidate(2, 64, 0.005, 0.25, weight_decay=0.02): NETWORKS,
    Candidate(2, 64, 0.007, 0.25): NETWORKS,
    Candidate(2, 32, 0.003, 0.25): NETWORKS,
    Candidate(2, 64, 0.005, 0.25, label_smoothing=0.05): NETWORKS,
    Candidate(2, 64, 0.005, 0.125, label_smoothing=0.05): NETWORKS,
    Candidate(2, 64, 0.005, 0.125, label_smoothing=0.1): NETWORKS,
    Candidate(2, 128, 0.005, 0.25, label_smoothing=0.05): NETWORKS,
    Candidate(2, 128, 0.008, 0.25, label_smoothing=0.05): NETWORKS,
    Candidate(2, 64, 0.005, 0, label_smoothing=0.1): NETWORKS,
    Candidate(2, 128, 0.005, 0, label_smoothing=0.1): NETWORKS,
    Candidate(2, 128, 0.008, 0, label_smoothing=0.1): NETWORKS,
    Candidate(2, 128, 0.008, 0.125, label_smoothing=0.1): NETWORKS,
    Candidate(1, 64, 0.005, 0.125, label_smoothing=0.05): NETWORKS,
    Candidate(1, 64, 0.005, 0, label_smoothing=0.1): HARDEST,
    Candidate(1, 64, 0.005, 0.125, label_smoothing=0.1): HARDEST,
    Candidate(1, 64, 0.007, 0, label_smoothing=0.1, warmup=0.1): HARDEST,
    Candidate(1, 64, 0.008, 0.125, label_smoothing=0.1): HARDEST,
    Candidate(1, 48, 0.007, 0, label_smoothing=0.1): HARDEST,
    Candidate(1, 32, 0.003, 0, label_smoothing=0.1): HARDEST,
    Candidate(1, 32, 0.003, 0.125, label_smoothing=0.1): HARDEST,
    Candidate(1, 32, 0.005, 0, label_smoothing=0.1): HARDEST,
    Candidate(1, 32, 0.005, 0, label_smoothing=0.1, warmup=0.4): HARDEST,
    Candidate(1, 32, 0.005, 0, label_smoothing=0.1, warmup=0.1): NETWORKS,
    Candidate(1, 32, 0.005, 0, label_smoothing=0.1, warmup=0.05): HARDEST,
    Candidate(1, 32, 0.005, 0.0625, label_smoothing=0.1, warmup=0.1): HARDEST,
    Candidate(1, 32, 0.005, 0.125, label_smoothing=0.1): HARDEST,
    Candidate(1, 32, 0.005, 0.125, label_smoothing=0.1, warmup=0.1): HARDEST,
    Candidate(1, 32, 0.005, 0.0625, label_smoothing=0.15): HARDEST,
    Candidate(1, 32, 0.007, 0, label_smoothing=0.1, warmup=0.1): HARDEST,
    Candidate(1, 32, 0.008, 0, label_smoothing=0.1): HARDEST,
    Candidate(1, 32, 0.008, 0.125, label_smoothing=0.1): HARDEST,
    Candidate(1, 16, 0.003, 0.0625, label_smoothing=0.1): HARDEST,
}
"""What was tried, for which networks."""

FINALISTS = (
    Candidate(2, 64, 0.005, 0.125, label_smoothing=0.1),
    Candidate(2, 128, 0.008, 0.125, label_smoothing=0.1),
    Candidate(2, 128, 0.008, 0, label_smoothing=0.1),
    Candidate(1, 32, 0.005, 0, label_smoothing=0.1, warmup=0.1),
)
"""Those that are compared by three seeds."""

NOTEBOOK: Mapping[str, Any] = {"precision": "mixed_bfloat16"}
"""The notebook's recipe in the same precision, for what it reaches on the held-out images."""

COLUMNS = {
    "epochs": ("epochs", "the notebook: 12"),
    "batch_size": ("batch size", 128),
    "learning_rate": ("learning rate", 0.001),
    "dropout_scale": ("dropouts", 1),
    "label_smoothing": ("label smoothing", 0),
    "warmup": ("warm-up", ""),
    "weight_decay": ("weight decay", 0),
}
"""What the table tells of a recipe: its head, and what that is where the recipe is silent."""


def main() -> None:
    """Train, and write the results."""
    plans = [(dict(NOTEBOOK), NETWORKS, (1,))]
    for candidate, names in CANDIDATES.items():
        seeds = (1, 2, 3) if candidate in FINALISTS else (1,)
        plans.append((candidate.recipe, names, seeds))
    trainings = [
        _training(recipe, name, seed)
        for recipe, names, seeds in plans
        for seed in seeds
        for name in names
    ]
    reached = run_trainings(trainings, FOLDER / "results" / "fast_recipe_trainings.json")
    rows = [
        {
            "recipe": recipe,
            "accuracies": {
                name: [reached[_training(recipe, name, seed).key][-1] for seed in seeds]
                for name in names
            },
        }
        for recipe, names, seeds in plans
    ]
    record("fast_recipe", {"machine": describe_machine(), "rows": rows}, table)


def table(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the README."""
    heads = [*(head for head, _ in COLUMNS.values()), *(f"`{n}`" for n in NETWORKS), "seeds"]
    rows = [f"| {' | '.join(heads)} |", "|" + "--:|" * len(heads)]
    for row in result["rows"]:
        settings = [f"{row['recipe'].get(key, other)}" for key, (_, other) in COLUMNS.items()]
        seeds = len(next(iter(row["accuracies"].values())))
        rows.append(f"| {' | '.join([*settings, *_cells(row['accuracies']), str(seeds)])} |")
    told = f"Mean accuracy on {HELD_OUT:,} held-out training images."
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

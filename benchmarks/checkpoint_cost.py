"""What a checkpoint costs beside the epoch that it keeps: `make bench`.

For each network and round some batches are trained and one checkpoint is written, in this order,
on the same machine in the same seconds. An epoch takes as long as its batches do; the batches are
trained by the code of the stage, on made-up images, since the time does not depend on what they
show.

Writes ``benchmarks/results/checkpoint_cost.json``, and the table in ``benchmarks/README.md``.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from made_up import made_up_data
from reporting import describe_machine, make_parser, record, where

from convdepth.config.architecture import Architecture
from convdepth.config.dataset import SPLIT_SIZES
from convdepth.config.params import find_architecture, read_params
from convdepth.config.recipe import Train
from convdepth.models.backend import configure
from convdepth.training.checkpoints import Checkpoints
from convdepth.training.loop import build_trainer, train_epoch
from convdepth.training.progress import TrainingProgress

BATCHES = 40

PARAMS = Path(__file__).resolve().parent.parent / "params.yaml"


def main() -> None:
    """Measure, and write the results."""
    parser = make_parser(__doc__, rounds=7)
    rounds, params = parser.parse_args().rounds, read_params(PARAMS)
    configure(params.train.threads)
    with tempfile.TemporaryDirectory(dir=PARAMS.parent) as folder:  # on the disk of the project
        seconds = {
            name: _measure(
                find_architecture(name, params, PARAMS), params.train, Path(folder) / name, rounds
            )
            for name in params.architectures
        }
    result = {"machine": describe_machine(), "rounds": rounds, "seconds": seconds}
    record("checkpoint_cost", result, table)


def _measure(
    architecture: Architecture, recipe: Train, folder: Path, rounds: int
) -> dict[str, list[float]]:
    data = made_up_data(BATCHES * recipe.batch_size)
    trainer = build_trainer(architecture, recipe, data)
    epochs_per_round = SPLIT_SIZES["train"] / len(data.training.rows)
    kept = Checkpoints(folder, {"measured": True})
    history: list[dict[str, float]] = []
    times: dict[str, list[float]] = {"epoch": [], "checkpoint": []}
    for number in range(rounds + 1):
        report = TrainingProgress(folder.name, rounds + 1, len(data.training.rows), done=number)
        started = time.perf_counter()
        history.append(train_epoch(trainer, recipe, number + 1, data, report))
        trained = time.perf_counter()
        kept.save(trainer, history)
        if number:  # the first one traces the graph, and opens the folder
            times["epoch"].append(round((trained - started) * epochs_per_round, 3))
            times["checkpoint"].append(round(time.perf_counter() - trained, 4))
    return times


def table(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the README."""
    rows = ["| network | an epoch | a checkpoint | share | largest |", "|---|--:|--:|--:|--:|"]
    for name, times in result["seconds"].items():
        shares = [b / a for a, b in zip(times["epoch"], times["checkpoint"], strict=True)]
        epoch, checkpoint = (statistics.median(times[key]) for key in ("epoch", "checkpoint"))
        rows.append(
            f"| `{name}` | {epoch:.1f} s | {checkpoint * 1000:.0f} ms | "
            f"{statistics.median(shares):.2%} | {max(shares):.2%} |"
        )
    return [*rows, "", f"{where(result)}."]


if __name__ == "__main__":
    main()

"""What a checkpoint costs beside the epoch that it keeps: `make bench`.

Some batches of made-up images are trained and one checkpoint is written, in turn.

Writes ``benchmarks/results/checkpoint_cost.json``, and the table in ``benchmarks/README.md``.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from made_up import made_up_data
from networks import PARAMS
from reporting import make_parser, record, where

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.config.params import Params, find_architecture, read_params
from convdepth.models.backend import configure
from convdepth.training.checkpoints import Checkpoints
from convdepth.training.loop import Progress, train_epoch
from convdepth.training.trainer import build_trainer

BATCHES = 40


def main() -> None:
    """Measure, and write the results."""
    rounds, params = make_parser(__doc__, rounds=7).parse_args().rounds, read_params(PARAMS)
    configure(params.train.threads)
    with tempfile.TemporaryDirectory(dir=PARAMS.parent) as folder:  # on the disk of the project
        seconds = {
            name: _measure(name, params, Path(folder) / name, rounds)
            for name in params.architectures
        }
    record("checkpoint_cost", {"rounds": rounds, "seconds": seconds}, table)


def _measure(name: str, params: Params, folder: Path, rounds: int) -> dict[str, list[float]]:
    images = BATCHES * params.train.batch_size
    data, progress = made_up_data(images), Progress(name, rounds + 1, images)
    trainer = build_trainer(find_architecture(name, params, PARAMS), params.train, data)
    kept = Checkpoints(folder, {"measured": True})
    history: list[dict[str, float]] = []
    times: dict[str, list[float]] = {"epoch": [], "checkpoint": []}
    for number in range(rounds + 1):
        started = time.perf_counter()
        history.append(train_epoch(trainer, params.train, number + 1, data, progress))
        trained = time.perf_counter()
        kept.save(trainer, history)
        if number:  # the first one traces the graph, and opens the folder
            times["epoch"].append(round((trained - started) * SPLIT_SIZES["train"] / images, 3))
            times["checkpoint"].append(round(time.perf_counter() - trained, 4))
    return times


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
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

"""Where the time of a training step goes: `make bench`.

TensorFlow's profiler watches steps of each network, trained by the code of the stage on one core.

Writes ``benchmarks/results/operations.csv`` and ``.json``, and the table in
``benchmarks/README.md``.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from made_up import made_up_data
from networks import PARAMS
from reporting import make_parser, record, write_rows

from convdepth.config.params import find_architecture, read_params
from convdepth.models.backend import configure, tf
from convdepth.training.loop import train_epoch
from convdepth.training.progress import TrainingProgress
from convdepth.training.trainer import build_trainer

# isort: split
from tensorflow.tsl.profiler.protobuf import xplane_pb2

STEPS = 20
PORTABLE = "float32, portable"
ARITHMETIC = ("float32", PORTABLE, "mixed_bfloat16")

GROUPS: Mapping[str, str] = {
    "convolution, forward": r": Conv2D$",
    "convolution, gradient of the input": r"Conv2DBackpropInput",
    "convolution, gradient of the filter": r"Conv2DBackpropFilter",
    "pooling": r"_pool: ",
    "dropout": r"_dropout: ",
    "dense": r"^(head_dense|softmax): ",
    "optimizer": r"^optimizer$",
    "rest": r"",
}
"""Patterns of operations; the first that matches decides."""


def main() -> None:
    """Measure each network in a process of its own, and write the results."""
    parser = make_parser(__doc__)
    parser.add_argument("--watch", nargs=3, metavar=("NAME", "PRECISION", "FOLDER"))
    if watched := parser.parse_args().watch:
        _watch(*watched)
        return
    rows = []
    for name in read_params(PARAMS).architectures:
        for precision in ARITHMETIC:
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, __file__, "--watch", name, precision, folder]
                subprocess.run(command, check=True)
                rows += [
                    (name, precision, operation, group_of(operation), round(spent / STEPS, 3))
                    for operation, spent in _read(Path(folder)).most_common()
                ]
    columns = ["network", "precision", "operation", "group", "milliseconds"]
    frame = pd.DataFrame(rows, columns=columns)
    write_rows("operations", frame)
    record("operations", {"groups": summarize(frame)}, table)


def _watch(name: str, precision: str, folder: str) -> None:
    params = read_params(PARAMS)
    portable = precision == PORTABLE
    update = {"precision": precision.partition(",")[0], "portable": portable}
    recipe = params.train.model_copy(update=update)
    configure(recipe.threads, portable=portable)
    count = STEPS * recipe.batch_size
    data = made_up_data(count)
    trainer = build_trainer(find_architecture(name, params, PARAMS), recipe, data)
    progress = TrainingProgress(name, 2, count)
    train_epoch(trainer, recipe, 1, data, progress)
    tf.profiler.experimental.start(folder)
    train_epoch(trainer, recipe, 2, data, progress)
    tf.profiler.experimental.stop()


def _read(folder: Path) -> Counter[str]:
    """Sum the milliseconds of each operation."""
    space = xplane_pb2.XSpace()
    space.ParseFromString(next(folder.rglob("*.xplane.pb")).read_bytes())
    times: Counter[str] = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                if operation := _operation(plane.event_metadata[event.metadata_id].name):
                    times[operation] += event.duration_ps / 1e9
    return times


def _operation(event: str) -> str | None:
    """Label an event of the profiler; None if it is no operation of a step."""
    path, _, kind = event.partition(":")
    if not kind or "/" not in path:
        return None
    if "adam/" in path.lower():  # of `FusedAdam`
        return "optimizer"
    kind = re.sub(r"^_Mkl|Native|Fused", "", kind)
    layer = re.search(r"/(block\d+_\w+?|head_\w+?|softmax|flatten)(_\d+)?/", path)
    if not layer:
        return f"rest: {kind}"
    backward = "backward: " if "gradient_tape" in path else ""
    return f"{layer[1]}: {backward}{kind}"


def group_of(operation: str) -> str:
    """Return the group of an operation."""
    return next(name for name, pattern in GROUPS.items() if re.search(pattern, operation))


def summarize(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the milliseconds of a step by network and precision, and within it by group."""
    sums = frame.groupby(["network", "precision", "group"], sort=False)["milliseconds"].sum()
    return {
        network: {
            precision: {
                group: round(float(sums.get((network, precision, group), 0)), 3) for group in GROUPS
            }
            for precision in ARITHMETIC
        }
        for network in frame["network"].unique()
    }


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    columns = {
        f"`{network}`, {precision.removeprefix('mixed_')}": times
        for network, both in result["groups"].items()
        for precision, times in both.items()
    }
    totals = {name: sum(times.values()) for name, times in columns.items()}
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for group in GROUPS:
        cells = [f"{times[group] / totals[name]:.0%}" for name, times in columns.items()]
        lines.append(f"| {group} | {' | '.join(cells)} |")
    cells = [f"{total:.0f} ms" for total in totals.values()]
    machine = result["machine"]
    return [
        *lines,
        f"| a step | {' | '.join(cells)} |",
        "",
        f"One core of {machine['cpu']}; {STEPS} steps of 128 images.",
    ]


if __name__ == "__main__":
    main()

"""Peak memory of one epoch of each network: ours, native and portable, and plain Keras.

All of a process's memory, and its private part. Trainings that run at once share the rest: the
libraries, and this project's images, which are mapped. Other load on the machine does not matter.

Writes ``benchmarks/results/memory.json``, and the table in ``benchmarks/README.md``.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from interleaving import ARMS
from networks import PARAMS, PROJECT
from reporting import make_parser, record, where
from training_speed import NOTEBOOK, OURS, PORTABLE, notebook_arm
from trainings import Training, prepare

from convdepth.config.params import read_params
from pipelines.execution.concurrency import fill_cores

RECIPES: Mapping[str, Mapping[str, Any]] = {
    OURS: {"precision": "float32"},
    PORTABLE: {"precision": "float32", "portable": True},
}


def main() -> None:
    """Measure, and write the results."""
    parser = make_parser(__doc__)
    parser.add_argument("--without", action="append", default=[], help="a column to leave out")
    without, params = parser.parse_args().without, read_params(PARAMS)
    names = list(params.architectures)
    plain = notebook_arm(params, names).commands
    ours = {
        recipe: {name: Training(name, {**changes, "epochs": 1}) for name in names}
        for recipe, changes in RECIPES.items()
    }
    gigabytes = {}
    with ThreadPoolExecutor(fill_cores(PROJECT)) as pool:
        for column, works in {**ours, NOTEBOOK: plain}.items():
            if column not in without:
                peaks = pool.map(_measure_training if column in ours else _measure, works.values())
                gigabytes[column] = dict(zip(works, peaks, strict=True))
    record("memory", {"peak_gigabytes": gigabytes}, table)


def _measure_training(training: Training) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        return _measure(prepare(training, Path(folder)))


def _measure(command: Sequence[str | Path]) -> dict[str, float]:
    """Return the peak gigabytes of a command, and of its private part.

    An arm of a benchmark does its warm-up only, since its input is empty; it is a whole unit.
    """
    most = {"all": 0, "private": 0}
    variables = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    with psutil.Popen(command, cwd=ARMS, env=variables, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with suppress(psutil.Error):  # it has just ended
                found = process.memory_info()
                now = {"all": found.rss, "private": found.rss - found.shared}
                most = {key: max(most[key], now[key]) for key in most}
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    gigabytes = {key: round(each / 1e9, 3) for key, each in most.items()}
    print(f"{command[1:3]}: {gigabytes}", flush=True)
    return gigabytes


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    columns = result["peak_gigabytes"]
    lines = [
        f"| | {' | '.join(f'{name} | private' for name in columns)} |",
        "|---|" + "--:|" * 2 * len(columns),
    ]
    for name in next(iter(columns.values())):
        cells = [
            f"{each[name][key]:.2f} GB" for each in columns.values() for key in ("all", "private")
        ]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return [*lines, "", f"{where(result)}."]


if __name__ == "__main__":
    main()

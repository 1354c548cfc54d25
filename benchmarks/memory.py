"""How much memory a training takes: that of the stage itself, in an epoch of all images.

What a process holds is told, and what of it is its own. The rest is shared by all trainings at
once: TensorFlow's libraries, and the images, which are mapped into memory. It can be measured on a
machine that does something else, too.

Writes ``benchmarks/results/memory.json``, and the table in ``benchmarks/README.md``.
"""

import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from networks import PARAMS
from reporting import describe_machine, make_parser, record, where
from trainings import Training, prepare

from convdepth.config.params import read_params

PRECISIONS = ("float32", "mixed_bfloat16")

POLL_SECONDS = 0.2
"""How often the memory is looked at; what a training takes, it keeps."""


def main() -> None:
    """Measure, and write the results."""
    make_parser(__doc__).parse_args()
    names = list(read_params(PARAMS).architectures)
    gigabytes = {
        precision: {
            name: _measure(Training(name, {"precision": precision, "epochs": 1})) for name in names
        }
        for precision in PRECISIONS
    }
    record("memory", {"machine": describe_machine(), "peak_gigabytes": gigabytes}, table)


def _measure(training: Training) -> dict[str, float]:
    """Give the most that a training holds, all of it and its own, in gigabytes."""
    most = {"all": 0, "own": 0}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as output:
        command = prepare(training, Path(folder))
        with subprocess.Popen(command, stdout=output, stderr=output) as process:
            watched = psutil.Process(process.pid)
            while process.poll() is None:
                with suppress(psutil.Error):  # it has just ended
                    found = watched.memory_info()
                    own = found.rss - found.shared  # the latter can be read from its file again
                    most = {"all": max(most["all"], found.rss), "own": max(most["own"], own)}
                time.sleep(POLL_SECONDS)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{training.key}: {output.read()}")
    gigabytes = {key: round(each / 1e9, 3) for key, each in most.items()}
    print(f"{training.key}: {gigabytes}", flush=True)
    return gigabytes


def table(result: Mapping[str, Any]) -> list[str]:
    """Give the lines for the README."""
    by_precision = result["peak_gigabytes"]
    lines = [
        f"| | {' | '.join(f'{precision} | its own' for precision in by_precision)} |",
        "|---|" + "--:|" * 2 * len(by_precision),
    ]
    for name in by_precision[PRECISIONS[0]]:
        cells = [
            f"{each[name][key]:.2f} GB" for each in by_precision.values() for key in ("all", "own")
        ]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return [*lines, "", f"{where(result)}."]


if __name__ == "__main__":
    main()

"""Start-up of commands, imports of stages, a run with nothing to do, and sizes of outputs.

It needs an up-to-date project: run ``make repro`` first. Writes
``benchmarks/results/around_training.json``, and the table in ``benchmarks/README.md``.
"""

import operator
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from interleaving import time_each
from networks import PROJECT
from reporting import make_parser, record, where
from ruamel.yaml import YAML

MODULES = (
    *("data.download", "data.normalize", "data.validation.validate"),
    *("training.train", "evaluation.evaluate", "figures.plot"),
)

STATUS, REPRO = "dvc status", "dvc repro, nothing to do"

COMMANDS = {
    "convdepth --help": ("convdepth", "--help"),
    "convdepth train --help": ("convdepth", "train", "--help"),
    "convdepth summary cnn1": ("convdepth", "summary", "cnn1"),
    **{
        f"import convdepth.{each}": ("python", "-c", f"import convdepth.{each}") for each in MODULES
    },
    STATUS: ("dvc", "status"),
    REPRO: ("dvc", "repro"),
}


def main() -> None:
    """Measure, and write the results."""
    rounds = make_parser(__doc__, rounds=7).parse_args().rounds
    works = {name: partial(_time, command) for name, command in COMMANDS.items()}
    seconds = time_each(works, rounds)
    ratios = map(operator.truediv, seconds[REPRO], seconds[STATUS])
    result = {
        "seconds": seconds,
        "repro_over_status": round(statistics.median(ratios), 2),
        "bytes": _sizes(),
    }
    record("around_training", result, table)


def _time(command: Sequence[str]) -> float:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started = time.perf_counter()
    subprocess.run(
        command, cwd=PROJECT, env={**os.environ, "PATH": path}, check=True, capture_output=True
    )
    return time.perf_counter() - started


def _sizes() -> dict[str, int]:
    """Return the bytes of each output, from the lock file."""
    stages = YAML(typ="safe").load(PROJECT / "dvc.lock")["stages"]
    return {out["path"]: out["size"] for stage in stages.values() for out in stage.get("outs", [])}


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    lines = ["| command | median | slowest |", "|---|--:|--:|"]
    for name, seconds in result["seconds"].items():
        lines.append(f"| `{name}` | {statistics.median(seconds):.2f} s | {max(seconds):.2f} s |")
    sizes: Counter[str] = Counter()
    for path, size in result["bytes"].items():
        sizes["/".join(path.split("/")[:2])] += size
    largest = ", ".join(f"`{path}` {size / 1e6:.1f} MB" for path, size in sizes.most_common(3))
    return [
        *lines,
        "",
        f"`dvc repro` over `dvc status`: {result['repro_over_status']:.2f}. Outputs: "
        f"{sum(sizes.values()) / 1e6:.0f} MB, the largest {largest}.",
        "",
        f"{where(result)}.",
    ]


if __name__ == "__main__":
    main()

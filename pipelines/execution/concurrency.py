"""How many trainings this machine has room for."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field

from convdepth.config.params import read_params

Jobs = Annotated[int, Field(ge=1)]

TRAINING_BYTES = 1_200_000_000  # 0.7 GB of it is its own, see ``benchmarks/memory.py``
SHARED = 2  # trainings for each share of the cores; with one, a core idles at the end

PROCESS_CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def choose_jobs(jobs: int | None, folder: Path = Path()) -> int:
    """Return how many trainings may run at once: the user's choice, or as many as fit."""
    return jobs or max(1, min(SHARED * fill_cores(folder), _free_bytes() // TRAINING_BYTES))


def fill_cores(folder: Path = Path()) -> int:
    """Return how many trainings of ``train.threads`` threads fill the cores, at least 1."""
    return max(1, int(_cores() // read_params(folder / "params.yaml").train.threads))


def _cores() -> float:
    quotas: list[float] = [len(os.sched_getaffinity(0))]
    for group in _cgroups():
        with suppress(OSError, ValueError):  # no such file, or `max`
            quota, period = map(int, (group / "cpu.max").read_text(encoding="ascii").split())
            quotas.append(quota / period)
    return min(quotas)


def _free_bytes() -> int:
    free: list[int] = [psutil.virtual_memory().available]
    for group in _cgroups():
        with suppress(OSError, ValueError):  # no such file, or `max`
            limit, used = (
                int((group / f"memory.{name}").read_text()) for name in ("max", "current")
            )
            stat = dict(map(str.split, (group / "memory.stat").read_text().splitlines()))
            # The kernel drops old file pages when needed; Kubernetes counts in the same way.
            free.append(limit - max(0, used - int(stat.get("inactive_file", 0))))
    return min(free)


def _cgroups() -> Iterator[Path]:
    """Yield this process's group of cgroup v2 and all groups above it; each may set a limit."""
    with suppress(OSError):
        for line in PROCESS_CGROUP.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::/"):
                own = CGROUPS / line.removeprefix("0::/")
                yield from (own, *(above for above in own.parents if above.is_relative_to(CGROUPS)))

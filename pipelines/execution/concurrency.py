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

TRAINING_BYTES = 1_200_000_000
"""Memory for one training; about 0.7 GB of it is its own, see ``benchmarks/memory.py``."""

SHARED = 2
"""Trainings for each share of the cores. With one, a core idles while the last ones run."""

PROCESS_CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def choose_jobs(jobs: int | None, folder: Path = Path()) -> int:
    """Return how many trainings may run at once: the user's choice, or as many as fit.

    The limits are the free memory, and `SHARED` times the number of trainings that fill the cores.
    """
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
        with suppress(OSError, ValueError):
            limit, used = (_read(group / name) for name in ("memory.max", "memory.current"))
            free.append(limit - max(0, used - _droppable(group)))
    return min(free)


def _droppable(group: Path) -> int:
    """Return the bytes of old file pages, which the kernel drops when needed; as Kubernetes."""
    with suppress(OSError, ValueError, KeyError):
        facts = dict(map(str.split, (group / "memory.stat").read_text("ascii").splitlines()))
        return int(facts["inactive_file"])
    return 0


def _read(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


def _cgroups() -> Iterator[Path]:
    """Yield this process's group of cgroup v2 and all groups above it; each may set a limit."""
    with suppress(OSError):
        for line in PROCESS_CGROUP.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::/"):
                own = CGROUPS / line.removeprefix("0::/")
                yield from (own, *(above for above in own.parents if above.is_relative_to(CGROUPS)))

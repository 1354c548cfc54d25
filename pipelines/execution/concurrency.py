"""How many trainings this machine has room for."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import psutil
from pydantic import Field

from convdepth.config.params import read_params

Jobs = Annotated[int, Field(ge=1)]

TRAINING_BYTES = 1_200_000_000
"""What one training is given; about 0.7 GB of it are its own, see ``benchmarks/memory.py``."""

CONTAINER_LIMITS = [
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
]
"""Where Linux says how much memory a container may have, in both versions of its control groups."""


class Width(NamedTuple):
    """How many tasks may run at once.

    Attributes:
        jobs: As a rule: one for each core, or for the cores of each one's threads.
        most: If they share the cores.
    """

    jobs: int
    most: int


def choose_width(jobs: int | None, folder: Path = Path()) -> Width:
    """Choose how many trainings run at once.

    Args:
        jobs: What the user wants, which is never exceeded; by default the cores over
            ``train.threads``, and at most one less than twice as many that share the cores, if
            the memory that is free now is enough.
        folder: The root of the project.

    Returns:
        The numbers, at least 1.

    Raises:
        ParameterError: ``params.yaml`` is wrong.
    """
    if jobs:
        return Width(jobs, jobs)
    threads = read_params(folder / "params.yaml").train.threads
    jobs = max(1, len(os.sched_getaffinity(0)) // threads)
    return Width(jobs, max(jobs, min(2 * jobs - 1, _free_bytes() // TRAINING_BYTES)))


def _free_bytes() -> int:
    limits: list[int] = [psutil.virtual_memory().available]
    for path in CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # no such file; or `max`, which is no limit
            limits.append(int(path.read_text(encoding="ascii")))
    return min(limits)

"""Arms measured side by side, each with the number of processes at once that suits it."""

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy import stats

Piece = TypeVar("Piece")
Process = subprocess.Popen[str]
Processes = dict[tuple[str, str], Process]
"""By the names of an arm and of its piece of work."""

ARMS = Path(__file__).resolve().parent / "arms"


@dataclass(frozen=True)
class Arm:
    """One way to do the work.

    Attributes:
        name: Label in the tables.
        commands: For each piece of work, such as a network, the command that does it.
        jobs: Number of pieces that run at once.
        environment: Environment variables to add.
        every: The arm runs in every n-th round only, beginning with the first.
    """

    name: str
    commands: Mapping[str, Sequence[str | Path]]
    jobs: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    every: int = 1


Sample = dict[str, dict[str, float]]
"""For each piece of work, seconds and amount of one unit; see `arms/protocol.py`."""


def measure(arms: Sequence[Arm], rounds: int) -> dict[str, list[Sample]]:
    """Start all arms, then run those that are due in each round, in random order.

    Returns:
        For each arm, one sample per round in which it ran.
    """
    samples: dict[str, list[Sample]] = {arm.name: [] for arm in arms}
    with ExitStack() as stack:
        processes: Processes = {}
        pieces = [(arm, piece) for arm in arms for piece in arm.commands]
        for group in rounds_of(pieces, os.cpu_count() or 1):
            processes |= start(group, stack)
            print(f"started: {[f'{arm.name} ({piece})' for arm, piece in group]}", flush=True)
        for number in range(rounds):
            due = [arm for arm in arms if number % arm.every == 0]
            for arm in random.sample(due, len(due)):
                sample: Sample = {}
                for names in rounds_of(list(arm.commands), arm.jobs):
                    sample |= run(arm, names, processes)
                samples[arm.name].append(sample)
                shown = "  ".join(f"{key} {each['seconds']:.2f} s" for key, each in sample.items())
                print(f"round {number + 1}/{rounds}  {arm.name}: {shown}", flush=True)
    return samples


def time_each(
    works: Mapping[str, Callable[[], float]], rounds: int, warm_ups: int = 1
) -> dict[str, list[float]]:
    """Do all works in each round, in random order; return the seconds that they return."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(-warm_ups, rounds):
        for name in random.sample(list(works), len(works)):
            spent = round(works[name](), 3)
            print(f"round {number + 1}/{rounds}  {name}: {spent:.1f} s", flush=True)
            if number >= 0:
                seconds[name].append(spent)
    return seconds


def run_arm(arm: Arm) -> Sample:
    """Start and run each piece of work once, `Arm.jobs` at a time."""
    sample: Sample = {}
    for names in rounds_of(list(arm.commands), arm.jobs):
        with ExitStack() as stack:
            sample |= run(arm, names, start([(arm, name) for name in names], stack))
    return sample


def start(pieces: Sequence[tuple[Arm, str]], stack: ExitStack) -> Processes:
    """Start pieces of work, and wait until each is ready; the stack stops them."""
    processes = {
        (arm.name, name): stack.enter_context(started(arm.commands[name], arm.environment))
        for arm, name in pieces
    }
    for process in processes.values():
        read_line(process)
    return processes


def run(arm: Arm, names: Sequence[str], processes: Processes) -> Sample:
    """Let processes do their units of work at the same time."""
    running = {name: processes[arm.name, name] for name in names}
    for process in running.values():
        if process.stdin is not None:
            print(file=process.stdin, flush=True)
    return {name: json.loads(read_line(process)) for name, process in running.items()}


def rounds_of(pieces: Sequence[Piece], jobs: int) -> list[list[Piece]]:
    """Split work into rounds; a last round that would not be full joins the one before.

    If a round has more pieces than jobs, they share the cores.
    """
    odd = len(pieces) % jobs
    last = max(0, len(pieces) - (jobs + odd if odd else 0))
    full = [list(pieces[start : start + jobs]) for start in range(0, last, jobs)]
    return [*full, list(pieces[last:])] if odd else full


@contextmanager
def started(command: Sequence[str | Path], environment: Mapping[str, str]) -> Iterator[Process]:
    """Start an arm, which will print ``ready``; the end of the block stops it."""
    with subprocess.Popen(
        command,
        cwd=ARMS,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: Process) -> str:
    """Wait for the next line of an arm.

    Raises:
        SystemExit: It has ended.
    """
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        words = " ".join(map(str, process.args)) if isinstance(process.args, list) else ""
        raise SystemExit(f"an arm has failed; this shows why: echo go | {words}")
    return line


def compare(base: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """Compare two arms by the ratio of each round, given their seconds in the same order.

    Returns:
        How many times as long the base takes: the median of the ratios, and the bounds of its
        95% bootstrap interval.
    """
    ratios = np.asarray(base) / np.asarray(other)
    result: dict[str, Any] = {"median": round(float(np.median(ratios)), 3)}
    if len(ratios) > 1 and np.ptp(ratios) > 0:
        interval = stats.bootstrap(
            (ratios,), np.median, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        result |= {"low": round(float(interval.low), 3), "high": round(float(interval.high), 3)}
    return result


def show_ratio(ratio: Mapping[str, float]) -> str:
    """Format a result of `compare`, with its interval if it has one."""
    if "low" not in ratio:
        return f"{ratio['median']:.2f}"
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"

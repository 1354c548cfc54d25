"""Arms measured side by side: as many processes at once as each arm means to have."""

import json
import os
import random
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy import stats

Piece = TypeVar("Piece")

ARMS = Path(__file__).resolve().parent / "arms"


@dataclass(frozen=True)
class Arm:
    """One way to do the work.

    Attributes:
        name: For the tables.
        commands: For each piece of work, such as a network, the command that does it.
        jobs: How many pieces are done at once.
        environment: Variables beside those of this process.
        as_flow: Whether the last pieces share the cores (`rounds_of`), and what has ended leaves
            them to the others. Else what has ended goes on, so that each is measured beside as
            many.
    """

    name: str
    commands: Mapping[str, Sequence[str | Path]]
    jobs: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    as_flow: bool = False


Sample = dict[str, dict[str, float]]
"""For each piece of work seconds, amount and peak_bytes of one unit, see `arms/protocol.py`."""


def measure(arms: Sequence[Arm], rounds: int) -> dict[str, list[Sample]]:
    """Run all arms in each round, in random order; give for each one sample of each round."""
    samples: dict[str, list[Sample]] = {arm.name: [] for arm in arms}
    for number in range(rounds):
        for arm in random.sample(list(arms), len(arms)):
            samples[arm.name].append(run_arm(arm))
            shown = "  ".join(
                f"{piece} {sample['seconds']:.2f} s"
                for piece, sample in samples[arm.name][-1].items()
            )
            print(f"round {number + 1}/{rounds}  {arm.name}: {shown}", flush=True)
    return samples


def run_arm(arm: Arm) -> Sample:
    """Run each piece of work once, as many at a time as the arm means to have."""
    sample: Sample = {}
    pieces = list(arm.commands)
    groups = [pieces[start : start + arm.jobs] for start in range(0, len(pieces), arm.jobs)]
    for group in rounds_of(pieces, arm.jobs) if arm.as_flow else groups:
        with ExitStack() as stack:
            processes = [
                stack.enter_context(started(arm.commands[piece], arm.environment))
                for piece in group
            ]
            for process in processes:
                read_line(process)  # it says that it is ready
            for process in processes:
                write_line(process, "once" if arm.as_flow else "go")
            for piece, process in zip(group, processes, strict=True):
                sample[piece] = json.loads(read_line(process))
    return sample


def rounds_of(pieces: Sequence[Piece], jobs: int) -> list[list[Piece]]:
    """Split work into rounds; a last round that would not be full joins the one before.

    The pieces have about one length. If a round has more of them than jobs, they share the cores.
    """
    odd = len(pieces) % jobs
    last = max(0, len(pieces) - (jobs + odd if odd else 0))
    full = [list(pieces[start : start + jobs]) for start in range(0, last, jobs)]
    return [*full, list(pieces[last:])] if odd else full


@contextmanager
def started(
    command: Sequence[str | Path], environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    """Start an arm, which will say ``ready``; at the end of the block it is stopped."""
    with subprocess.Popen(
        command,
        cwd=ARMS,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def write_line(process: "subprocess.Popen[str]", line: str) -> None:
    """Tell an arm what to do: ``go`` or ``once``, see `arms/protocol.py`."""
    if process.stdin is not None:
        print(line, file=process.stdin, flush=True)


def read_line(process: "subprocess.Popen[str]") -> str:
    """Wait for what an arm says next.

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
        95 % bootstrap interval.
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
    """Write what `compare` gave, with its interval where there is one."""
    if "low" not in ratio:
        return f"{ratio['median']:.2f}"
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"

"""How the cost of training grows: with the images, with the networks, and with the jobs.

Writes ``benchmarks/results/growth.json``, and the tables in ``benchmarks/README.md``.
"""

import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from interleaving import Arm, measure, run_arm
from networks import NORMALIZED, PARAMS, PROJECT
from reporting import describe_machine, make_parser, record, where

from pipelines.execution.concurrency import fill_cores

NETWORK = "cnn3"
IMAGES = 7680
SHARES = (0.25, 0.5, 1, 2)
NETWORKS = range(1, 9)
AT_ONCE = fill_cores(PROJECT)
JOBS = range(1, 5)


def main() -> None:
    """Measure, and write the results."""
    rounds = make_parser(__doc__, rounds=3).parse_args().rounds
    result = {
        "machine": describe_machine(),
        "rounds": rounds,
        "at_once": AT_ONCE,
        "images": _by_images(rounds),
        "networks": _by_networks(rounds),
        "jobs": _by_jobs(rounds),
    }
    record("growth", result, table)


def _command(images: int, threads: int = 1) -> Sequence[Any]:
    return [
        *(sys.executable, "ours.py", "--params", PARAMS, "--name", NETWORK),
        *("--normalized", NORMALIZED, "--images", str(images), "--threads", str(threads)),
    ]


def _by_images(rounds: int) -> dict[str, Any]:
    counts = [round(IMAGES * share) for share in SHARES]
    samples = measure([Arm(str(count), {NETWORK: _command(count)}) for count in counts], rounds)
    medians = {
        count: statistics.median(sample[NETWORK]["seconds"] for sample in samples[str(count)])
        for count in counts
    }
    return _line(medians, "image")


def _by_networks(rounds: int) -> dict[str, Any]:
    """Time short trainings, starts and imports included, as many at once as the flow would have.

    One alone leaves a core without work, so the line begins with two.
    """
    seconds: dict[int, list[float]] = {count: [] for count in NETWORKS}
    for number in range(rounds):
        for count in random.sample(NETWORKS, len(NETWORKS)):
            pieces = {f"network {piece}": _command(1280) for piece in range(count)}
            seconds[count].append(_wall(Arm(f"{count}", pieces, AT_ONCE)))
            print(f"round {number + 1}/{rounds}  {count} networks: {seconds[count][-1]:.1f} s")
    medians = {count: statistics.median(each) for count, each in seconds.items()}
    return _line(medians, "network", begin=AT_ONCE)


def _by_jobs(rounds: int) -> dict[str, Any]:
    """Give the images per second of some trainings at once, and of one with two threads."""
    arms = [
        Arm(str(jobs), {f"job {number}": _command(3840) for number in range(jobs)}, jobs)
        for jobs in JOBS
    ]
    arms.append(Arm("1, of two threads", {"job 0": _command(3840, threads=2)}))
    samples = measure(arms, rounds)
    speeds = {
        arm.name: statistics.median(
            sum(entry["amount"] / entry["seconds"] for entry in sample.values())
            for sample in samples[arm.name]
        )
        for arm in arms
    }
    return {"images_per_second": {name: round(speed) for name, speed in speeds.items()}}


def _wall(arm: Arm) -> float:
    started = time.perf_counter()
    run_arm(arm)
    return time.perf_counter() - started


def _line(seconds: Mapping[int, float], unit: str, begin: int = 0) -> dict[str, Any]:
    """Fit a straight line, from where it begins, and tell how far the points are from it."""
    x, y = np.array([(count, each) for count, each in seconds.items() if count >= begin]).T
    slope, constant = np.polyfit(x, y, 1)
    off = np.abs(slope * x + constant - y).max() / y.max()
    return {
        "seconds": {str(each): round(value, 3) for each, value in seconds.items()},
        "unit": unit,
        "slope": float(f"{slope:.4g}"),
        "constant": round(float(constant), 3),
        "largest_deviation": round(float(off), 4),
    }


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    lines = ["| what grows | seconds | per unit | largest deviation |", "|---|--:|--:|--:|"]
    for what in ("images", "networks"):
        found = result[what]
        numbers = list(found["seconds"])
        spread = f"{found['seconds'][numbers[0]]:.1f} s to {found['seconds'][numbers[-1]]:.1f} s"
        lines.append(
            f"| {numbers[0]} to {numbers[-1]} {what} | {spread} | {found['slope']:.3g} s | "
            f"{found['largest_deviation']:.1%} |"
        )
    lines += ["", "| trainings at once | images per second, all together |", "|--:|--:|"]
    lines += [
        f"| {jobs} | {speed:,} |" for jobs, speed in result["jobs"]["images_per_second"].items()
    ]
    return [*lines, "", f"`{NETWORK}`, float32; {where(result)}."]


if __name__ == "__main__":
    main()

"""How the cost of training grows with the number of networks, and what more at once gain.

Writes ``benchmarks/results/growth.json``, and the tables in ``benchmarks/README.md``.
"""

import statistics
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from interleaving import Arm, measure, run_arm, time_each
from networks import PROJECT
from reporting import make_parser, record, where
from training_speed import our_command

from pipelines.execution.concurrency import fill_cores

NETWORK = "cnn3"
NETWORKS = range(1, 9)
AT_ONCE = fill_cores(PROJECT)
JOBS = range(1, 5)


def main() -> None:
    """Measure, and write the results."""
    rounds = make_parser(__doc__, rounds=3).parse_args().rounds
    result = {
        "rounds": rounds,
        "at_once": AT_ONCE,
        "networks": _by_networks(rounds),
        "jobs": _by_jobs(rounds),
    }
    record("growth", result, table)


def _by_networks(rounds: int) -> dict[str, Any]:
    """Fit a line to the seconds of short trainings with start-up, as many at once as cores.

    One network alone leaves a core idle, so the line begins with two.
    """
    works = {str(count): partial(_wall, count) for count in NETWORKS}
    seconds = {
        int(count): statistics.median(each)
        for count, each in time_each(works, rounds, warm_ups=0).items()
    }
    x, y = np.array([(count, each) for count, each in seconds.items() if count >= AT_ONCE]).T
    slope, constant = np.polyfit(x, y, 1)
    return {
        "seconds": {str(each): round(value, 3) for each, value in seconds.items()},
        "slope": float(f"{slope:.4g}"),
        "constant": round(float(constant), 3),
        "largest_deviation": round(float(np.abs(slope * x + constant - y).max() / y.max()), 4),
    }


def _wall(count: int) -> float:
    commands = {f"network {piece}": our_command(NETWORK, 1280) for piece in range(count)}
    started = time.perf_counter()
    run_arm(Arm(str(count), commands, AT_ONCE))
    return time.perf_counter() - started


def _by_jobs(rounds: int) -> dict[str, Any]:
    """Return the images per second of trainings at once, and of one with two threads."""
    command = our_command(NETWORK, 3840)
    arms = [Arm(str(jobs), {f"{job}": command for job in range(jobs)}, jobs) for jobs in JOBS]
    arms.append(Arm("1, of two threads", {"0": [*command, "--threads", "2"]}))
    speeds = {
        name: statistics.median(
            sum(entry["amount"] / entry["seconds"] for entry in sample.values()) for sample in each
        )
        for name, each in measure(arms, rounds).items()
    }
    return {"images_per_second": {name: round(speed) for name, speed in speeds.items()}}


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    found = result["networks"]
    seconds = found["seconds"]
    fewest, most = str(result["at_once"]), list(seconds)[-1]
    lines = ["| trainings at once | images per second, all together |", "|--:|--:|"]
    for jobs, speed in result["jobs"]["images_per_second"].items():
        lines.append(f"| {jobs} | {speed:,} |")
    return [
        f"From {fewest} networks ({seconds[fewest]:.1f} s) to {most} ({seconds[most]:.1f} s), each "
        f"adds {found['slope']:.2f} s; a straight line is off by at most "
        f"{found['largest_deviation']:.1%} of the largest.",
        "",
        *lines,
        "",
        f"`{NETWORK}`, float32; {where(result)}.",
    ]


if __name__ == "__main__":
    main()

"""What `train.portable` costs on this CPU: `make bench`.

It measures two arms of `training_speed`, and keeps the rows of other CPUs.

Writes ``benchmarks/results/portable_cost.csv`` and ``.json``, and the table in
``benchmarks/README.md``.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from interleaving import measure, show_ratio
from networks import PARAMS
from reporting import FOLDER, describe_machine, make_parser, record, write_rows
from training_speed import IMAGES, OURS, PORTABLE, arms_of, compare_jobs, jobs_of, rows_of

from convdepth.config.params import read_params

ROWS = FOLDER / "results" / "portable_cost.csv"


def main() -> None:
    """Measure, and write the results."""
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("--images", type=int, default=IMAGES, help="of one unit of work")
    arguments = parser.parse_args()
    params, cpu = read_params(PARAMS), describe_machine()["cpu"]
    frames = []
    for network in params.architectures:
        every = arms_of(params, network, arguments.images)
        arms = [arm for arm in every if arm.name in (OURS, PORTABLE)]
        frames.append(rows_of(arms, measure(arms, arguments.rounds)))
    here = pd.concat(frames).assign(cpu=cpu)
    known = pd.read_csv(ROWS)
    frame = pd.concat([known[known["cpu"] != cpu], here])
    write_rows("portable_cost", frame)
    record("portable_cost", summarize(frame), table)


def summarize(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the time of portable over native trainings of all networks, by CPU."""
    jobs = {key: jobs_of(own) for key, own in frame.groupby(["cpu", "arm"], sort=False)}
    cpus = frame["cpu"].unique()
    return {"by_cpu": {cpu: compare_jobs(jobs[cpu, PORTABLE], jobs[cpu, OURS]) for cpu in cpus}}


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    rows = [f"| {cpu} | {show_ratio(ratio)} |" for cpu, ratio in result["by_cpu"].items()]
    return ["| CPU | time, portable over native float32 |", "|---|--:|", *rows]


if __name__ == "__main__":
    main()

"""What the flow costs beside the stages: `make bench`.

A made-up project has the graph of this one with two networks, and stages that sleep. The flow
cannot be faster than the longest path: each stage by itself, as the flow runs it (`dvc repro
--single-item`). In each round all arms run, in random order.

Writes ``benchmarks/results/flow_overhead.json``, and the table in ``benchmarks/README.md``.
"""

import operator
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from interleaving import time_each
from networks import PROJECT
from reporting import make_parser, record, where

PATHS = [
    ["download", "normalize", "validate", f"train@{name}", f"evaluate@{name}", "plot"]
    for name in ("one", "two")
]

DVC_YAML = """
stages:
  download: {cmd: date > raw, deps: [params.yaml], outs: [raw]}
  normalize: {cmd: date > normalized, deps: [raw], outs: [normalized]}
  validate: {cmd: date > valid, deps: [normalized], outs: [valid]}
  train:
    foreach: ${architectures}
    do:
      cmd: sleep 4 && date > ${key}.model
      deps: [normalized, valid]
      outs: ["${key}.model"]
  evaluate:
    foreach: ${architectures}
    do:
      cmd: sleep 1 && date > ${key}.scores
      deps: ["${key}.model"]
      outs: ["${key}.scores"]
  plot: {cmd: date > figure, deps: [one.scores, two.scores], outs: [figure]}
"""

ARCHITECTURES = """architectures:
  one: {block1: {conv1: {filters: 1, kernel_size: 3}, pool_size: 2}, head: {units: 1}}
  two: {block1: {conv1: {filters: 2, kernel_size: 3}, pool_size: 2}, head: {units: 1}}
"""


def main() -> None:
    """Measure, and write the results."""
    rounds = make_parser(__doc__, rounds=7).parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder)) as url:
        times = time_each(_arms(_create(Path(folder)), url), rounds)
    result = {"rounds": rounds, "seconds": times, **_summarize(times)}
    record("flow_overhead", result, table)


def _arms(project: Path, url: str) -> dict[str, Callable[[], float]]:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
        "PREFECT_HOME": str(project.parent / "prefect"),
        "DVC_SITE_CACHE_DIR": str(project.parent / "dvc"),
        "DO_NOT_TRACK": "1",
    }
    environment.pop("PREFECT_API_URL", None)
    running = {**environment, "PREFECT_API_URL": url}
    dvc = [sys.executable, "-m", "dvc"]
    flow = [sys.executable, "-m", "pipelines", "pipeline", "--jobs", "2"]

    def run(command: list[str], environment: dict[str, str] = environment) -> float:
        started = time.perf_counter()
        subprocess.run(command, cwd=project, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    def alone(stage: str) -> float:
        return run([*dvc, "--wait-for-lock", "repro", "--single-item", "--force", stage])

    def longest_path() -> float:
        seconds = {stage: alone(stage) for stage in dict.fromkeys([*PATHS[0][:-1], *PATHS[1]])}
        return max(sum(seconds[stage] for stage in path) for path in PATHS)

    return {
        "longest path of the stages": longest_path,
        "flow, server running": lambda: run([*flow, "--force"], running),
        "flow, server of its own": lambda: run([*flow, "--force"]),
        "dvc repro": lambda: run([*dvc, "repro", "--force"]),
        "nothing to do: python -m pipelines pipeline": lambda: run(flow),
        "nothing to do: dvc repro": lambda: run([*dvc, "repro"]),
        "nothing to do: dvc status": lambda: run([*dvc, "status"]),
    }


def _summarize(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    floor = times["longest path of the stages"]
    overhead = {
        name: round(statistics.median(map(operator.sub, times[name], floor)), 2)
        for name in ("flow, server running", "flow, server of its own")
    }
    medians = {name: round(statistics.median(each), 2) for name, each in times.items()}
    return {"medians": medians, "overhead": overhead}


def _create(folder: Path) -> Path:
    project = folder / "project"
    project.mkdir()
    recipe = (PROJECT / "params.yaml").read_text(encoding="utf-8").partition("# One entry is")[0]
    (project / "params.yaml").write_text(recipe + ARCHITECTURES, encoding="utf-8")
    (project / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    for command in ("git init --quiet", f"{sys.executable} -m dvc init --quiet"):
        subprocess.run(command.split(), cwd=project, check=True)
    shutil.copy2(PROJECT / ".dvc" / "config", project / ".dvc" / "config")
    return project


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    port = "4919"
    server = [sys.executable, "-m", "prefect", "--no-prompt", "server", "start", "--port", port]
    environment = {**os.environ, "PREFECT_HOME": str(folder / "server")}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            server, cwd=PROJECT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_for_port(int(port), process)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        process.terminate()
        process.wait()


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/api/health").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit("the Prefect server has ended")


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the lines for the benchmarks' page."""
    rows = ["| | median | fastest to slowest | over the longest path |", "|---|--:|--:|--:|"]
    for name, median in result["medians"].items():
        seconds = result["seconds"][name]
        spread = f"{min(seconds):.1f} to {max(seconds):.1f} s"
        over = f"{result['overhead'][name]:.1f} s" if name in result["overhead"] else ""
        rows.append(f"| {name} | {median:.1f} s | {spread} | {over} |")
    return [*rows, "", f"{where(result)}."]


if __name__ == "__main__":
    main()

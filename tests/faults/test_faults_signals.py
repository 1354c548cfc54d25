"""A signal to a stage, to DVC, to the flow or to the worker: nothing of it is left within 5 s."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import serving
import toy
from fault_report import Record, is_full
from waiting import lives, wait_until

import faults
from faults import STAGES, Finished
from project import HEED_SIGINT, Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)

LIMIT_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
"""A sample may run where others work: there it must end, and the table says within what time."""

TARGETS = ("stage", "dvc", "flow")

SAMPLE = {
    "stage": [(signal.SIGTERM, "train@tiny")],
    "dvc": [(signal.SIGKILL, "plot")],
    "flow": [(signal.SIGINT, "train@tiny")],
}

FLOWS = {
    "train": ["train-architecture", "tiny"],
    "evaluate": ["train-architecture", "tiny"],
    "plot": ["plot-results"],
}
"""The flow that runs a stage; the others are run by `prepare-data`."""

SEED = 20260104


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    full = is_full(metafunc.config)
    everything = [(number, stage) for number in SIGNALS for stage in STAGES]
    if "trials" in metafunc.fixturenames:
        cases = [(target, everything if full else SAMPLE[target]) for target in TARGETS]
        metafunc.parametrize(("target", "trials"), cases, ids=TARGETS)
    if "number" in metafunc.fixturenames:
        # `test_pipelines_worker` stops a worker, too.
        metafunc.parametrize("number", SIGNALS if full else [])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving.server(tmp_path_factory.mktemp("server")) as url:
        yield url


def test_a_signal_leaves_no_process(
    finished: Finished,
    workspace: Project,
    full: bool,
    record_fault: Record,
    url: str,
    target: str,
    trials: list[tuple[signal.Signals, str]],
) -> None:
    workspace.environment["PREFECT_API_URL"] = url
    moments = random.Random(f"{SEED} {target}")
    seconds, wrong = {}, []
    for number, stage in trials:
        moment = moments.uniform(0, finished.seconds[stage] / 2)
        if target == "dvc" and number == signal.SIGINT:
            wrong += find_why_it_did_not_go_on(workspace, stage, moment)
        else:
            taken = try_signal(workspace, target, number, stage, moment)
            seconds[f"{number.name} during {stage}"] = taken
    record(record_fault, target, list(seconds.values()), len(trials))
    assert wrong == []
    assert too_slow(seconds, full=full) == []
    faults.restore(workspace)
    assert faults.results(workspace) == finished.results


def record(record_fault: Record, target: str, seconds: list[float], tried: int) -> None:
    within = sum(taken <= LIMIT_SECONDS for taken in seconds)
    note = f"{target}: {max(seconds):.1f} s at most"
    # DVC ignores a SIGINT to itself alone while a stage runs, and comes to its proper end.
    ignored = tried - len(seconds)
    others = {"SIGINT to dvc alone, which it ignores": ignored} if ignored else {}
    record_fault("signals", within, tried, note, **others)


def too_slow(seconds: Mapping[str, float], *, full: bool) -> list[str]:
    limit = LIMIT_SECONDS if full else PATIENCE_SECONDS
    return [f"{name}: {taken:.1f} s" for name, taken in seconds.items() if taken > limit]


def try_signal(
    project: Project, target: str, number: signal.Signals, stage: str, moment: float
) -> float:
    """Send a signal while a stage is at work; give the seconds until nothing is left."""
    command = flow_of(stage) if target == "flow" else ["dvc", "repro", "--force", "--single-item"]
    if target != "flow":
        command.append(stage)
    for _ in range(20):
        faults.restore(project)
        with faults.started(project, *command) as process:
            member = faults.wait_for_stage(process, stage)
            time.sleep(moment)
            family = family_of(process)
            if not lives(member):
                process.communicate(timeout=300)
                continue  # too late
            aim = member.pid if target == "stage" else process.pid
            with contextlib.suppress(ProcessLookupError):  # too late
                return seconds_until_gone(process, family, partial(os.kill, aim, number))
    raise AssertionError(f"{stage} was never at work after {moment:.2f} s")


def flow_of(stage: str) -> list[str]:
    flow = FLOWS.get(stage.partition("@")[0], ["prepare-data"])
    return [*serving.PIPELINES, *flow, "--force"]


def family_of(process: "subprocess.Popen[Any]") -> list[psutil.Process]:
    """List a process, all below it, and all of its session."""
    root = psutil.Process(process.pid)
    return [root, *root.children(recursive=True), *faults.session(process.pid)]


def seconds_until_gone(
    process: "subprocess.Popen[Any]", family: list[psutil.Process], send: Any
) -> float:
    """Send, and wait until all of a family and its session are gone; give how long it took."""
    begin = time.monotonic()
    send()
    while time.monotonic() - begin < 2 * PATIENCE_SECONDS:
        process.poll()
        if not any(map(lives, family)) and not any(map(lives, faults.session(process.pid))):
            break
        time.sleep(0.05)
    return time.monotonic() - begin


def find_why_it_did_not_go_on(project: Project, stage: str, moment: float) -> list[str]:
    """DVC ignores SIGINT while a stage runs, so the run must come to its proper end."""
    faults.restore(project)
    with faults.started(project, "dvc", "repro", "--force", "--single-item", stage) as process:
        faults.wait_for_stage(process, stage)
        time.sleep(moment)
        family = family_of(process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=300)
        if process.returncode == 0 and not any(map(lives, family)):
            return []
        return [f"SIGINT to dvc during {stage}: ended with {process.returncode}\n{output}"]


def test_a_signal_to_a_worker_leaves_no_process(
    tmp_path: Path, full: bool, record_fault: Record, url: str, number: signal.Signals
) -> None:
    project = toy.create(tmp_path / "toy", tmp_path)
    project.environment["TOY"] = str(project.folder)
    serving.add_flows(project, {"nightly": {"parameters": {"require_gpu": False}, "schedules": []}})
    project.environment |= {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "2"}
    project.commit("The flows")
    serving.deploy(project, url)
    seconds = {}
    for stage in ("download", "train@one"):
        toy.mark(project, f"hang-{stage}")
        seconds[f"{number.name} during {stage}"] = stop_worker(project, url, stage, number)
        (project.folder / f"hang-{stage}").unlink()
    record(record_fault, "worker", list(seconds.values()), len(seconds))
    assert too_slow(seconds, full=full) == []


def stop_worker(project: Project, url: str, stage: str, number: signal.Signals) -> float:
    """Send a signal to a worker at whose run a stage hangs; give the seconds until all is gone."""
    begun = toy.log(project).count(f"begin {stage}")
    code = f"{HEED_SIGINT}from pipelines.__main__ import run; run()"
    command = [sys.executable, "-c", code, "worker"]
    log = (project.folder.parent / "worker.log").open("a")
    with (
        log,
        serving.client_of(url) as client,
        faults.started(project, *command, stdout=log) as process,
    ):
        run = serving.submit(client, "nightly/nightly", force=True)
        wait_until(lambda: toy.log(project).count(f"begin {stage}") > begun, 180)
        family = family_of(process)
        try:
            return seconds_until_gone(process, family, lambda: process.send_signal(number))
        finally:
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            client.delete_flow_run(run)  # else it counts as running for two minutes

"""A signal to a stage, to DVC, to the flow or to the worker: nothing of it is left within 5 s."""

import contextlib
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from subprocess import DEVNULL

import psutil
import pytest
import serving
import toy
from fault_report import Record
from waiting import lives, wait_until

import faults
from faults import STAGES, Finished, Process
from project import Project

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)

LIMIT_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
"""A sample may run where others work: there it must end, and the table says within what time."""

SAMPLE = {
    "stage": (signal.SIGTERM, "train@tiny"),
    "dvc": (signal.SIGKILL, "plot"),
    "flow": (signal.SIGINT, "train@tiny"),
}

FLOWS = {"train@tiny": ["train-architecture", "tiny"], "plot": ["plot-results"]}
FLOWS["evaluate@tiny"] = FLOWS["train@tiny"]
"""The flow that runs a stage; the others are run by `prepare-data`."""

SEED = 20260104


@pytest.mark.nightly
@pytest.mark.parametrize("target", SAMPLE)
def test_a_signal_leaves_no_process(
    finished: Finished,
    workspace: Project,
    full: bool,
    record_fault: Record,
    request: pytest.FixtureRequest,
    target: str,
) -> None:
    if target == "flow":
        workspace.environment["PREFECT_API_URL"] = request.getfixturevalue("harness")
    moments, seconds, ignored = random.Random(f"{SEED} {target}"), {}, 0
    for number, stage in product(SIGNALS, STAGES) if full else [SAMPLE[target]]:
        moment = moments.uniform(0, finished.seconds[stage] / 2)
        taken, code = try_signal(workspace, target, number, stage, moment)
        if (target, number) == ("dvc", signal.SIGINT):
            assert code == 0  # it is to DVC alone, which ignores it while a stage runs
            ignored += 1
        else:
            seconds[f"{number.name} during {stage}"] = taken
    others = {"SIGINT to dvc alone, which it ignores": ignored} if ignored else {}
    judge(record_fault, target, seconds, full=full, **others)
    faults.restore(workspace)
    assert finished.differences(workspace) == []


def judge(
    record_fault: Record, target: str, seconds: dict[str, float], *, full: bool, **others: int
) -> None:
    within = sum(taken <= LIMIT_SECONDS for taken in seconds.values())
    note = f"{target}: {max(seconds.values()):.1f} s at most"
    record_fault("signals", within, len(seconds) + sum(others.values()), note, **others)
    limit = LIMIT_SECONDS if full else PATIENCE_SECONDS
    assert {name: taken for name, taken in seconds.items() if taken > limit} == {}


def try_signal(
    project: Project, target: str, number: signal.Signals, stage: str, moment: float
) -> tuple[float, int | None]:
    """Signal while a stage is at work; give the seconds until nothing is left, and the exit code.

    A run that was over before the signal is repeated.
    """
    command = ["dvc", "repro", "--force", "--single-item", stage]
    if target == "flow":
        command = [*serving.PIPELINES, *FLOWS.get(stage, ["prepare-data"]), "--force"]
    for _ in range(20):
        faults.restore(project)
        with faults.started(project, *command) as process:
            member = wait_for_stage(process, stage)
            time.sleep(moment)
            if lives(member):
                send = member.send_signal if target == "stage" else process.send_signal
                with contextlib.suppress(psutil.NoSuchProcess):
                    return seconds_until_gone(process, partial(send, number)), process.returncode
            process.communicate(timeout=300)
    raise AssertionError(f"{stage} was never at work after {moment:.2f} s")


def wait_for_stage(process: Process, stage: str) -> psutil.Process:
    """Wait until the process of a stage is among what a process has started; give it."""
    verb, found = stage.partition("@")[0], []

    def is_there() -> bool:
        assert process.poll() is None, f"ended before {stage}:\n{process.stdout.read()}"
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            for member in psutil.Process(process.pid).children(recursive=True):
                words = member.cmdline()
                if words[2:3] == [verb] and Path(words[1]).name == "convdepth":
                    found.append(member)
        return bool(found)

    wait_until(is_there, 120)
    return found[-1]


def seconds_until_gone(process: Process, send: Callable[[], object]) -> float:
    """Send, and wait until all that a process has started is gone; give how long it took."""
    root = psutil.Process(process.pid)
    family = [root, *root.children(recursive=True), *faults.session(process.pid)]

    def is_gone() -> bool:
        process.poll()
        return not any(map(lives, [*family, *faults.session(process.pid)]))

    begin = time.monotonic()
    send()
    try:
        wait_until(is_gone, 2 * PATIENCE_SECONDS)
        return time.monotonic() - begin
    finally:
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()


@pytest.mark.nightly
def test_a_signal_to_a_worker_leaves_no_process(
    project: Project, full: bool, record_fault: Record, harness: str
) -> None:
    project.environment |= {"PREFECT_API_URL": harness, "PREFECT_WORKER_QUERY_SECONDS": "2"}
    project.environment["TOY"] = str(project.folder)
    serving.add_flows(project, {"nightly": {"parameters": {"require_gpu": False}, "schedules": []}})
    project.commit("The flows")
    serving.deploy(project, harness)
    toy.mark(project, "hang-train@one")
    seconds = {}
    for number in SIGNALS if full else [signal.SIGTERM]:
        faults.delete(project.folder / "log.txt")
        with (
            serving.client_of(harness) as client,
            faults.started(project, *serving.PIPELINES, "worker", stdout=DEVNULL) as process,
        ):
            run = serving.submit(client, "nightly/nightly", force=True)
            wait_until(lambda: "begin train@one" in toy.log(project), 180)
            seconds[number.name] = seconds_until_gone(process, partial(process.send_signal, number))
            client.delete_flow_run(run)  # else it counts as running for two minutes
    judge(record_fault, "worker", seconds, full=full)


@pytest.mark.nightly
def test_the_work_is_done_although_the_server_was_killed(tmp_path: Path, full: bool) -> None:
    for returns in [True, False] if full else [True]:  # takes minutes if it never returns
        home = tmp_path / f"{returns}"
        home.mkdir()
        kill_server(home, returns=returns)


def kill_server(home: Path, *, returns: bool) -> None:
    """Kill the server while a stage hangs; then let the stage go on."""
    project, log = toy.create(home / "toy", home), home / "flow.log"
    hang = 'if [ -f "$control/hang-$1" ]; then'
    wait = 'while [ -f "$control/hang-$1" ]; do sleep 0.1; done\n'
    toy.edit_work(project, hang, f"{wait}{hang}")
    toy.mark(project, "hang-train@one")
    command = [*serving.PIPELINES, "pipeline", "--jobs", "1"]
    with serving.server(home / "server") as url:
        toy.use_server(project, url)
        with log.open("w") as file, faults.started(project, *command, stdout=file) as process:
            wait_until(lambda: "begin train@one" in toy.log(project), 120)
            serving.kill_server(home / "server")
            (project.folder / "hang-train@one").unlink()
            if returns:
                serving.start_server(home / "server", url)
            code = process.wait(900)
    assert sorted(toy.log(project)) == toy.WHOLE_LOG, log.read_text()
    assert "up to date" in project.run("dvc", "status")
    assert (code == 0) is returns

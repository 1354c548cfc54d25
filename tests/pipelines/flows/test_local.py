"""The flows on a made-up project: order, overlap, failures, cancel, artifacts, and the server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import toy
from prefect.client.orchestration import get_client
from waiting import lives

from conftest import PROJECT
from convdepth.config.params import read_params
from pipelines.dvc.graph import Stage, read_graph
from pipelines.dvc.lockfile import locked_stages
from pipelines.execution import runner as execution
from pipelines.execution.concurrency import Width
from pipelines.execution.runner import FlowError
from pipelines.flows import local as flows
from project import HEED_SIGINT, Project

pytestmark = [
    # DVC 3.67 builds its graph with a call that its library pygtrie will drop.
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")
]


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(project.folder)
    return project


def artifacts(state: Any) -> dict[str, Any]:
    """The newest data of each artifact of a flow run, by key."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(limit=200)
    run = state.state_details.flow_run_id
    return {artifact.key: artifact.data for artifact in found if artifact.flow_run_id == run}


@pytest.mark.usefixtures("harness")
def test_the_whole_graph_runs_side_by_side_and_then_not_again(project: Project) -> None:
    toy.mark(project, "meet")  # each training fails unless the other one has begun
    state = flows.pipeline(jobs=2, return_state=True)
    assert state.is_completed()
    assert state.message == "7 ran"
    log = toy.log(project)
    assert sorted(log) == sorted(
        f"{event} {name}" for name in toy.STAGES for event in ("begin", "end")
    )
    for before, after in [
        ("download", "normalize"),
        ("normalize", "train@one"),
        ("train@one", "evaluate@one"),
        ("evaluate@two", "plot"),
    ]:
        assert log.index(f"end {before}") < log.index(f"begin {after}")
    assert "up to date" in project.run("dvc", "status")
    shown = artifacts(state)
    assert json.loads(shown["metrics"])[0] == {"metrics": "one", "accuracy": 0.5, "loss": 1.5}
    assert "accuracy" in shown["metrics-diff"]
    assert shown["comparison"].startswith("Not compared: dvc.lock: is not in commit")
    assert shown["figure-depth"].startswith("![depth](data:image/png;base64,")
    assert shown["progress"] == 100.0
    again = flows.pipeline(jobs=2, return_state=True)
    assert again.message == "7 unchanged"
    assert toy.log(project) == log
    assert "figure-depth" not in artifacts(again)


@pytest.mark.usefixtures("harness")
def test_a_third_training_shares_two_cores(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "meet").write_text("3")  # each fails unless the other two have begun
    with (project.folder / "params.yaml").open("a") as params:
        params.write(toy.ARCHITECTURES.splitlines()[-1].replace("two", "three") + "\n")
    monkeypatch.setattr(execution, "choose_width", lambda _jobs, _folder: Width(2, 3))
    assert flows.pipeline(return_state=True).message == "9 ran"


@pytest.mark.usefixtures("harness")
def test_the_training_with_the_most_arithmetic_is_started_first(project: Project) -> None:
    assert flows.pipeline(jobs=1, return_state=True).is_completed()
    log = toy.log(project)
    assert log.index("begin train@two") < log.index("begin train@one")  # the other one is smaller


def test_trainings_cost_what_their_network_does_and_evaluations_nothing() -> None:
    flop = {
        name: each.flop for name, each in read_params(PROJECT / "params.yaml").architectures.items()
    }
    costs = execution.stage_costs(read_graph(PROJECT, flows.STUDIES), PROJECT)
    by_group: dict[str, set[tuple[str, int]]] = {}
    for name, cost in costs.items():
        stage = Stage(name, frozenset(), ())
        by_group.setdefault(stage.group, set()).add((stage.key.partition("-")[0], cost))
    for group in ("train", "train_seed", "train_tuned", "collapse"):
        assert by_group[group] == set(flop.items())
    for group in ("evaluate", "evaluate_seed", "evaluate_tuned", "replicates", "plot", "code"):
        assert {cost for _, cost in by_group[group]} == {0}


@pytest.mark.usefixtures("harness")
def test_a_plain_dvc_repro_gives_the_same_lock(project: Project, tmp_path: Path) -> None:
    plain = toy.create(tmp_path / "plain", tmp_path)
    assert sorted(plain.repro()) == sorted(toy.STAGES)
    assert flows.pipeline(jobs=2, return_state=True).is_completed()
    assert toy.locked(project) == toy.locked(plain)
    assert locked_stages(project.folder) == toy.STAGES


@pytest.mark.usefixtures("harness")
def test_one_job_runs_one_stage_at_a_time(project: Project) -> None:
    assert flows.pipeline(jobs=1, return_state=True).is_completed()
    log = toy.log(project)
    pairs = zip(log[::2], log[1::2], strict=True)
    assert all(begin.replace("begin", "end") == end for begin, end in pairs)


@pytest.mark.usefixtures("harness")
def test_one_failed_stage_stops_only_what_depends_on_it(project: Project) -> None:
    toy.mark(project, "fail-train@one")
    state = flows.pipeline(jobs=2, return_state=True)
    assert state.is_failed()
    assert state.message is not None
    assert "train@one: failed with exit code 6" in state.message
    assert "error: train@one went wrong" in state.message
    assert "Not run because of this: evaluate@one, plot." in state.message
    with pytest.raises(FlowError) as caught:
        state.result()
    assert caught.value.exit_code == 6
    assert "end evaluate@two" in toy.log(project)
    assert "begin plot" not in toy.log(project)
    (project.folder / "fail-train@one").unlink()
    assert flows.pipeline(jobs=2, return_state=True).message == "4 unchanged, 3 ran"


@pytest.mark.usefixtures("harness")
def test_the_parts_are_flows_of_their_own(project: Project) -> None:
    assert flows.prepare_data(return_state=True).message == "2 ran"
    assert flows.train_architecture("one", return_state=True).message == "2 ran"
    assert "begin train@two" not in toy.log(project)
    assert flows.pipeline(jobs=2, return_state=True).message == "4 unchanged, 3 ran"
    assert flows.plot_results(force=True, return_state=True).message == "1 ran"


def test_code_and_parameters_are_looked_at_before_any_other_stage() -> None:
    graph = read_graph(PROJECT)
    first = {"code", "check"}
    prepared = set(flows._preparation(graph).stages)
    assert prepared == first | {"download", "normalize", "validate"}
    name = next(iter(read_params(PROJECT / "params.yaml").architectures))
    network = flows._network(graph, name)
    assert set(network.stages) == first | {f"train@{name}", f"evaluate@{name}"}
    assert first <= network.stages[f"train@{name}"].upstream


STUDIES = """
vars: ["../params.yaml:architectures"]
stages:
  study:
    foreach: ${architectures}
    do:
      wdir: ..
      cmd: sh work.sh study@${key} ${key}.study
      deps: ["${key}.model"]
      outs: ["${key}.study"]
"""


def add_studies(project: Project) -> None:
    (project.folder / "studies").mkdir()
    (project.folder / "studies" / "dvc.yaml").write_text(STUDIES)


@pytest.mark.usefixtures("harness")
def test_the_studies_run_what_they_need_and_the_pipeline_does_not_run_them(
    project: Project, tmp_path: Path
) -> None:
    add_studies(project)
    plain = toy.create(tmp_path / "plain", tmp_path)
    add_studies(plain)
    plain.run("dvc", "repro", "studies/dvc.yaml")
    assert flows.studies(jobs=2, return_state=True).message == "6 ran"
    log = toy.log(project)
    assert log.index("end train@one") < log.index("begin study@one")
    assert "begin plot" not in log
    assert "begin evaluate@one" not in log
    for name in ("dvc.lock", "studies/dvc.lock"):
        assert toy.locked(project, name) == toy.locked(plain, name)
    assert locked_stages(project.folder) == [
        *("download", "normalize", "train@one", "train@two"),
        *("studies/dvc.yaml:study@one", "studies/dvc.yaml:study@two"),
    ]
    assert flows.pipeline(jobs=2, return_state=True).message == "4 unchanged, 3 ran"
    assert flows.studies(jobs=2, return_state=True).message == "6 unchanged"


@pytest.mark.usefixtures("harness", "project")
def test_an_unknown_architecture_fails_the_flow() -> None:
    state = flows.train_architecture("three", return_state=True)
    assert state.is_failed()
    assert "architectures.three: no such architecture; there are one, two" in str(state.message)


@pytest.mark.usefixtures("harness")
def test_an_artifact_that_cannot_be_shown_fails_nothing(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    (project.folder / "picture.png").write_text("no picture")
    assert flows.pipeline(jobs=2, return_state=True).message == "7 ran"
    assert "artifact depth.png: not shown in Prefect" in caplog.text


@pytest.mark.usefixtures("harness", "project")
def test_the_log_in_prefect_has_each_line_with_its_stage() -> None:
    state = flows.prepare_data(return_state=True)
    run = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        deadline = time.monotonic() + 20
        lines: list[str] = []
        while "normalize | normalize is at work" not in lines and time.monotonic() < deadline:
            time.sleep(0.5)
            of_this_run = {"logs": {"flow_run_id": {"any_": [str(run)]}}}
            found = client.request("POST", "/logs/filter", json=of_this_run).json()
            lines = [log["message"] for log in found]
    assert "download | download is at work" in lines
    assert "normalize | normalize is at work" in lines


# The command line, in processes of its own.


def start(project: Project, *arguments: str, url: str | None) -> subprocess.Popen[str]:
    environment = {
        **project.environment,
        "PYTHONPATH": str(PROJECT),
        "PREFECT_HOME": str(project.folder.parent / "prefect"),
    }
    if url is not None:
        environment["PREFECT_API_URL"] = url
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{HEED_SIGINT}from pipelines.__main__ import run; run()",
            *arguments,
        ],
        cwd=project.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # as a shell does it, so that a signal to the group is no suicide
    )


def finish(process: subprocess.Popen[str], seconds: float = 120) -> str:
    """Wait for the process; give what it printed since."""
    output, _ = process.communicate(timeout=seconds)
    return output


def test_the_command_shows_the_stages_and_the_metrics(harness: str, project: Project) -> None:
    process = start(project, "pipeline", "--jobs", "2", url=harness)
    lines = finish(process).splitlines()
    assert process.returncode == 0
    assert "train@one | train@one is at work" in lines
    assert sum("train@one is at work" in line for line in lines) == 1
    assert any(line.split() == ["accuracy", "0.5", "0.5"] for line in lines)


def test_a_failure_is_told_once_with_the_exit_code_of_its_stage(
    harness: str, project: Project
) -> None:
    toy.mark(project, "fail-download")
    process = start(project, "prepare-data", url=harness)
    output = finish(process)
    assert process.returncode == 6
    assert output.count("error: download: failed with exit code 6") == 1
    assert "Traceback" not in output


def test_a_server_that_is_down_is_told_within_seconds(project: Project) -> None:
    started = time.monotonic()
    process = start(project, "pipeline", url="http://127.0.0.1:9/api")
    output = finish(process)
    assert time.monotonic() - started < 20  # most of it goes into the imports
    assert process.returncode == 4
    assert "PREFECT_API_URL=http://127.0.0.1:9/api: the Prefect server does not answer" in output
    assert "dvc repro" in output
    assert toy.log(project) == []


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text} was never printed")


def kill_one(process: subprocess.Popen[str], number: signal.Signals) -> None:
    os.kill(process.pid, number)


def kill_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    os.killpg(process.pid, number)


@pytest.mark.parametrize(
    ("send", "number", "code"),
    [
        (kill_one, signal.SIGTERM, 143),
        (kill_group, signal.SIGTERM, 143),
        (kill_one, signal.SIGINT, 130),
        (kill_group, signal.SIGINT, 130),
    ],
)
def test_a_signal_stops_everything_within_seconds(
    harness: str, project: Project, send: Callable[..., None], number: signal.Signals, code: int
) -> None:
    toy.mark(project, "hang-train@two")
    process = start(project, "pipeline", "--jobs", "1", url=harness)
    read_until(process, "train@two hangs")
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2  # dvc, and the stage's shell
    send(process, number)
    finish(process, seconds=5)
    assert process.returncode == code
    assert not any(lives(member) for member in family)
    log = toy.log(project)
    assert log[-1] == "begin train@two"
    assert "end normalize" in log
    (project.folder / "hang-train@two").unlink()
    assert flows.pipeline(jobs=2, return_state=True).message == "2 unchanged, 5 ran"


def test_without_a_server_the_flow_has_one_of_its_own(project: Project) -> None:
    toy.mark(project, "hang-normalize")
    process = start(project, "prepare-data", url=None)
    read_until(process, "normalize hangs")
    family = psutil.Process(process.pid).children(recursive=True)
    (server,) = (member for member in family if member.cmdline()[1:3] == ["-m", "uvicorn"])
    assert os.getpgid(server.pid) != os.getpgid(process.pid)
    kill_group(process, signal.SIGINT)
    output = finish(process, seconds=15)
    assert process.returncode == 130
    assert "Finished in state Crashed" in output
    assert not any(lives(member) for member in family)


def test_a_killed_flow_takes_its_server_with_it(project: Project) -> None:
    toy.mark(project, "hang-download")
    process = start(project, "prepare-data", url=None)
    read_until(process, "download hangs")
    family = psutil.Process(process.pid).children(recursive=True)
    (server,) = (member for member in family if member.cmdline()[1:3] == ["-m", "uvicorn"])
    kill_group(process, signal.SIGKILL)
    finish(process)
    deadline = time.monotonic() + 15
    while lives(server):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_help_is_quick() -> None:
    code = "import sys, pipelines.__main__; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0

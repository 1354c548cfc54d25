"""The flows on a made-up project: order, overlap, failures, cancel, artifacts, and the server."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import serving
import toy
from waiting import family_at_work, lives, wait_until

import faults
from conftest import PROJECT
from pipelines.execution.runner import FlowError
from pipelines.flows import local as flows
from project import Project

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


def of_run(state: Any, kind: str) -> list[dict[str, Any]]:
    """Read what the server has of a flow run: its ``artifacts`` or ``logs``."""
    return serving.records(kind, flow_run_id=str(state.state_details.flow_run_id))


@pytest.mark.usefixtures("harness", "quick_dvc")
def test_the_whole_graph_runs_side_by_side_and_then_not_again(
    project: Project, tmp_path: Path
) -> None:
    toy.mark(project, "meet")  # each training fails unless the other one has begun
    state = flows.pipeline(jobs=2, return_state=True)
    assert state.message == "7 ran"
    log = toy.log(project)
    assert sorted(log) == toy.WHOLE_LOG
    for before, after in [
        ("download", "normalize"),
        ("normalize", "train@one"),
        ("train@one", "evaluate@one"),
        ("evaluate@two", "plot"),
    ]:
        assert log.index(f"end {before}") < log.index(f"begin {after}")
    assert list(toy.locked(project)["stages"]) == toy.STAGES
    shown = {each["key"]: each["data"] for each in of_run(state, "artifacts")}
    assert list(shown) == ["report"]
    assert "2 networks trained" in shown["report"]
    assert "50.00%" in shown["report"]
    assert "data:image/png;base64," in shown["report"]
    wait_until(lambda: any("normalize is at work" in e["message"] for e in of_run(state, "logs")))

    again = flows.pipeline(jobs=2, return_state=True)
    assert again.message == "7 unchanged"
    assert toy.log(project) == log
    plain = toy.create(tmp_path / "plain", tmp_path)
    plain.repro()
    assert toy.locked(project) == toy.locked(plain)


@pytest.mark.usefixtures("harness", "quick_dvc")
def test_one_failed_stage_stops_only_what_depends_on_it(project: Project) -> None:
    toy.mark(project, "fail-train@one")
    (project.folder / "picture.png").write_text("no picture")  # it fails nothing
    state = flows.pipeline(jobs=1, return_state=True)
    assert "error: train@one went wrong" in str(state.message)
    assert "evaluate@one, plot." in str(state.message)
    with pytest.raises(FlowError) as caught:
        state.result()
    assert caught.value.exit_code == 6
    log = toy.log(project)
    assert "end evaluate@two" in log
    assert "begin plot" not in log
    # With one job there is one stage at a time, the most arithmetic first.
    assert log.index("begin train@two") < log.index("begin train@one")
    log.remove("begin train@one")
    assert [line.replace("begin", "end") for line in log[::2]] == log[1::2]
    (project.folder / "fail-train@one").unlink()
    assert flows.pipeline(jobs=2, return_state=True).message == "4 unchanged, 3 ran"


@pytest.mark.nightly
@pytest.mark.usefixtures("harness", "quick_dvc")
def test_the_parts_and_the_studies_are_flows_of_their_own(project: Project) -> None:
    assert flows.prepare_data(return_state=True).message == "2 ran"
    assert flows.train_architecture("one", return_state=True).message == "2 ran"
    assert "begin train@two" not in toy.log(project)
    (project.folder / "studies").mkdir()
    (project.folder / "studies" / "dvc.yaml").write_text(STUDIES)
    assert flows.studies(jobs=2, return_state=True).message == "3 unchanged, 3 ran"
    assert list(toy.locked(project)["stages"]) == toy.STAGES[:5]
    assert list(toy.locked(project, "studies/dvc.lock")["stages"]) == ["study@one", "study@two"]
    assert flows.pipeline(jobs=2, return_state=True).message == "5 unchanged, 2 ran"
    assert flows.studies(jobs=2, return_state=True).message == "6 unchanged"
    assert flows.plot_results(force=True, return_state=True).message == "1 ran"


# The command line, in processes of its own.

Start = Callable[..., faults.Process]


@pytest.fixture
def start(project: Project) -> Iterator[Start]:
    """A function that starts a flow, with the address of a server or without."""
    project.environment |= {"PYTHONPATH": str(PROJECT), "PREFECT_HOME": str(project.folder.parent)}

    def start(*arguments: str, url: str | None = None) -> faults.Process:
        variables = {"PREFECT_API_URL": url} if url else {}
        command, environment = [*serving.PIPELINES, *arguments], project.environment | variables
        return stack.enter_context(faults.started(project, *command, env=environment))

    with ExitStack() as stack:
        yield start


def test_the_command_shows_the_stages_and_the_metrics_or_the_error_once(
    harness: str, project: Project, start: Start
) -> None:
    toy.mark(project, "fail-train@two")
    process = start("pipeline", "--jobs", "2", url=harness)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 6
    assert output.count("error: train@two: failed with exit code 6") == 1
    assert "Traceback" not in output
    (project.folder / "fail-train@two").unlink()
    process = start("train-architecture", "two", "--force", url=harness)
    lines = process.communicate(timeout=120)[0].splitlines()
    assert process.returncode == 0
    assert lines.count("train@two | train@two is at work") == 1
    assert sum("train@two is at work" in line for line in lines) == 1
    assert any(line.split() == ["accuracy", "0.5", "0.5"] for line in lines)


def test_a_server_that_is_down_is_told_within_seconds(project: Project, start: Start) -> None:
    begun = time.monotonic()
    process = start("pipeline", url="http://127.0.0.1:9/api")
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - begun < 20  # most of it goes into the imports
    assert process.returncode == 4
    assert "http://127.0.0.1:9/api" in output
    assert "dvc repro" in output
    assert toy.log(project) == []


@pytest.mark.parametrize(
    ("send", "number", "code"),
    [
        (os.killpg, signal.SIGINT, 130),
        pytest.param(os.kill, signal.SIGTERM, 143, marks=pytest.mark.nightly),
    ],
)
@pytest.mark.usefixtures("quick_dvc")
def test_a_signal_stops_everything_within_seconds(
    harness: str,
    project: Project,
    start: Start,
    send: Callable[[int, int], None],
    number: signal.Signals,
    code: int,
) -> None:
    toy.mark(project, "hang-train@two")
    process = start("pipeline", "--jobs", "1", url=harness)
    wait_until(lambda: "begin train@two" in toy.log(project))
    family = family_at_work(process)
    send(process.pid, number)
    process.communicate(timeout=5)
    assert process.returncode == code
    assert not any(map(lives, family))
    assert toy.log(project)[-1] == "begin train@two"
    (project.folder / "hang-train@two").unlink()
    assert flows.pipeline(jobs=2, return_state=True).message == "2 unchanged, 5 ran"


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.nightly)],
)
def test_without_a_server_the_flow_has_one_that_ends_with_it(
    project: Project, start: Start, number: signal.Signals, code: int
) -> None:
    toy.mark(project, "hang-download")
    process = start("prepare-data")
    wait_until(lambda: "begin download" in toy.log(project), 120)
    family = psutil.Process(process.pid).children(recursive=True)
    (server,) = (member for member in family if member.cmdline()[1:3] == ["-m", "uvicorn"])
    assert os.getpgid(server.pid) != os.getpgid(process.pid)
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert number == signal.SIGKILL or "Finished in state Crashed" in output
    wait_until(lambda: not any(map(lives, family)), 15)


IMPORTED = """
import sys
from pipelines.__main__ import app
app(sys.argv[1:], standalone_mode=False)
print("imported:", *sorted({"dvc", "pandas", "prefect", "tensorflow"} & {*sys.modules}))
"""


def test_help_and_nothing_to_do_are_quick(ran: Project) -> None:
    def run(*arguments: str) -> list[str]:
        environment = {"PYTHONPATH": str(PROJECT), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
        return ran.run(sys.executable, "-c", IMPORTED, *arguments, **environment).splitlines()

    assert run("--help")[-1].split() == ["imported:"]
    lock = (ran.folder / "dvc.lock").read_bytes()
    *shown, imported = run("pipeline")
    assert imported.split() == ["imported:", "dvc"]
    assert ["accuracy", "0.5", "0.5"] in map(str.split, shown)
    for command in (["prepare-data"], ["train-architecture", "one"], ["plot-results"]):
        assert run(*command)[-1].split() == ["imported:", "dvc"]
    assert (ran.folder / "dvc.lock").read_bytes() == lock

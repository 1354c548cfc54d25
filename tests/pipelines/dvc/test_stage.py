"""One stage as a child process: what it says, how it ends, and how it is stopped."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import toy
from prefect.cache_policies import NO_CACHE
from prefect.logging import disable_run_logger
from prefect.states import Failed
from waiting import wait_until

from pipelines.dvc.stage import (
    Options,
    Outcome,
    StageError,
    StageStoppedError,
    _can_help,
    _exit_code,
    run_stage,
    stage_task,
    task_for,
)
from pipelines.execution.process_tree import Processes
from project import Project


def run(project: Project, stage: str, *, force: bool = False) -> tuple[Outcome, list[str]]:
    lines: list[str] = []
    outcome = run_stage(
        stage, Processes(), lines.append, Options(force=force, folder=project.folder)
    )
    return outcome, lines


def test_a_stage_runs_once_and_each_line_has_its_name(project: Project) -> None:
    outcome, lines = run(project, "download")
    assert outcome is Outcome.RAN
    assert "download | download is at work" in lines
    assert all(line.startswith("download | ") for line in lines)
    assert not any("git add" in line or "autostage" in line for line in lines)
    assert run(project, "download")[0] is Outcome.UNCHANGED
    assert toy.log(project) == ["begin download", "end download"]


def test_a_stage_that_ran_before_is_restored(project: Project) -> None:
    run(project, "download")
    (project.folder / "raw.txt").unlink()
    (project.folder / "dvc.lock").unlink()
    assert run(project, "download")[0] is Outcome.RESTORED
    assert (project.folder / "raw.txt").read_text() == "download\n"
    assert toy.log(project).count("begin download") == 1


def test_a_stage_can_be_forced(project: Project) -> None:
    run(project, "download")
    assert run(project, "download", force=True)[0] is Outcome.RAN
    assert toy.log(project).count("end download") == 2


def test_only_the_one_stage_runs(project: Project) -> None:
    run(project, "download")
    (project.folder / "raw.txt").write_text("changed by hand\n")
    assert run(project, "normalize")[0] is Outcome.RAN
    assert (project.folder / "raw.txt").read_text() == "changed by hand\n"


def test_a_failed_stage_names_itself_its_code_and_its_last_lines(project: Project) -> None:
    toy.mark(project, "fail-download")
    with pytest.raises(StageError, match=r"^download: failed with exit code 6") as caught:
        run(project, "download")
    assert caught.value.exit_code == 6
    assert caught.value.stage == "download"
    assert "  error: download went wrong\n" in str(caught.value)


def test_a_stage_whose_input_is_missing_says_so(project: Project) -> None:
    with pytest.raises(StageError, match=r"normalized\.txt") as caught:
        run(project, "train@one")
    assert caught.value.exit_code == 255


def test_a_stage_killed_for_memory_says_what_to_lower(project: Project) -> None:
    text = (project.folder / "work.sh").read_text()
    (project.folder / "work.sh").write_text(text + 'kill -KILL "$$"\n')
    with pytest.raises(StageError, match=r"signal 9, often out of memory") as caught:
        run(project, "download")
    assert caught.value.exit_code == 137


def test_a_busy_workspace_is_told_from_a_failure(project: Project) -> None:
    toy.mark(project, "hang-download")
    with Processes() as processes:
        other = threading.Thread(target=_run_until_stopped, args=(project, processes))
        other.start()
        wait_until(lambda: "begin download" in toy.log(project))
        with pytest.raises(StageError, match=r"(?s)busy.*PID \d+") as caught:
            run(project, "download")
    other.join(10)
    assert caught.value.exit_code == 5
    assert toy.log(project) == ["begin download"]


def _run_until_stopped(project: Project, processes: Processes) -> None:
    with pytest.raises(StageStoppedError, match="download: stopped"):
        run_stage("download", processes, lambda _: None, Options(folder=project.folder))


@pytest.mark.parametrize(
    ("dvc", "line", "code"),
    [
        (255, "ERROR: failed to reproduce 'a': failed to run: x, exited with 3", 3),
        (255, "ERROR: failed to reproduce 'a': failed to run: x, exited with -15", 143),
        (255, "ERROR: Unable to acquire lock. Most likely another DVC process is running", 5),
        (253, "ERROR: you are not inside of a DVC repository", 253),
        (-9, "", 137),
    ],
)
def test_the_exit_code_is_the_one_behind_dvcs(dvc: int, line: str, code: int) -> None:
    assert _exit_code(dvc, [line]) == code


def test_the_commands_of_stages_are_those_of_this_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    (project.folder / "work.sh").write_text('command -v convdepth; echo x > "$2"\n')
    lines = run(project, "download")[1]
    assert f"download | {Path(sys.executable).parent / 'convdepth'}" in lines


def test_after_a_stop_no_stage_starts(project: Project) -> None:
    processes = Processes()
    processes.stop()
    with pytest.raises(StageStoppedError, match="download: not started"):
        run_stage("download", processes, print, Options(folder=project.folder))
    assert toy.log(project) == []


def test_the_task_runs_the_stage_and_its_state_tells_how(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    with disable_run_logger():
        states = [stage_task.fn("download", Processes(), Options()) for _ in range(2)]
    assert [(state.name, state.data) for state in states] == [
        ("Ran", Outcome.RAN),
        ("Unchanged", Outcome.UNCHANGED),
    ]
    assert all(state.is_completed() for state in states)


def test_dvc_is_the_only_cache() -> None:
    assert stage_task.cache_policy == NO_CACHE
    assert stage_task.persist_result is False


def test_only_the_download_is_tried_again() -> None:
    assert task_for("download").retries == 2
    assert task_for("train@one").retries == 0
    assert task_for("download").cache_policy == NO_CACHE


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (StageError("download", 3, []), True),
        (StageError("download", 4, []), True),
        (StageError("download", 2, []), False),
        (StageStoppedError("download: stopped"), False),
    ],
)
def test_what_cannot_help_is_not_tried(error: Exception, helps: bool) -> None:
    assert _can_help(stage_task, None, Failed(data=error)) is helps


def test_prefect_is_not_needed_to_read_the_graph() -> None:
    code = "import sys, pipelines.dvc.graph; sys.exit('prefect' in sys.modules)"
    folder = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0

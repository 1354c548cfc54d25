"""One stage as a child process: what it says, how it ends, and how it is stopped."""

import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import toy
from prefect import flow
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from waiting import wait_until

from convdepth.workspace.process_tree import Processes, StoppedError
from pipelines.dvc.stage import (
    Options,
    Outcome,
    StageError,
    run_child,
    run_stage,
    task_for,
    work_task,
)
from project import Project


def run(project: Project, stage: str, *, force: bool = False) -> tuple[Outcome, list[str]]:
    lines: list[str] = []
    options = Options(force=force, folder=project.folder)
    return run_stage(stage, Processes(), options, lines.append), lines


@pytest.mark.usefixtures("quick_dvc")
def test_a_stage_runs_once_unless_forced_and_each_line_has_its_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)  # commands are those of this environment all the same
    with (project.folder / "work.sh").open("a") as script:
        script.write("command -v convdepth\n")
    outcome, lines = run(project, "download")
    assert outcome is Outcome.RAN
    assert "download | download is at work" in lines
    assert f"download | {Path(sys.executable).parent / 'convdepth'}" in lines
    assert all(line.startswith("download | ") for line in lines)
    assert not any("git add" in line or "autostage" in line for line in lines)
    assert run(project, "download")[0] is Outcome.UNCHANGED
    assert toy.log(project) == ["begin download", "end download"]
    assert run(project, "download", force=True)[0] is Outcome.RAN
    (project.folder / "raw.txt").unlink()
    with pytest.raises(StageError, match=r"raw\.txt"):  # only the one stage runs
        run(project, "normalize")
    (project.folder / "dvc.lock").unlink()
    assert run(project, "download")[0] is Outcome.RESTORED
    assert (project.folder / "raw.txt").read_text() == "download\n"
    assert toy.log(project).count("end download") == 2


def test_a_stage_killed_for_memory_says_what_to_lower(project: Project) -> None:
    (project.folder / "work.sh").write_text('kill -KILL "$$"\n')
    with pytest.raises(StageError, match=r"signal 9.*batch_size") as caught:
        run(project, "download")
    assert caught.value.exit_code == 137


def test_a_busy_workspace_is_told_from_a_failure(project: Project) -> None:
    toy.mark(project, "hang-download")
    stopped: list[str] = []
    options = Options(folder=project.folder)

    def run_until_stopped() -> None:
        try:
            run_stage("download", processes, options, lambda _: None)
        except StoppedError as error:
            stopped.append(str(error))

    with Processes() as processes:
        other = threading.Thread(target=run_until_stopped)
        other.start()
        wait_until(lambda: "begin download" in toy.log(project))
        with pytest.raises(StageError, match=r"(?s)busy.*PID \d+") as caught:
            run(project, "download")
    other.join(10)
    assert caught.value.exit_code == 5
    assert stopped == ["stopped"]
    with pytest.raises(StoppedError, match="not started"):
        run_stage("download", processes, options, print)
    assert toy.log(project) == ["begin download"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("echo 'failed to run: x, exited with -15'; exit 255", 143),
        ("echo 'ERROR: Unable to acquire lock. Most likely ...'; exit 255", 5),
        ("echo 'ERROR: you are not inside of a DVC repository'; exit 253", 253),
    ],
)
def test_the_exit_code_is_the_one_behind_dvcs(tmp_path: Path, script: str, code: int) -> None:
    command = ["sh", "-c", f"echo ssh://me:secret@host/a; {script}"]
    with pytest.raises(StageError) as caught:
        run_child("it", command, Processes(), print, Options(folder=tmp_path))
    assert caught.value.exit_code == code
    assert "ssh://host/a" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_child_learns_whom_to_end_with(tmp_path: Path) -> None:
    lines: list[str] = []
    command = ["sh", "-c", "echo parent $CONVDEPTH_PARENT"]
    run_child("it", command, Processes(), lines.append, Options(folder=tmp_path))
    assert lines == [f"parent {os.getpid()}"]


@pytest.mark.usefixtures("harness", "quick_dvc")
@pytest.mark.parametrize(("code", "attempts"), [(4, 3), (2, 1)])
def test_dvc_is_the_only_cache_and_an_attempt_that_cannot_help_is_not_made(
    project: Project, code: int, attempts: int
) -> None:
    attempt = task_for("download").with_options(retry_delay_seconds=0)
    assert work_task.cache_policy == attempt.cache_policy == NO_CACHE
    assert (attempt.persist_result, task_for("train@one").retries) == (False, 0)
    text = (project.folder / "work.sh").read_text()
    toy.mark(project, "fail-download")
    (project.folder / "work.sh").write_text(text.replace("exit 6", f"exit {code}"))
    work = partial(run_stage, "download", Processes(), Options(folder=project.folder))

    @flow
    def once() -> State[Any]:
        return attempt("download", work, return_state=True)

    assert once(return_state=True).is_failed()
    assert toy.log(project) == ["begin download"] * attempts

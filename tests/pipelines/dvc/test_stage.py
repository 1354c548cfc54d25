"""One stage as a child process: what it says, how it ends, and how it is stopped."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import toy
from prefect import flow
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from waiting import wait_until

from pipelines.core.process_tree import Processes
from pipelines.dvc.stage import (
    Options,
    Outcome,
    StageError,
    StageStoppedError,
    run_child,
    run_stage,
    stage_task,
    task_for,
)
from project import Project


def run(project: Project, stage: str, *, force: bool = False) -> tuple[Outcome, list[str]]:
    lines: list[str] = []
    options = Options(force=force, folder=project.folder)
    return run_stage(stage, Processes(), lines.append, options), lines


def test_a_stage_runs_once_unless_forced_and_each_line_has_its_name(project: Project) -> None:
    outcome, lines = run(project, "download")
    assert outcome is Outcome.RAN
    assert "download | download is at work" in lines
    assert all(line.startswith("download | ") for line in lines)
    assert not any("git add" in line or "autostage" in line for line in lines)
    assert run(project, "download")[0] is Outcome.UNCHANGED
    assert toy.log(project) == ["begin download", "end download"]
    assert run(project, "download", force=True)[0] is Outcome.RAN
    (project.folder / "raw.txt").unlink()
    (project.folder / "dvc.lock").unlink()
    assert run(project, "download")[0] is Outcome.RESTORED
    assert (project.folder / "raw.txt").read_text() == "download\n"
    assert toy.log(project).count("end download") == 2


def test_only_the_one_stage_runs(project: Project) -> None:
    with pytest.raises(StageError, match=r"raw\.txt"):
        run(project, "normalize")
    run(project, "download")
    (project.folder / "raw.txt").write_text("changed by hand\n")
    assert run(project, "normalize")[0] is Outcome.RAN
    assert (project.folder / "raw.txt").read_text() == "changed by hand\n"


def test_a_failed_stage_names_itself_its_code_and_its_last_lines(project: Project) -> None:
    toy.mark(project, "fail-download")
    with pytest.raises(StageError, match=r"^download: .* exit code 6") as caught:
        run(project, "download")
    assert caught.value.exit_code == 6
    assert "  error: download went wrong\n" in str(caught.value)


def test_a_stage_killed_for_memory_says_what_to_lower(project: Project) -> None:
    text = (project.folder / "work.sh").read_text()
    (project.folder / "work.sh").write_text(text + 'kill -KILL "$$"\n')
    with pytest.raises(StageError, match=r"signal 9.*batch_size") as caught:
        run(project, "download")
    assert caught.value.exit_code == 137


def test_a_busy_workspace_is_told_from_a_failure(project: Project) -> None:
    toy.mark(project, "hang-download")
    stopped: list[str] = []

    def run_until_stopped() -> None:
        try:
            run_stage("download", processes, lambda _: None, Options(folder=project.folder))
        except StageStoppedError as error:
            stopped.append(str(error))

    with Processes() as processes:
        other = threading.Thread(target=run_until_stopped)
        other.start()
        wait_until(lambda: "begin download" in toy.log(project))
        with pytest.raises(StageError, match=r"(?s)busy.*PID \d+") as caught:
            run(project, "download")
    other.join(10)
    assert caught.value.exit_code == 5
    assert stopped == ["download: stopped"]
    with pytest.raises(StageStoppedError, match="download: not started"):
        run_stage("download", processes, print, Options(folder=project.folder))
    assert toy.log(project) == ["begin download"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("echo 'failed to run: x, exited with -15'; exit 255", 143),
        ("echo 'ERROR: Unable to acquire lock. Most likely ...'; exit 255", 5),
        ("echo 'ERROR: you are not inside of a DVC repository'; exit 253", 253),
        ("kill -KILL $$", 137),
    ],
)
def test_the_exit_code_is_the_one_behind_dvcs(tmp_path: Path, script: str, code: int) -> None:
    command = ["sh", "-c", f"echo ssh://me:secret@host/a; {script}"]
    with pytest.raises(StageError) as caught:
        run_child("it", command, Processes(), print, Options(folder=tmp_path))
    assert caught.value.exit_code == code
    assert "ssh://host/a" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_commands_of_stages_are_those_of_this_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    (project.folder / "work.sh").write_text('command -v convdepth; echo x > "$2"\n')
    lines = run(project, "download")[1]
    assert f"download | {Path(sys.executable).parent / 'convdepth'}" in lines


def test_dvc_is_the_only_cache_and_only_the_download_is_tried_again() -> None:
    assert stage_task.cache_policy == task_for("download").cache_policy == NO_CACHE
    assert stage_task.persist_result is False
    assert (task_for("download").retries, task_for("train@one").retries) == (2, 0)


@pytest.mark.usefixtures("harness")
@pytest.mark.parametrize(("code", "attempts"), [(4, 3), (2, 1)])
def test_an_attempt_that_cannot_help_is_not_made(
    project: Project, code: int, attempts: int
) -> None:
    text = (project.folder / "work.sh").read_text()
    toy.mark(project, "fail-download")
    (project.folder / "work.sh").write_text(text.replace("exit 6", f"exit {code}"))
    attempt = task_for("download").with_options(retry_delay_seconds=0)
    options = Options(folder=project.folder)

    @flow
    def once() -> State[Any]:
        return attempt("download", Processes(), options, return_state=True)

    state = once(return_state=True)
    assert state.is_failed()
    assert toy.log(project) == ["begin download"] * attempts


def test_prefect_is_not_needed_to_read_the_graph() -> None:
    code = "import sys, pipelines.dvc.graph; sys.exit('prefect' in sys.modules)"
    folder = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0

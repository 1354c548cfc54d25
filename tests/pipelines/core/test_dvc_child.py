"""DVC as a child: it ends in good order when told to, and with its parent."""

import subprocess
import sys

import pytest
import toy
from waiting import family_at_work, lives, wait_until

import faults
from pipelines.core.dvc_child import dvc_command, stage_environment
from project import Project

REPRO = ["repro", "--single-item", "download"]


def start(project: Project, *before: str, **variables: str) -> "subprocess.Popen[str]":
    toy.mark(project, "hang-download")
    environment = stage_environment() | variables
    return faults.start(project, *before, *dvc_command(*REPRO), env=environment)


# Between DVC and the stage dash stays and listens; bash makes way for the stage.
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_stage_that_does_not_listen_is_killed(project: Project, shell: str) -> None:
    script = (project.folder / "work.sh").read_text()
    (project.folder / "work.sh").write_text("trap '' TERM\n" + script)
    process = start(project, SHELL=f"/bin/{shell}")
    family = family_at_work(process)
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 143
    wait_until(lambda: not any(map(lives, family)), seconds=5)


def test_dvc_and_its_stage_end_with_their_parent(project: Project) -> None:
    parent = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    process = start(project, sys.executable, "-c", parent)
    family = family_at_work(process)
    assert len(family) >= 3  # dvc, the stage's shell, and what it waits for
    process.kill()
    process.communicate(timeout=30)  # until those that have its output have ended, too
    wait_until(lambda: not any(map(lives, family)), seconds=10)
    assert "end download" not in toy.log(project)
    assert not (project.folder / "raw.txt").exists()


def test_dvc_whose_parent_died_before_starts_no_stage(project: Project) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    process = start(project, CONVDEPTH_PARENT=str(gone.pid))
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert toy.log(project) == []

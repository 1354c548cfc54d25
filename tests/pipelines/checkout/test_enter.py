"""A process that becomes another program in a clone of a commit."""

import subprocess
import sys

import pytest
import toy

import faults
from conftest import PROJECT
from pipelines.checkout.clone import temporary_clone
from project import Project

ENTER = """
import sys
from pipelines.checkout.enter import enter_commit
enter_commit([sys.executable, "-c", sys.argv[1]], *sys.argv[2:])
"""

WAIT = """
import own
from pipelines.checkout.enter import entered_commit
with entered_commit() as commit:
    print(commit, own.__file__, flush=True)
    input()
"""


@pytest.fixture
def project(project: Project) -> Project:
    """A worker's clone, whose upstream has a newer commit with a module."""
    toy.share(project)
    project.environment["PYTHONPATH"] = str(PROJECT)
    (project.folder / "own.py").touch()
    toy.push(project, "A module")
    project.run("git", "reset", "--quiet", "--hard", "HEAD~1")
    return project


def test_the_newest_commit_is_there_until_the_command_ends(project: Project) -> None:
    command = [sys.executable, "-c", ENTER, WAIT]
    with faults.started(project, *command, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # says the commit
        commit, module = process.stdout.readline().split(maxsplit=1)
        with temporary_clone("HEAD", project.folder):  # would remove an abandoned clone
            (clone, _) = sorted(toy.clones(project))
            assert module.strip() == str(clone / "own.py")
        assert commit == project.run("git", "rev-parse", "@{upstream}").strip()
        assert not (project.folder / "own.py").exists()
        process.communicate("\n")
    assert process.returncode == 0
    assert toy.clones(project) == []


@pytest.mark.parametrize(
    ("arguments", "named"), [((), "requirements.lock"), (("0" * 40,), "0" * 40)]
)
def test_a_commit_that_cannot_run_is_refused_and_leaves_nothing(
    project: Project, arguments: tuple[str, ...], named: str
) -> None:
    project.run("git", "pull", "--quiet")
    (project.folder / "requirements.lock").write_text("prefect==3\n")
    toy.push(project, "Other packages")
    (project.folder / "requirements.lock").write_text("prefect==2\n")
    said = project.run(sys.executable, "-c", ENTER, "print('ran')", *arguments, code=1)
    assert any("Error: " in line and named in line for line in said.splitlines())
    assert toy.clones(project) == []

"""DVC in the process of the tests, which saves the second or two that each start of it takes."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from project import Project


@contextmanager
def inside(project: Project) -> Iterator[None]:
    """Work in the folder and the environment of a project, to the end of the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        for name, value in project.environment.items():
            patch.setenv(name, value)
        yield


def dvc(project: Project, *words: str) -> None:
    """Run a command of DVC, which must succeed."""
    from dvc.cli import main

    with inside(project):
        assert main(list(words)) == 0


def repro(project: Project, *targets: str, **options: bool) -> list[str]:
    """Run the pipeline, or some stages; return the names of the stages that were run."""
    from dvc.repo import Repo

    with inside(project), Repo() as repo:
        stages = repo.reproduce(list(targets) or None, **options)
        return [stage.addressing for stage in stages]


def follow(project: Project, remedy: str) -> None:
    """Run the commands of a remedy, which are joined by ``&&``."""
    for command in remedy.split(" && "):
        program, *words = shlex.split(command)
        if program == "dvc":
            dvc(project, *words)
        else:
            project.run(program, *words)

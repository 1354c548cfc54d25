"""A copy of the project to run its pipeline in, with small parameters."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import forked_dvc
import pytest
from ruamel.yaml import YAML

from conftest import PROJECT

HEED_SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
"""Comes before the code of a child process that is to be interrupted: a shell may have started
the tests in the background, and then SIGINT is ignored by them and by their children."""


class Project:
    """A folder with the project in it, a git repository of its own, and nothing run yet."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "DVC_SITE_CACHE_DIR": str(folder.parent / "dvc"),
            "DVC_NO_ANALYTICS": "1",  # also before the project has its own settings
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
            "COLUMNS": "200",
        }

    def enter(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        """Let this process work in the folder, with these variables of the project, or all."""
        for name in names or self.environment:
            monkeypatch.setenv(name, self.environment[name])
        monkeypatch.chdir(self.folder)

    def run(self, *command: str, code: int = 0, **variables: str) -> str:
        """Run a command in the folder; give its whole output, and fail unless it exits so."""
        environment = self.environment | variables
        if command[0] == "dvc":
            ended, output = forked_dvc.run(command[1:], self.folder, environment)
            assert ended == code, output
            return output
        finished = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert finished.returncode == code, finished.stdout
        return finished.stdout

    def repro(self) -> list[str]:
        """Run the pipeline; give the names of the stages that were run."""
        return stages_run(self.run("dvc", "repro"))

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def edit_params(self, changes: Mapping[str, Any], file: str = "params.yaml") -> None:
        """Set values in a file of parameters by dotted key."""
        edit_yaml(self.folder / file, changes)

    def entered_copy(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> "Project":
        """Copy all of it into a folder, in which this process works, with its home."""
        project = self.copy(folder)
        project.enter(monkeypatch, "HOME", "DVC_SITE_CACHE_DIR")
        return project

    def copy(self, folder: Path) -> "Project":
        """Copy all of it, the results and DVC's cache included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder, Path(self.environment["HOME"]))


def edit_yaml(path: Path, changes: Mapping[str, Any]) -> None:
    """Set values by dotted key; comments and order stay."""
    yaml = YAML()
    entries = yaml.load(path)
    for dotted, value in changes.items():
        *above, key = dotted.split(".")
        section = entries
        for part in above:
            section = section[part]
        section[key] = value
    yaml.dump(entries, path)


def stages_run(output: str) -> list[str]:
    """Read from DVC's output which stages it ran."""
    return re.findall(r"^Running stage '([^']+)'", output, re.MULTILINE)


def start(folder: Path, home: Path, files: Mapping[str, str]) -> Project:
    """Make a project of some files, in repositories of git and DVC, with nothing committed."""
    project = Project(folder, home)
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    return project


def create(folder: Path, home: Path, params: Mapping[str, Any]) -> Project:
    """Copy the project's own files, without any result, and commit them."""
    folder.mkdir(parents=True)
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    patterns = [".", ":!dvc.lock", ":!studies/dvc.lock", ":!metrics"]
    listed = subprocess.check_output([*listing, *patterns], cwd=PROJECT, text=True)
    names = [name for name in listed.split("\0") if (PROJECT / name).is_file()]
    subprocess.run(["cp", "--parents", "-p", *names, folder], cwd=PROJECT, check=True)
    project = Project(folder, home)
    project.edit_params(params)
    project.run("git", "init", "--quiet")
    project.commit("The project")
    return project

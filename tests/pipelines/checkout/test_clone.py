"""Clones that share the cache and the settings, and leave the user's folder alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import toy
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.core.errors import MachineError
from pipelines.checkout.clone import CHECKPOINTS, temporary_clone
from project import Project

KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines.checkout.clone import temporary_clone
with temporary_clone('HEAD', Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run_in(folder: Path, project: Project, *command: str) -> str:
    return Project(folder, Path(project.environment["HOME"])).run(*command).strip()


def test_it_is_a_clone_at_the_commit_that_shares_the_cache(ran: Project) -> None:
    first = ran.run("git", "rev-parse", "HEAD~1").strip()
    (ran.folder / "work.sh").write_text(toy.WORK_SH + "# other code\n")
    with temporary_clone("HEAD~1", ran.folder) as folder:
        assert (folder / "work.sh").read_text() == toy.WORK_SH
        assert not (folder / "dvc.lock").exists()
        assert run_in(folder, ran, "git", "rev-parse", "HEAD") == first
        assert run_in(folder, ran, "git", "branch", "--show-current") == ""
        assert "Running stage" not in run_in(folder, ran, "dvc", "repro", "train@one")
        (folder / "work.sh").write_text(toy.WORK_SH + "# other code\n")
        assert "Running stage 'download'" in run_in(folder, ran, "dvc", "repro", "download")
    assert not folder.exists()
    assert (ran.folder / "work.sh").read_text().endswith("# other code\n")
    assert "Running stage" not in ran.run("dvc", "repro", "download")
    with (
        pytest.raises(MachineError, match="no-such-name"),
        temporary_clone("no-such-name", ran.folder),
    ):
        pass
    assert toy.clones(ran) == []


def test_remotes_secrets_and_identity_come_along(project: Project, tmp_path: Path) -> None:
    project.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    project.run("git", "remote", "add", "origin", "../origin.git")
    project.run("git", "config", "user.name", "somebody")
    project.run("dvc", "remote", "add", "--default", "storage", "../storage")
    project.run("dvc", "remote", "add", "--local", "cloud", "s3://bucket")
    project.run("dvc", "remote", "modify", "--local", "cloud", "secret_access_key", "secret")
    project.run("dvc", "config", "--local", "cache.dir", "../cache")
    with temporary_clone("HEAD", project.folder) as folder:
        for command, expected in {
            "git remote get-url origin": str(tmp_path / "origin.git"),
            "git remote get-url here": str(project.folder),
            "git config user.name": "somebody",
            "dvc cache dir": str(tmp_path / "cache"),
            "git status --porcelain": "",
        }.items():
            assert run_in(folder, project, *command.split()) == expected
        listed = run_in(folder, project, "dvc", "remote", "list").split()
        storage = Path(listed[listed.index("storage") + 1])
        assert (folder / storage).resolve() == tmp_path / "storage"
        assert "secret_access_key=secret" in run_in(folder, project, "dvc", "config", "--list")


def test_the_clone_of_a_killed_process_is_removed_by_the_next(project: Project) -> None:
    command = [sys.executable, "-c", KILLED, str(project.folder)]
    path = f"{PROJECT}{os.pathsep}{PROJECT / 'src'}"
    subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=False)
    (abandoned,) = toy.clones(project)
    (abandoned / "half.txt").touch()
    with (
        temporary_clone("HEAD", project.folder) as first,
        temporary_clone("HEAD", project.folder) as second,
    ):
        assert sorted(toy.clones(project)) == sorted([first, second])
        assert not (first / "half.txt").exists()


def test_a_training_that_was_killed_in_one_place_goes_on_in_another(project: Project) -> None:
    for file in ("begun", "gone on"):
        with temporary_clone("HEAD", project.folder) as folder:
            (folder / CHECKPOINTS / file).touch()
            assert run_in(folder, project, "git", "status", "--porcelain") == ""
    assert {path.name for path in (project.folder / CHECKPOINTS).iterdir()} == {"begun", "gone on"}
    command = YAML(typ="safe").load(PROJECT / "dvc.yaml")["stages"]["train"]["do"]["cmd"]
    assert f"--checkpoints {CHECKPOINTS}/${{key}}" in command

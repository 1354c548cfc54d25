"""What DVC answers: planned commands, recorded outputs, cache, remotes, ignored files."""

import shutil
import sys
from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.core.errors import DataError, MachineError
from convdepth.workspace import dvc
from convdepth.workspace.git import find_commit
from convdepth.workspace.lockfile import LOCK
from project import Project, start

STAGES = """
stages:
  train:
    foreach: ${names}
    do: {cmd: "convdepth train ${key} --model=x", deps: [params.yaml]}
  make:
    cmd: mkdir -p folder && echo 1 > folder/a && echo 2 > small
    deps: [params.yaml]
    outs: [folder, {small: {cache: false}}]
"""

TWO = "26ab0db90d72e28ad0ba1e22ee510510"
"""The MD5 of the file `small`."""

STUDY = """
stages:
  more:
    matrix: {seed: [1, 2]}
    wdir: ..
    cmd: cp small ${item.seed}.txt
    deps: [small]
    outs: ["${item.seed}.txt"]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two graphs and recorded outputs, committed."""
    home = tmp_path_factory.mktemp("home")
    files = {"params.yaml": "names: {cnn1: 1, cnn9: 2}\n", "dvc.yaml": STAGES}
    project = start(home / "toy", home, files | {"studies/dvc.yaml": STUDY})
    project.run("dvc", "repro", "make")
    project.run("dvc", "repro", "--single-item", "studies/dvc.yaml:more@1")
    project.commit("Results")
    return project


@pytest.fixture
def toy(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return finished.entered_copy(tmp_path / "toy", monkeypatch)


def test_planned_commands(toy: Project) -> None:
    train = ["convdepth", "train", "cnn9", "--model=x"]
    assert dvc.planned_commands(toy.folder)["train@cnn9"] == train
    assert dvc.planned_commands(toy.folder, dvc.STUDIES) == {
        f"{dvc.STUDIES}:more@{seed}": ["cp", "small", f"{seed}.txt"] for seed in (1, 2)
    }
    head = find_commit("HEAD", toy.folder)
    (toy.folder / dvc.GRAPH).write_text(STAGES.replace("--model=x", "--model=y"))
    assert dvc.planned_command("cnn9", toy.folder, head) == train
    assert dvc.planned_command("cnn9", toy.folder)[-1] == "--model=y"
    with pytest.raises(DataError, match=r"dvc\.yaml: train@cnn3\.cmd"):
        dvc.planned_command("cnn3", toy.folder)


@pytest.mark.parametrize("commit", [None, "HEAD"])
def test_recorded_outputs(toy: Project, commit: str | None) -> None:
    if commit is not None:
        commit = find_commit(commit, toy.folder)
        shutil.rmtree(toy.folder / "folder")
        (toy.folder / LOCK).unlink()
    folder, small = dvc.recorded_outputs(toy.folder, commit)
    assert (folder.path, folder.is_folder, folder.cached) == ("folder", True, True)
    assert small == dvc.Output("make", "small", TWO, cached=False)
    assert small.lock == "dvc.lock"
    (more,) = dvc.recorded_outputs(toy.folder, commit, dvc.STUDIES)
    assert more == dvc.Output(f"{dvc.STUDIES}:more@1", "1.txt", TWO)
    assert more.lock == "studies/dvc.lock"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (LOCK, "schema: '2.0'", "<<<<<<< HEAD"),
        (LOCK, "", None),
        (LOCK, TWO, f"../../{TWO}"),
        (LOCK, TWO, f"1{TWO}"),
        (LOCK, "outs:", "outs: 3\n    other:"),
        (LOCK, "stages:", "stages:\n  more: 3"),
        (dvc.GRAPH, "stages:", "stages: [1"),
        (dvc.GRAPH, "", None),
        (dvc.GRAPH, "${names}", "${missing}"),
    ],
)
def test_a_damaged_file_is_named(toy: Project, file: Path, old: str, new: str | None) -> None:
    path = toy.folder / file
    content = None if new is None else path.read_text().replace(old, new)
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DataError, match=file.name):
        dvc.recorded_outputs(toy.folder)
    assert (path.read_text() if path.exists() else None) == content


def test_the_default_remote_may_have_any_name(toy: Project) -> None:
    assert dvc.default_remote(toy.folder) is None
    toy.run("dvc", "remote", "add", "the.other", f"/{'name' * 40}")
    toy.run("dvc", "remote", "default", "--local", "the.other")
    assert dvc.default_remote(toy.folder) == "the.other"


@pytest.mark.parametrize(
    ("script", "seconds", "reason"),
    [
        ("exec sleep 600", 0.5, "no answer within 0 s"),
        ("echo 'ERROR: bad: ssh://me:secret@host/a\nERROR: b\nTroubles?'", 60, "bad: ssh://host/a"),
        ("echo; echo so; echo", 60, "so"),
        ("", 60, "no message"),
    ],
)
def test_what_a_remote_says_is_shown_without_its_password(
    toy: Project, monkeypatch: pytest.MonkeyPatch, script: str, seconds: float, reason: str
) -> None:
    program = toy.folder / "python"  # stands for DVC, which asks a host
    program.write_text(f"#!/bin/sh\nexec >&2\n{script}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    assert dvc.ask_remote(toy.folder, seconds) == reason


def test_outside_of_a_project_the_command_into_it_is_named(toy: Project) -> None:
    below = Project(toy.folder / "studies", toy.folder)
    for words in (["doctor"], ["verify"], ["rank"], ["compare", "HEAD"]):
        assert f"`cd {toy.folder}`" in below.run("convdepth", *words, code=4)
    with pytest.raises(MachineError, match=f"`cd {PROJECT}`"):
        dvc.require_project(toy.folder.parent)

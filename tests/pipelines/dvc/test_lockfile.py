"""DVC's own files: their order, and what a killed process left of them."""

import json
from pathlib import Path

import pytest
import toy
from ruamel.yaml import YAML

import project as projects
from conftest import PROJECT
from pipelines.dvc.lockfile import LOCKS, mend_locks, order_lock
from project import Project

MATRIX = """
vars: ["../params.yaml:architectures"]
stages:
  study:
    matrix:
      network: ${architectures}
      seed: [10, 9]
    wdir: ..
    cmd: echo 1 > ${item.network}-${item.seed}.study
    deps: [work.sh]
    outs: ["${item.network}-${item.seed}.study"]
"""

STUDIES = [f"study@{item}" for item in ("one-10", "one-9", "two-10", "two-9")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with all results committed. Read-only by agreement."""
    home = tmp_path_factory.mktemp("finished")
    project = toy.create(home / "toy", home)
    (project.folder / "studies").mkdir()
    (project.folder / "studies" / "dvc.yaml").write_text(MATRIX)
    project.run("dvc", "repro", "--all-pipelines")
    order_lock(project.folder)
    project.commit("Results")
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    return finished.copy(tmp_path / "toy")


def test_entries_come_in_the_order_of_the_definitions(project: Project) -> None:
    assert list(toy.locked(project)["stages"]) == toy.STAGES
    assert list(toy.locked(project, "studies/dvc.lock")["stages"]) == STUDIES
    lock = project.folder / "dvc.lock"
    lock.write_text(lock.read_text().replace("    cmd: sh", "    # By hand.\n    cmd: sh", 1))
    whole, written = lock.read_text(), lock.stat().st_mtime_ns
    order_lock(project.folder)
    assert lock.stat().st_mtime_ns == written  # it was in order
    yaml = YAML()  # keeps the comment
    content = yaml.load(lock)
    former = {name: {"cmd": f"echo {name}"} for name in ("second", "first")}
    content["stages"] = former | dict(reversed(list(content["stages"].items())))
    yaml.dump(content, lock)
    order_lock(project.folder)
    assert list(toy.locked(project)["stages"]) == [*toy.STAGES, "second", "first"]
    assert lock.read_text().partition("  second:")[0] == whole
    assert "up to date" in project.run("dvc", "status")
    before = lock.read_text()
    (project.folder / "dvc.yaml").write_text("stages: [")
    order_lock(project.folder)  # by definitions that cannot be read
    assert lock.read_text() == before


@pytest.mark.parametrize("torn", [b"", b'{"read": {"a": [{"pid": 1, "cm'])
def test_a_torn_list_of_busy_files_is_deleted(project: Project, torn: bytes) -> None:
    path = project.folder / ".dvc" / "tmp" / "rwlock"
    path.write_bytes(torn)
    project.run("dvc", "repro", "download", code=255)
    mend_locks(project.folder)
    assert not path.exists()
    project.run("dvc", "repro", "download")


def test_a_torn_dvc_lock_becomes_that_of_the_last_commit(project: Project) -> None:
    for lock in ("dvc.lock", "studies/dvc.lock"):
        path = project.folder / lock
        whole = path.read_bytes()
        for torn in (b"", b"schema: '2.0'\nstages:\n  download:\n    cmd", b"stages: ["):
            path.write_bytes(torn)
            mend_locks(project.folder)
            assert path.read_bytes() == whole


def test_a_torn_dvc_lock_that_git_does_not_have_is_deleted_and_nothing_runs_again(
    project: Project,
) -> None:
    path = project.folder / "dvc.lock"
    busy = project.folder / ".dvc" / "tmp" / "rwlock"
    busy.write_text(json.dumps({"read": {}, "write": {}}))
    project.run("git", "rm", "--quiet", "--cached", "dvc.lock")
    project.run("git", "commit", "--quiet", "--message", "No lock")
    path.write_bytes(b"")
    for _ in range(2):  # what is whole or not there stays so
        mend_locks(project.folder)
        order_lock(project.folder)
        assert not path.exists()
        assert busy.exists()
    assert project.repro() == []  # all of it is restored


def test_a_run_of_a_clone_leaves_the_committed_order(tmp_path: Path) -> None:
    folder = projects.create(tmp_path / "convdepth", tmp_path, {}).folder
    committed = {lock: (PROJECT / lock).read_text(encoding="utf-8") for lock in LOCKS}
    for lock, text in committed.items():
        (folder / lock).write_text(text, encoding="utf-8")
    order_lock(folder)
    assert {lock: (folder / lock).read_text(encoding="utf-8") for lock in LOCKS} == committed

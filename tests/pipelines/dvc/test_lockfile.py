"""DVC's own files: their order, and what a killed process left of them."""

import json
from pathlib import Path

import pytest
import toy
from ruamel.yaml import YAML

import project as projects
from conftest import PROJECT
from convdepth.core.errors import MachineError, ParameterError
from pipelines.dvc.lockfile import LOCKS, TORN, mend_locks, order_lock
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
    project = toy.create(home / "toy", home, ran=True)
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
    assert copies(project) == {torn}
    project.run("dvc", "repro", "download")
    path.write_bytes(b"{not of DVC}")
    with pytest.raises(ParameterError, match=str(path)):
        mend_locks(project.folder)
    assert path.read_bytes() == b"{not of DVC}"


def copies(project: Project) -> set[bytes]:
    return {path.read_bytes() for path in (project.folder / TORN).iterdir()}


def test_a_torn_dvc_lock_becomes_that_of_the_last_commit(project: Project) -> None:
    tears = {b"", b"schema: '2.0'\nstages:\n  download:\n    cmd", b"stages: ["}
    for lock in ("dvc.lock", "studies/dvc.lock"):
        path = project.folder / lock
        whole = path.read_bytes()
        for torn in tears:
            path.write_bytes(torn)
            mend_locks(project.folder)
            assert path.read_bytes() == whole
    assert copies(project) == tears


def test_a_dvc_lock_that_no_kill_tore_is_untouched(project: Project) -> None:
    path = project.folder / "dvc.lock"
    whole = path.read_text()
    ours, _, theirs = whole.partition("stages:\n")
    conflict = f"{ours}<<<<<<< ours\n{whole}=======\n{theirs}>>>>>>> theirs"
    for content, where in {
        conflict: rf"{path}: line 2: .*git checkout --ours",
        f"{whole}  x: [\n": rf"{path}: line {whole.count(chr(10)) + 2}: .*git diff",
        whole.replace("    cmd:", "    command:", 1): rf"{path}: .*git checkout",
        "no lock\n": rf"{path}: ",
    }.items():
        path.write_text(content)
        with pytest.raises(ParameterError, match=where):
            mend_locks(project.folder)
        assert path.read_text() == content


def test_a_torn_dvc_lock_is_untouched_if_git_does_not_answer(project: Project) -> None:
    path = project.folder / "dvc.lock"
    path.write_bytes(b"stages: [")
    for each in (project.folder / ".git" / "objects").glob("??/*"):
        each.chmod(0o644)
        each.write_bytes(b"")
    with pytest.raises(MachineError, match=f"(?s){path}: .*object file"):
        mend_locks(project.folder)
    assert path.read_bytes() == b"stages: ["


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

"""DVC's own files: their order, and what a killed process left of them."""

import json
from pathlib import Path

import pytest
import toy
from ruamel.yaml import YAML

from pipelines.dvc.lockfile import locked_stages, mend_locks, order_lock
from project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return toy.create(tmp_path / "toy", tmp_path)


# DVC 3.67 builds its graph with a call that its library pygtrie will drop.
uses_graph = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")


@uses_graph
def test_entries_come_in_the_order_of_the_definitions(project: Project) -> None:
    assert locked_stages(project.folder) == []
    for stage in ("download", "normalize", "train@two", "evaluate@two", "train@one"):
        project.run("dvc", "repro", "--single-item", stage)
    lock = project.folder / "dvc.lock"
    comment = "# By hand.\n"
    lock.write_text(lock.read_text().replace("    cmd: sh", f"    {comment}    cmd: sh", 1))
    as_written = lock.read_text()
    order_lock(project.folder)
    assert locked_stages(project.folder) == [
        "download",
        "normalize",
        "train@one",
        "train@two",
        "evaluate@two",
    ]
    assert sorted(lock.read_text()) == sorted(as_written)  # not a letter changed
    assert comment in lock.read_text()
    assert "up to date" in project.run("dvc", "status", "train@one", "evaluate@two")


@uses_graph
def test_what_ran_first_does_not_matter_and_undefined_stages_come_last(project: Project) -> None:
    project.repro()
    lock = project.folder / "dvc.lock"
    order_lock(project.folder)
    whole = lock.read_text()
    content = YAML(typ="safe").load(lock)
    former = {name: {"cmd": f"echo {name}"} for name in ("second", "first")}
    entries = former | dict(reversed(content["stages"].items()))
    YAML().dump({**content, "stages": entries}, lock)
    order_lock(project.folder)
    assert locked_stages(project.folder) == [*toy.STAGES, "second", "first"]
    lock.write_text(lock.read_text().partition("  second:")[0])
    assert lock.read_text() == whole


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


@uses_graph
def test_a_matrix_is_in_the_order_of_its_items(project: Project) -> None:
    studies = project.folder / "studies"
    studies.mkdir()
    (studies / "dvc.yaml").write_text(MATRIX)
    items = ["one-10", "one-9", "two-10", "two-9"]
    for item in sorted(items, reverse=True):
        project.run("dvc", "repro", "--single-item", f"studies/dvc.yaml:study@{item}")
    order_lock(project.folder)
    assert locked_stages(project.folder) == [f"studies/dvc.yaml:study@{item}" for item in items]


@uses_graph
def test_a_lock_in_order_is_not_written_again(project: Project) -> None:
    project.run("dvc", "repro", "--single-item", "download")
    lock = project.folder / "dvc.lock"
    before = lock.stat().st_mtime_ns
    order_lock(project.folder)
    assert lock.stat().st_mtime_ns == before


@uses_graph
def test_a_lock_keeps_its_order_where_the_definitions_cannot_be_read(project: Project) -> None:
    project.repro()
    whole = (project.folder / "dvc.lock").read_text()
    (project.folder / "dvc.yaml").write_text("stages: [")
    order_lock(project.folder)
    assert (project.folder / "dvc.lock").read_text() == whole


@pytest.mark.parametrize("torn", [b"", b'{"read": {"a": [{"pid": 1, "cm'])
def test_a_torn_list_of_busy_files_is_deleted(project: Project, torn: bytes) -> None:
    path = project.folder / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(torn)
    assert "corrupted" in project.run("dvc", "repro", "download", code=255)
    mend_locks(project.folder)
    assert not path.exists()
    project.run("dvc", "repro", "download")


def test_a_whole_list_of_busy_files_stays(project: Project) -> None:
    path = project.folder / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"read": {}, "write": {}}))
    mend_locks(project.folder)
    assert path.exists()


@pytest.mark.parametrize(
    "torn", [b"", b"schema: '2.0'\nstages:\n  download:\n    cmd", b"stages: ["]
)
def test_a_torn_dvc_lock_becomes_that_of_the_last_commit(project: Project, torn: bytes) -> None:
    project.repro()
    project.commit("Results")
    path = project.folder / "dvc.lock"
    whole = path.read_bytes()
    path.write_bytes(torn)
    project.run("dvc", "repro", "download", code=255)
    mend_locks(project.folder)
    assert path.read_bytes() == whole
    assert project.repro() == []


def test_a_torn_dvc_lock_that_git_does_not_have_is_deleted_and_nothing_runs_again(
    project: Project,
) -> None:
    project.repro()
    path = project.folder / "dvc.lock"
    path.write_bytes(b"")
    mend_locks(project.folder)
    assert not path.exists()
    assert project.repro() == []  # all of it is restored


def test_a_torn_lock_of_the_studies_is_mended_too(project: Project) -> None:
    studies = project.folder / "studies"
    studies.mkdir()
    (studies / "dvc.yaml").write_text("stages: {study: {cmd: echo 1 > two, outs: [two]}}\n")
    project.run("dvc", "repro", "studies/dvc.yaml")
    project.commit("Results")
    lock = studies / "dvc.lock"
    whole = lock.read_bytes()
    lock.write_bytes(whole[:40])
    mend_locks(project.folder)
    assert lock.read_bytes() == whole
    assert locked_stages(project.folder) == ["studies/dvc.yaml:study"]


def test_a_project_in_which_nothing_ran_needs_no_mending(project: Project) -> None:
    mend_locks(project.folder)

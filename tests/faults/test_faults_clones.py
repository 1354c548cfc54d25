"""Two fresh clones end with equal bytes, whoever runs them, where and how; an idle commit too."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import serving
from fault_report import Record

import faults
from faults import Finished
from project import Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

HERE = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "0"}
THERE = {"TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "4294967295"}


def test_a_plain_run_and_a_parallel_flow_in_two_clones_give_equal_bytes(
    finished: Finished, tmp_path: Path, full: bool, record_fault: Record, server_url: str
) -> None:
    expected, origin = finished.results, finished.project
    if full:
        origin = faults.create(tmp_path / "origin" / "convdepth", tiny=False)
        one = clone(origin, tmp_path / "a", HERE)
        run(one, "022", "dvc", "repro")
        expected = faults.results(one)
    other = clone(origin, tmp_path / "somewhere else" / "ä" / "b", THERE)
    other.environment["PREFECT_API_URL"] = server_url
    run(other, "077", *serving.PIPELINES, "pipeline", "--jobs", "2")
    found = faults.results(other)
    names = found.keys() | expected.keys()
    equal = [name for name in names if found.get(name) == expected.get(name)]
    networks = sum(name.startswith("data/models/") for name in names)
    record_fault("fresh clones", len(equal), len(names), f"files, of {networks} networks")
    assert networks == (4 if full else 2)
    assert sorted(names) == sorted(equal)
    for name in ("origin", "a", "somewhere else"):
        faults.delete(tmp_path / name)


def clone(origin: Project, folder: Path, variables: Mapping[str, str]) -> Project:
    """Clone what is committed of a project but its results."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    origin.run("git", "clone", "--quiet", ".", str(folder))
    project = Project(folder, folder.parent)
    faults.at_home(project, Path(origin.environment["HOME"]))
    project.environment |= variables
    for path in [folder / "dvc.lock", *(folder / "metrics").rglob("*.*")]:
        path.unlink(missing_ok=True)
    return project


def run(project: Project, umask: str, *command: str) -> None:
    project.run("sh", "-c", 'umask "$0" && exec "$@"', umask, *command)


def test_between_commits_without_a_change_no_metric_differs(
    workspace: Project, record_fault: Record
) -> None:
    with (workspace.folder / "README.md").open("a", encoding="utf-8") as readme:
        readme.write("\nA sentence more.\n")
    assert workspace.repro() == []
    workspace.commit("A sentence more")
    printed = workspace.run("dvc", "metrics", "diff", "HEAD~1", "HEAD")
    record_fault("no-op commit", int(printed == ""), 1)
    assert printed == ""

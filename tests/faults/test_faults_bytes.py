"""`convdepth verify` finds each flipped byte; fresh clones, anywhere, end with equal bytes."""

import os
import random
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import serving
from fault_report import Record, TryEach

import faults
from faults import Finished
from project import Project

SEED = 20260102

HERE = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "0"}
THERE = {"TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "4294967295"}


def test_each_flipped_byte_is_reported(
    finished: Finished, workspace: Project, try_each: TryEach
) -> None:
    cache = workspace.folder / ".dvc" / "cache" / "files"
    cached = [path for path in sorted(cache.rglob("*")) if path.is_file()]
    outputs = [name for stage in faults.locked(workspace) for name in finished.output_files(stage)]
    assert len(cached) >= 15
    assert len(outputs) >= 20
    names = [*outputs, *(str(path.relative_to(workspace.folder)) for path in cached)]
    attempt = partial(verify_flipped, workspace, random.Random(SEED))
    cases = dict(zip(names, names, strict=True))
    try_each("flipped bytes", cases, attempt, sample=2, note=f"seed {SEED}")
    workspace.run("convdepth", "verify")


def verify_flipped(project: Project, places: random.Random, name: str) -> None:
    """Flip one bit of a file, verify, and flip it back."""
    path = project.folder / name
    place, bit = places.randrange(path.stat().st_size), 1 << places.randrange(8)
    flip(path, place, bit)
    code, output = faults.run(project, "convdepth", "verify")
    flip(path, place, bit)
    # Of these outputs only the digest of the whole folder is known.
    folders = [out for out in faults.locked_outs(project, "plot") if name.startswith(f"{out}/")]
    assert code == 7, output
    assert any(each in output for each in [name, *folders]), output


def flip(path: Path, place: int, bit: int) -> None:
    """Flip a bit in place; inode, size, permissions and times stay."""
    before = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ bit]))
    path.chmod(before.st_mode & 0o777)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.nightly
def test_nothing_is_reported_where_nothing_is_damaged(
    workspace: Project, try_each: TryEach
) -> None:
    def attempt(_number: int) -> None:
        workspace.run("convdepth", "verify")

    try_each("clean checks", {f"{n}": n for n in range(100)}, attempt, sample=2)


@pytest.mark.nightly
def test_a_plain_run_and_a_parallel_flow_in_two_clones_give_equal_bytes(
    finished: Finished, tmp_path: Path, full: bool, record_fault: Record, harness: str
) -> None:
    expected, origin = finished.results, finished.project
    if full:
        origin = faults.create(tmp_path / "origin" / "convdepth", tiny=False)
        one = clone(origin, tmp_path / "a", HERE)
        run(one, "022", "dvc", "repro")
        expected = faults.results(one)
    other = clone(origin, tmp_path / "somewhere else" / "ä" / "b", THERE)
    other.environment["PREFECT_API_URL"] = harness
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
    project = faults.clone(origin, folder)
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

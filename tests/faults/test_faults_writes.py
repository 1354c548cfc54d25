"""Every write, fsync and rename of every stage fails once: nothing good is lost."""

import errno
import os
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from fault_report import Record

import faults
from faults import STAGES, Ended, Finished, Forks
from project import Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

SAMPLE = 1
"""So many points of each stage."""


ANY_WRITE = "any write"

NO_FOLDER = "a temporary folder cannot be made: No usable temporary directory found"
"""What Python says of a first write that is to a temporary folder; it keeps the cause to itself."""


class Fault(NamedTuple):
    """A point of a stage at which something fails, and what.

    Attributes:
        name: What people call it.
        fault: How `fault_child` finds it.
        reason: What the error says.
    """

    name: str
    fault: dict[str, Any]
    reason: str


def list_faults(calls: dict[str, int], sizes: list[int]) -> Iterator[Fault]:
    """List all points of a stage, from what a run without a fault has counted."""
    for call, number in (("fsync", errno.EIO), ("replace", errno.ENOSPC)):
        for place in range(1, calls[call] + 1):
            fault = {"kind": "raise", "call": call, "number": place, "value": number}
            yield Fault(f"{call} {place}", fault, os.strerror(number))
    too_large = os.strerror(errno.EFBIG)
    yield Fault(ANY_WRITE, {"kind": "limit", "value": 0}, too_large)
    for place, size in enumerate(sizes, 1):
        fault = {"kind": "limit", "call": "begin", "number": place, "value": size - 1}
        yield Fault(f"the last byte of file {place}", fault, too_large)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_whose_write_fails_loses_nothing(
    finished: Finished, workspace: Project, full: bool, record_fault: Record, stage: str
) -> None:
    names = finished.output_files(stage)
    with Forks(workspace, stage) as forks:
        clear(workspace, stage)
        points = list(list_faults(*forks.count()))
        assert len(points) > 3 * len(names)
        chosen = points if full else faults.choose(stage, points, SAMPLE)
        failures = [
            f"{point.name}: {problem}"
            for point in chosen
            if (problem := try_point(finished, workspace, stage, forks, point))
        ]
    record_fault("failing writes", len(chosen) - len(failures), len(chosen))
    assert not failures, "\n".join(failures)


def try_point(finished: Finished, project: Project, stage: str, forks: Forks, point: Fault) -> str:
    """Let one write of a stage fail where former results lie; give what was wrong."""
    names = finished.output_files(stage)
    clear(project, stage)
    former = {name: f"the former {name}".encode() for name in names}
    for name, content in former.items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_bytes(content)
    ended = forks.run(**point.fault)
    if problem := find_fault_of_error(ended, point):
        return f"{problem}\n{ended.output}"
    if left := faults.leftovers(project):
        return f"left {left}"
    found = {name: (project.folder / name).read_bytes() for name in names}
    new = faults.results(project)
    partial = [
        name
        for name in names
        if found[name] != former[name] and new[name] != finished.results[name]
    ]
    if partial:
        return f"neither the former nor the new content: {partial}"
    again = forks.run()
    if again.code != 0:
        return f"the rerun failed:\n{again.output}"
    new = faults.results(project)
    differing = [name for name in names if new[name] != finished.results[name]]
    return f"other bytes after the rerun: {differing}" if differing else ""


def find_fault_of_error(ended: Ended, point: Fault) -> str:
    """Say what is wrong with how a failed stage ended."""
    if ended.code != 4:
        return f"expected exit code 4, got {ended.code}"
    errors = [line for line in ended.output.splitlines() if line.startswith("error: ")]
    reasons = [point.reason, NO_FOLDER] if point.name == ANY_WRITE else [point.reason]
    told = len(errors) == 1 and any(reason in errors[0] for reason in reasons)
    if not told or "/" not in errors[0]:
        return f"expected one error with a path and {' or '.join(reasons)}"
    return ""


def clear(project: Project, stage: str) -> None:
    """Take away what the stage goes on from, and what tells it that all is done."""
    if stage.startswith("train@"):
        shutil.rmtree(faults.checkpoints(project, stage), ignore_errors=True)
    for out in faults.locked_outs(project, stage):
        path = project.folder / out
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

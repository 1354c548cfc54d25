"""Every write, fsync and rename of every stage fails once: nothing good is lost."""

import errno
import json
import os
from functools import partial
from typing import Any

import pytest
from fault_report import TryEach

import faults
from faults import STAGES, Finished
from project import Project

SAMPLE = 1
"""So many points of each stage."""

NO_FOLDER = "a temporary folder cannot be made: No usable temporary directory found"
"""What Python says of a first write that is to a temporary folder; it keeps the cause to itself."""

Point = tuple[dict[str, Any], list[str]]
"""What fails, and where, as `fault_child` finds it, and the reasons of which the error has one."""


def points_of(counted: dict[str, Any]) -> dict[str, Point]:
    """List all points of a stage, from what a run without a fault has counted."""
    points = {}
    for call, number in (("fsync", errno.EIO), ("replace", errno.ENOSPC)):
        for place in range(1, counted["calls"][call] + 1):
            fault = {"kind": "raise", "call": call, "number": place, "value": number}
            points[f"{call} {place}"] = fault, [os.strerror(number)]
    too_large = os.strerror(errno.EFBIG)
    points["any write"] = {"kind": "limit", "value": 0}, [too_large, NO_FOLDER]
    for place, size in enumerate(counted["sizes"], 1):
        fault = {"kind": "limit", "call": "begin", "number": place, "value": size - 1}
        points[f"the last byte of file {place}"] = fault, [too_large]
    return points


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_whose_write_fails_loses_nothing(
    finished: Finished, workspace: Project, try_each: TryEach, stage: str
) -> None:
    with faults.forks(workspace, stage) as run:
        clear(workspace, stage)
        code, output = run(kind="nothing")
        assert code == 0, output
        points = points_of(json.loads(output.splitlines()[-1]))
        assert len(points) > 3 * len(finished.output_files(stage))
        attempt = partial(try_point, finished, workspace, stage, run)
        try_each("failing writes", points, attempt, sample=SAMPLE)


def try_point(finished: Finished, project: Project, stage: str, run: Any, point: Point) -> str:
    """Let one write of a stage fail where former results lie; give what was wrong."""
    fault, reasons = point
    clear(project, stage)
    former = {name: f"the former {name}".encode() for name in finished.output_files(stage)}
    for name, content in former.items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_bytes(content)
    code, output = run(**fault)
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    told = len(errors) == 1 and "/" in errors[0] and any(each in errors[0] for each in reasons)
    if code != 4 or not told:
        return f"expected 4 and an error with a path and one of {reasons}, got {code}\n{output}"
    changed = finished.differences(project)
    torn = [name for name in changed if (project.folder / name).read_bytes() != former.get(name)]
    if torn:
        return f"neither the former nor the new content: {torn}"
    folders = [project.folder / name for name in ("data", "metrics", ".dvc/tmp/convdepth")]
    if left := [str(path) for folder in folders for path in folder.rglob(".*.tmp*")]:
        return f"temporary files are left: {left}"
    code, output = run()
    return output if code else "".join(finished.differences(project))


def clear(project: Project, stage: str) -> None:
    """Take away what the stage goes on from, and what tells it that all is done."""
    if stage.startswith("train@"):
        faults.delete(faults.checkpoints(project, stage))
    for out in faults.locked_outs(project, stage):
        faults.delete(project.folder / out)

"""Each write of each stage fails once, and a training is killed at each of its points."""

import errno
import json
import os
import re
from functools import partial
from typing import Any, NamedTuple

import pytest
from fault_report import TryEach

import faults
from faults import EPOCHS, STAGES, Finished
from project import Project

TRAIN = "train@tiny"

BATCHES = 5  # of 128, in 600 images

NO_FOLDER = "a temporary folder cannot be made: No usable temporary directory found"
"""What Python says of a first write that is to a temporary folder; it keeps the cause to itself."""


class Point(NamedTuple):
    """A moment of a stage at which something happens."""

    fault: dict[str, Any]
    """What and when, see `fault_child`."""
    reasons: tuple[str, ...] = ()
    """Of which the error has one; none where the stage is killed."""
    kept: int = 0
    """How many epochs of a killed training the next run need not do again."""


def failures_of(counted: dict[str, Any]) -> dict[str, Point]:
    """List all writes of a stage, from what a run without a fault has counted."""
    points = {}
    for call, number in (("fsync", errno.EIO), ("replace", errno.ENOSPC)):
        for place in range(1, counted["calls"][call] + 1):
            fault = {"kind": "raise", "call": call, "number": place, "value": number}
            points[f"{call} {place}"] = Point(fault, (os.strerror(number),))
    too_large = os.strerror(errno.EFBIG)
    points["any write"] = Point({"kind": "limit", "value": 0}, (too_large, NO_FOLDER))
    for place, size in enumerate(counted["sizes"], 1):
        fault = {"kind": "limit", "call": "begin", "number": place, "value": size - 1}
        points[f"the last byte of file {place}"] = Point(fault, (too_large,))
    return points


def kill(call: str, number: int, kept: int) -> Point:
    return Point({"kind": "kill", "call": call, "number": number}, kept=kept)


def half(number: int, kept: int) -> Point:
    return Point({"kind": "half", "call": "write", "number": number}, kept=kept)


def kills_of_training() -> dict[str, Point]:
    points = {}
    for epoch in range(1, EPOCHS + 1):
        # Each epoch writes two files: the arrays, and then the manifest that makes them count.
        arrays, manifest, before = 2 * epoch - 1, 2 * epoch, epoch - 1
        points |= {
            f"in epoch {epoch}": kill("batch", BATCHES * before + 3, before),
            f"before checkpoint {epoch}": kill("begin", arrays, before),
            f"within the arrays of {epoch}": half(arrays, before),
            f"before the arrays of {epoch} count": kill("replace", arrays, before),
            f"between arrays and manifest {epoch}": kill("begin", manifest, before),
            f"within the manifest of {epoch}": half(manifest, before),
            f"before the manifest of {epoch} counts": kill("replace", manifest, before),
            f"after checkpoint {epoch}": kill("fsync", 2 * manifest, epoch),
        }
    model, history = 2 * EPOCHS + 1, 2 * EPOCHS + 2
    return points | {
        "while an old checkpoint is deleted": kill("remove", 1, EPOCHS),
        "within the model": half(model, EPOCHS),
        "before the model is there": kill("replace", model, EPOCHS),
        "between model and history": kill("begin", history, EPOCHS),
        "within the history": half(history, EPOCHS),
        "after the history": kill("begin", history + 1, EPOCHS),
        "before the checkpoints are deleted": kill("clear", 1, EPOCHS),
    }


@pytest.mark.parametrize(
    "stage", [TRAIN, *(pytest.param(s, marks=pytest.mark.nightly) for s in STAGES if s != TRAIN)]
)
def test_a_stage_whose_write_fails_loses_nothing(
    finished: Finished, workspace: Project, try_each: TryEach, stage: str
) -> None:
    with faults.forks(workspace, stage) as run:
        put_former_results(finished, workspace, stage)
        code, output = run(kind="nothing")
        assert code == 0, output
        points = failures_of(json.loads(output.splitlines()[-1]))
        assert len(points) > 3 * len(finished.output_files(stage))
        attempt = partial(try_point, finished, workspace, stage, run)
        try_each("failing writes", points, attempt, sample=1)


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(
    finished: Finished, workspace: Project, try_each: TryEach
) -> None:
    with faults.forks(workspace, TRAIN) as run:
        attempt = partial(try_point, finished, workspace, TRAIN, run)
        try_each("killed trainings", kills_of_training(), attempt, sample=2)


def try_point(finished: Finished, project: Project, stage: str, run: Any, point: Point) -> None:
    """Let a stage fail where former results lie, and run it again."""
    former, killed = put_former_results(finished, project, stage), not point.reasons
    code, output = run(**point.fault)
    assert code == (-9 if killed else 4), output
    if not killed:
        errors = [line for line in output.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, output
        assert "/" in errors[0]
        assert any(reason in errors[0] for reason in point.reasons), errors
        for folder in ("data", "metrics", ".dvc/tmp/convdepth"):
            assert list((project.folder / folder).rglob(".*.tmp*")) == []
    for name in finished.differences(project):  # else it has its new content
        assert (project.folder / name).read_bytes() == former[name], name
    code, output = run()
    assert code == 0, output
    if killed:
        resumed = re.findall(r"goes on after epoch (\d+)", output)
        assert resumed == ([str(point.kept)] if point.kept else [])
    assert finished.differences(project) == []
    assert list((project.folder / ".dvc" / "tmp").rglob("epoch-*")) == []  # its checkpoints


def put_former_results(finished: Finished, project: Project, stage: str) -> dict[str, bytes]:
    """Put other files in the place of a stage's results."""
    for out in faults.locked_outs(project, stage):
        faults.delete(project.folder / out)
    former = {name: f"the former {name}".encode() for name in finished.output_files(stage)}
    for name, content in former.items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_bytes(content)
    return former

"""A training that is killed at each epoch, before, within and after its checkpoint, goes on."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from fault_report import Record

import faults
from faults import EPOCHS, Finished, Forks
from project import Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

STAGE = "train@tiny"

BATCHES = 5  # of 128, in 600 images


class Point(NamedTuple):
    """A moment at which the training is killed.

    Attributes:
        name: What people call it.
        fault: How `fault_child` finds it.
        kept: How many epochs the next run need not do again.
    """

    name: str
    fault: dict[str, Any]
    kept: int


def points_of_epoch(epoch: int) -> Iterator[Point]:
    # Each epoch writes two files: the arrays, and then the manifest that makes them count.
    arrays, manifest = 2 * epoch - 1, 2 * epoch
    before = epoch - 1
    batch = BATCHES * before + 3
    yield Point(f"in epoch {epoch}", kill("batch", batch), before)
    yield Point(f"before checkpoint {epoch}", kill("begin", arrays), before)
    yield Point(f"within the arrays of {epoch}", half(arrays), before)
    yield Point(f"before the arrays of {epoch} count", kill("replace", arrays), before)
    yield Point(f"between arrays and manifest {epoch}", kill("begin", manifest), before)
    yield Point(f"within the manifest of {epoch}", half(manifest), before)
    yield Point(f"before the manifest of {epoch} counts", kill("replace", manifest), before)
    yield Point(f"after checkpoint {epoch}", kill("fsync", 2 * manifest), epoch)


def points_at_the_end() -> Iterator[Point]:
    written = 2 * EPOCHS
    yield Point("while an old checkpoint is deleted", kill("remove", 1), EPOCHS)
    yield Point("within the model", half(written + 1), EPOCHS)
    yield Point("before the model is there", kill("replace", written + 1), EPOCHS)
    yield Point("between model and history", kill("begin", written + 2), EPOCHS)
    yield Point("within the history", half(written + 2), EPOCHS)
    yield Point("after the history", kill("begin", written + 3), EPOCHS)
    yield Point("before the checkpoints are deleted", kill("clear", 1), EPOCHS)


def kill(call: str, number: int) -> dict[str, Any]:
    return {"kind": "kill", "call": call, "number": number}


def half(number: int) -> dict[str, Any]:
    return {"kind": "half", "call": "write", "number": number}


POINTS = [
    *(point for epoch in range(1, EPOCHS + 1) for point in points_of_epoch(epoch)),
    *points_at_the_end(),
]

SAMPLE = 6


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(
    finished: Finished, workspace: Project, full: bool, record_fault: Record
) -> None:
    points = faults.choose("training", POINTS, len(POINTS) if full else SAMPLE)
    with Forks(workspace, STAGE) as forks:
        failures = [
            f"{point.name}: {problem}"
            for point in points
            if (problem := try_point(finished, workspace, forks, point))
        ]
    record_fault("killed trainings", len(points) - len(failures), len(points))
    assert not failures, "\n".join(failures)


def try_point(finished: Finished, project: Project, forks: Forks, point: Point) -> str:
    """Kill a training at a point, and start it again; give what was wrong."""
    names = finished.output_files(STAGE)
    for name in names:
        (project.folder / name).unlink(missing_ok=True)
    killed = forks.run(**point.fault)
    if killed.code != -9:
        return f"was not killed, but ended with {killed.code}\n{killed.output}"
    again = forks.run()
    if again.code != 0:
        return again.output
    resumed = re.findall(r"goes on after epoch (\d+)", again.output)
    if resumed != ([str(point.kept)] if point.kept else []):
        return f"expected to go on after epoch {point.kept}, got\n{again.output}"
    found = faults.results(project)
    if any(found[name] != finished.results[name] for name in names):
        return "other bytes"
    if faults.checkpoints(project, STAGE).exists():
        return "checkpoints are left"
    return ""

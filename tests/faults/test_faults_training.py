"""A training that is killed at each epoch, before, within and after its checkpoint, goes on."""

import re
from functools import partial
from typing import Any

from fault_report import TryEach

import faults
from faults import EPOCHS, Finished
from project import Project

STAGE = "train@tiny"

BATCHES = 5  # of 128, in 600 images

SAMPLE = 6


def kill(call: str, number: int) -> dict[str, Any]:
    return {"kind": "kill", "call": call, "number": number}


def half(number: int) -> dict[str, Any]:
    return {"kind": "half", "call": "write", "number": number}


Point = tuple[dict[str, Any], int]
"""A moment to kill the training at, as `fault_child` finds it, and how many epochs are kept."""


def points_of_epoch(epoch: int) -> dict[str, Point]:
    # Each epoch writes two files: the arrays, and then the manifest that makes them count.
    arrays, manifest, before = 2 * epoch - 1, 2 * epoch, epoch - 1
    return {
        f"in epoch {epoch}": (kill("batch", BATCHES * before + 3), before),
        f"before checkpoint {epoch}": (kill("begin", arrays), before),
        f"within the arrays of {epoch}": (half(arrays), before),
        f"before the arrays of {epoch} count": (kill("replace", arrays), before),
        f"between arrays and manifest {epoch}": (kill("begin", manifest), before),
        f"within the manifest of {epoch}": (half(manifest), before),
        f"before the manifest of {epoch} counts": (kill("replace", manifest), before),
        f"after checkpoint {epoch}": (kill("fsync", 2 * manifest), epoch),
    }


WRITTEN = 2 * EPOCHS
POINTS = {
    **{name: each for epoch in range(EPOCHS) for name, each in points_of_epoch(epoch + 1).items()},
    "while an old checkpoint is deleted": (kill("remove", 1), EPOCHS),
    "within the model": (half(WRITTEN + 1), EPOCHS),
    "before the model is there": (kill("replace", WRITTEN + 1), EPOCHS),
    "between model and history": (kill("begin", WRITTEN + 2), EPOCHS),
    "within the history": (half(WRITTEN + 2), EPOCHS),
    "after the history": (kill("begin", WRITTEN + 3), EPOCHS),
    "before the checkpoints are deleted": (kill("clear", 1), EPOCHS),
}


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(
    finished: Finished, workspace: Project, try_each: TryEach
) -> None:
    with faults.forks(workspace, STAGE) as run:
        attempt = partial(try_point, finished, workspace, run)
        try_each("killed trainings", POINTS, attempt, sample=SAMPLE)


def try_point(finished: Finished, project: Project, run: Any, point: Point) -> str:
    """Kill a training at a point, and start it again; give what was wrong."""
    fault, kept = point
    for name in finished.output_files(STAGE):
        faults.delete(project.folder / name)
    code, output = run(**fault)
    if code != -9:
        return f"was not killed, but ended with {code}\n{output}"
    code, output = run()
    if code != 0:
        return str(output)
    if re.findall(r"goes on after epoch (\d+)", output) != ([str(kept)] if kept else []):
        return f"expected to go on after epoch {kept}, got\n{output}"
    if differing := finished.differences(project):
        return f"other bytes: {differing}"
    return "checkpoints are left" if faults.checkpoints(project, STAGE).exists() else ""

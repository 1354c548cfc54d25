"""SIGKILL to all at any moment: the next `dvc repro` ends with an uninterrupted run's bytes."""

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest
from fault_report import TryEach, is_full

import faults
from faults import STAGES, Finished
from pipelines.dvc.lockfile import mend_locks
from project import Project

WHOLE = "the whole pipeline"
LOCK = "normalize, within dvc.lock"

TRIALS = dict.fromkeys(STAGES, 15) | {LOCK: 5, WHOLE: 5}
"""How often each is killed: a hundred times in all."""

SAMPLE = ("normalize",)

SEED = 20260101


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("target", list(TRIALS) if is_full(metafunc.config) else SAMPLE)


def test_a_killed_run_is_finished_by_the_next_one(
    finished: Finished, workspace: Project, try_each: TryEach, target: str
) -> None:
    moments, mended = random.Random(f"{SEED} {target}"), Counter[str]()

    def attempt(_number: int) -> None:
        kill(workspace, finished, target, moments)
        recover(workspace, mended)
        assert finished.differences(workspace) == []

    numbers = {str(number): number for number in range(TRIALS[target])}
    try_each("random kills", numbers, attempt, sample=1, note=f"seed {SEED}", others=mended)


def kill(project: Project, finished: Finished, target: str, moments: random.Random) -> None:
    """Start a run from where the target has never run, and kill it; again if it was too late."""
    stage = target.partition(",")[0]
    selection = [] if target == WHOLE else ["--single-item", stage]
    for _ in range(20):
        if target == WHOLE:
            faults.forget(project, *faults.locked(project))
            (project.folder / "dvc.lock").unlink()
            seconds = sum(finished.seconds.values())
        else:
            faults.forget(project, stage)
            seconds = finished.seconds["dvc"] + finished.seconds[stage]
        arrived = moment_of(project, target, seconds, moments)
        with faults.started(project, "dvc", "repro", *selection) as process:
            while process.poll() is None:
                if arrived():
                    faults.kill_group(process)
                    return
                time.sleep(0.001)
    pytest.fail(f"{target}: no run could be killed before its end")


def moment_of(
    project: Project, target: str, seconds: float, moments: random.Random
) -> Callable[[], bool]:
    """Give a function that tells whether it is time to kill."""
    if target == LOCK:  # DVC begins to write it
        lock = project.folder / "dvc.lock"
        before = lock.stat().st_mtime_ns
        return lambda: lock.stat().st_mtime_ns != before
    end = time.monotonic() + moments.uniform(0, seconds)
    return lambda: time.monotonic() >= end


def recover(project: Project, mended: Counter[str]) -> None:
    """Run the pipeline again; mend what is torn as the flows do, and count it."""
    code, _ = faults.run(project, "dvc", "repro")
    if code != 0:
        mend_locks(project.folder)
        mended["torn dvc.lock or rwlock, mended as the flows do it"] += 1
        project.run("dvc", "repro")

"""SIGKILL to all at any moment: the next `dvc repro` ends with an uninterrupted run's bytes."""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest
from fault_report import Record, is_full

import faults
from faults import EPOCHS, STAGES, Finished
from project import Project

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

WHOLE = "the whole pipeline"

CHECKPOINT = "train@tiny, within a checkpoint"

LOCK = "normalize, within dvc.lock"

TRIALS = dict.fromkeys(STAGES, 14) | {CHECKPOINT: 8, LOCK: 4, WHOLE: 4}
"""How often each is killed: a hundred times in all."""

SAMPLE = {"normalize": 1, "train@tiny": 1, "plot": 1, CHECKPOINT: 1}

SEED = 20260101


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    trials = TRIALS if is_full(metafunc.config) else SAMPLE
    metafunc.parametrize(("target", "trials"), trials.items(), ids=list(trials))


def test_a_killed_run_is_finished_by_the_next_one(
    finished: Finished, workspace: Project, record_fault: Record, target: str, trials: int
) -> None:
    moments = random.Random(f"{SEED} {target}")
    failures, mended = [], Counter[str]()
    for number in range(trials):
        _kill(workspace, finished, target, moments)
        output, torn = _recover(workspace)
        mended.update(torn)
        differing = _differences(finished, workspace)
        if differing:
            failures.append(f"{number + 1}: {differing}\n{output}")
    reached = trials - len(failures)
    record_fault("random kills", reached, trials, f"seed {SEED}", **mended)
    assert not failures, "\n".join(failures)


def _kill(project: Project, finished: Finished, target: str, moments: random.Random) -> None:
    """Start a run from where the target has never run, and kill it; again if it was too late."""
    stage = target.partition(",")[0]
    for _ in range(20):
        if target == WHOLE:
            faults.forget_all(project)
            wait = _wait_for(moments.uniform(0, sum(finished.seconds.values())))
        else:
            faults.forget(project, stage)
            seconds = finished.seconds["dvc"] + finished.seconds[stage]
            wait = _wait_for(moments.uniform(0, seconds))
        if target == LOCK:
            wait = _wait_for_lock(project)
        if target == CHECKPOINT:
            wait = _wait_for_checkpoint(project, stage, moments.randint(1, EPOCHS))
        selection = [] if target == WHOLE else ["--single-item", stage]
        with faults.started(project, "dvc", "repro", *selection) as process:
            wait(lambda process=process: process.poll() is None)  # type: ignore[misc]
            if process.poll() is None:
                faults.kill_group(process)
                return
    pytest.fail(f"{target}: no run could be killed before its end")


Wait = Callable[[Callable[[], bool]], None]


def _wait_for(seconds: float) -> Wait:
    def wait(runs: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while runs() and time.monotonic() < end:
            time.sleep(0.005)

    return wait


def _wait_for_checkpoint(project: Project, stage: str, epoch: int) -> Wait:
    """Wait for the temporary file of a checkpoint, which is there for some milliseconds."""
    folder = faults.checkpoints(project, stage)

    def wait(runs: Callable[[], bool]) -> None:
        while runs():
            with contextlib.suppress(FileNotFoundError):  # the training deletes them at its end
                if any(folder.glob(f"*/.epoch-{epoch:04}.*")):
                    return

    return wait


def _wait_for_lock(project: Project) -> Wait:
    """Wait until DVC begins to write dvc.lock."""
    path = project.folder / "dvc.lock"
    before = path.stat().st_mtime_ns

    def wait(runs: Callable[[], bool]) -> None:
        while runs() and path.stat().st_mtime_ns == before:
            pass

    return wait


def _recover(project: Project) -> tuple[str, list[str]]:
    """Run the pipeline again; give its output if it fails, and which files of DVC were torn.

    DVC writes these in place, and does not run where one is torn: the one of its busy files is
    deleted then, and dvc.lock is taken from the last commit.
    """
    torn = []
    output, code = _repro(project)
    if code != 0 and "rwlock" in output.lower():
        (project.folder / ".dvc" / "tmp" / "rwlock").unlink()
        torn.append("torn rwlock, deleted")
        output, code = _repro(project)
    if code != 0 and "dvc.lock" in output:
        project.run("git", "checkout", "--quiet", "HEAD", "--", "dvc.lock")
        torn.append("torn dvc.lock, taken from the last commit")
        output, code = _repro(project)
    return (output if code else ""), torn


def _repro(project: Project) -> tuple[str, int]:
    with faults.started(project, "dvc", "repro") as process:
        output, _ = process.communicate(timeout=600)
        return output, process.returncode


def _differences(finished: Finished, project: Project) -> list[str]:
    found = faults.results(project)
    names = {*found, *finished.results}
    return sorted(name for name in names if found.get(name) != finished.results.get(name))

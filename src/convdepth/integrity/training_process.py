"""Trainings in child processes: the command that DVC would run, with outputs in another folder."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convdepth.core.errors import ConvdepthError
from convdepth.workspace.process import STAGE_VARIABLE
from convdepth.workspace.process_tree import Processes

PROGRAM = "from convdepth.cli import run; run()"  # the command line, independent of the search path
MODEL, HISTORY = "model.keras", "history.csv"


@dataclass(frozen=True)
class Training:
    """A training of a network, by the code of ``project``, that writes all outputs to a folder.

    The label stands before each line that it prints; ``command`` is ``convdepth train ...``.
    """

    network: str
    label: str
    command: Sequence[str]
    project: Path
    params: Path
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    program: str = PROGRAM


def run_trainings(trainings: Sequence[Training], threads: int) -> Iterator[Training]:
    """Run trainings of some threads, as many at once as the cores allow; yield each at its end.

    All of them end with this process, or if one fails, which is an error with its exit code.
    """
    # Processes end before the pool waits for them.
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(max(1, cores // threads)) as pool, Processes() as processes:
        futures = {pool.submit(_run, each, processes): each for each in trainings}
        for future in as_completed(futures):
            future.result()
            yield futures[future]


def compare_arrays(
    one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]
) -> Iterator[str]:
    """Yield the name of each array whose bytes differ, with the largest difference of numbers."""
    for name in {**one, **other}:
        first, second = one.get(name, np.array(None)), other.get(name, np.array(None))
        if first.dtype != second.dtype or first.shape != second.shape:
            yield f"{name} (another type or shape)"
        elif first.tobytes() != second.tobytes():
            gap = np.abs(first.astype(np.float64) - second.astype(np.float64)).max()
            yield f"{name} (by up to {gap:.3g})"


def _run(training: Training, processes: Processes) -> None:
    # Of an option that is given twice, the last counts.
    outputs = {"--model": MODEL, "--history": HISTORY, "--checkpoints": "checkpoints"}
    options = {option: training.folder / name for option, name in outputs.items()}
    options["--params"] = training.params
    words = [str(word) for item in options.items() for word in item]
    command = [sys.executable, "-c", training.program, *training.command[1:], *words]
    # As a stage of DVC it runs the code of that folder, and ends when its parent does.
    stage = {STAGE_VARIABLE: f"train@{training.network} ({training.label})"}
    environment = {**os.environ, **training.variables, **stage}

    def show(line: str) -> None:
        print(f"{training.label:<6} | {line}", flush=True)

    if code := processes.run(command, training.project, environment, show):
        raise _error(training, code)


def _error(training: Training, code: int) -> ConvdepthError:
    """Return the error with the exit code of a training, which is negative for a signal."""
    kinds = {kind.exit_code: kind for kind in ConvdepthError.__subclasses__()}
    ending = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    if code == -signal.SIGKILL:
        ending += ", often out of memory"
    what = f"{training.network}: the training {training.label}"
    return kinds.get(code, ConvdepthError)(f"{what} ended with {ending}; its lines are above")

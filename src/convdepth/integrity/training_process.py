"""Trainings in child processes: the command that DVC would run, with outputs in another folder."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convdepth.core.errors import ConvdepthError
from convdepth.workspace.process import STAGE_VARIABLE

PROGRAM = "from convdepth.cli import run; run()"  # The command line, independent of the search path
MODEL, HISTORY = "model.keras", "history.csv"
GRACE_SECONDS = 5.0  # How long a child may clean up before it is killed
POLL_SECONDS = 0.02


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
    stop = threading.Event()
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) // threads)) as pool:
        futures = {pool.submit(_run, each, stop): each for each in trainings}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


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


def _run(training: Training, stop: threading.Event) -> None:
    # Of an option that is given twice, the last counts.
    outputs = {"--model": MODEL, "--history": HISTORY, "--checkpoints": "checkpoints"}
    options = {option: training.folder / name for option, name in outputs.items()}
    options["--params"] = training.params
    words = [str(word) for item in options.items() for word in item]
    stage = f"train@{training.network} ({training.label})"
    with subprocess.Popen(
        [sys.executable, "-c", training.program, *training.command[1:], *words],
        cwd=training.project,
        # As a stage of DVC it runs the code of that folder, and ends when its parent does.
        env={**os.environ, **training.variables, STAGE_VARIABLE: stage},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        printer = threading.Thread(target=_print_lines, args=(training.label, process), daemon=True)
        printer.start()
        while process.poll() is None and not stop.wait(POLL_SECONDS):
            pass
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        process.kill()
        printer.join()
    if process.returncode:
        raise _error(training, process.returncode)


def _print_lines(label: str, process: subprocess.Popen[str]) -> None:
    for line in process.stdout or []:
        print(f"{label:<6} | {line.rstrip()}", flush=True)


def _error(training: Training, code: int) -> ConvdepthError:
    """Return the error with the exit code of a training, which is negative for a signal."""
    kinds = {kind.exit_code: kind for kind in ConvdepthError.__subclasses__()}
    ending = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    if code == -signal.SIGKILL:
        ending += ", often out of memory"
    what = f"{training.network}: the training {training.label}"
    return kinds.get(code, ConvdepthError)(f"{what} ended with {ending}; its lines are above")

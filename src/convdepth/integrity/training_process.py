"""Trainings in child processes: the command that DVC would run, with outputs in another folder."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from convdepth.core.errors import ConvdepthError
from convdepth.workspace.process import STAGE_VARIABLE

PROGRAM = "from convdepth.cli import run; run()"
"""The command line, independent of the search path."""

GRACE_SECONDS = 5.0
"""How long a child may clean up before it is killed."""

POLL_SECONDS = 0.02
"""How often to look at a child; a tiny network replaces a checkpoint after two short epochs."""


@dataclass(frozen=True, eq=False)
class Training:
    """A training of a network, which writes all its outputs to a folder.

    Attributes:
        label: Stands before each line that the child prints.
        command: ``convdepth train ...``.
        project: Working folder, with the code in ``src``.
        variables: Additional environment variables.
    """

    network: str
    label: str
    command: Sequence[str]
    project: Path
    params: Path
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> Path:
        """The trained network."""
        return self.folder / "model.keras"

    @property
    def history(self) -> Path:
        """Loss and accuracy per epoch."""
        return self.folder / "history.csv"


def write_params(params: Path, epochs: int, path: Path) -> Path:
    """Copy a parameter file with another ``train.epochs``, and return the path of the copy."""
    yaml = YAML()
    entries = yaml.load(params)
    entries["train"]["epochs"] = epochs
    path.parent.mkdir(parents=True, exist_ok=True)
    yaml.dump(entries, path)
    return path


def run_trainings(
    trainings: Sequence[Training], threads: int, until: Callable[[Training], bool] | None = None
) -> Iterator[Training]:
    """Run trainings, as many at once as the cores allow.

    Args:
        trainings: All of them end with this process, or if one fails.
        threads: Of each training.
        until: Asked 50 times per second; a training is stopped when it returns True.

    Yields:
        Each training when it has ended.

    Raises:
        ConvdepthError: A training failed, with its exit code, or ended before ``until`` was True.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) // threads)) as pool:
        futures = {pool.submit(_run, each, until, stop): each for each in trainings}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _run(
    training: Training, until: Callable[[Training], bool] | None, stop: threading.Event
) -> None:
    with _start(training) as process:
        while not stop.wait(POLL_SECONDS):
            code = process.poll()
            if until(training) if until else code == 0:
                return
            if code is not None:
                raise _error(training, code)


@contextlib.contextmanager
def _start(training: Training) -> Iterator[subprocess.Popen[str]]:
    """Start a child; it is stopped when the block ends."""
    # Of an option that is given twice, the last counts.
    outputs = ["--model", str(training.model), "--history", str(training.history)]
    others = ["--checkpoints", f"{training.folder}/checkpoints", "--params", str(training.params)]
    stage = f"train@{training.network} ({training.label})"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *training.command[1:], *outputs, *others],
        cwd=training.project,
        # As a stage of DVC it runs the code of that folder, and ends when its parent does.
        env={**os.environ, **training.variables, STAGE_VARIABLE: stage},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    printer = threading.Thread(target=_print_lines, args=(training.label, process), daemon=True)
    printer.start()
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        process.kill()
        with process:  # waits, and closes the pipe
            printer.join()


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

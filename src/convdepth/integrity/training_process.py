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
    """One training of a network.

    Attributes:
        network: Name of the architecture.
        label: Stands before each line that the child prints.
        command: ``convdepth train ...``.
        project: Working folder, with the code in ``src``.
        params: Parameter file.
        folder: Where the child writes.
        variables: Environment variables beside those of this process.
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
        """The trained network, a ``.keras`` file."""
        return self.folder / "model.keras"

    @property
    def history(self) -> Path:
        """Loss and accuracy per epoch, a CSV file."""
        return self.folder / "history.csv"

    @property
    def redirected(self) -> list[str]:
        """The command with other outputs: of an option that is given twice, the last counts."""
        options = {
            "--model": self.model,
            "--history": self.history,
            "--checkpoints": self.folder / "checkpoints",
            "--params": self.params,
        }
        return [*self.command, *(str(word) for option in options.items() for word in option)]


def write_params(params: Path, epochs: int, path: Path) -> Path:
    """Copy a parameter file with another ``train.epochs``, and return the path of the copy."""
    yaml = YAML()
    entries = yaml.load(params)
    entries["train"]["epochs"] = epochs
    path.parent.mkdir(parents=True, exist_ok=True)
    yaml.dump(entries, path)
    return path


def run_trainings(
    trainings: Sequence[Training],
    threads: int,
    is_done: Callable[[Training], bool] = lambda _: False,
) -> Iterator[Training]:
    """Run trainings, as many at once as the cores allow.

    Args:
        trainings: Each in a process of its own. All end with this process, or if one fails.
        threads: Of each training.
        is_done: Called 50 times per second for each training; stops it early if True.

    Yields:
        Each training when it has ended.

    Raises:
        ConvdepthError: A training failed; the exit code is that of the training.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) // threads)) as pool:
        futures = {pool.submit(_run, each, is_done, stop): each for each in trainings}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _run(training: Training, is_done: Callable[[Training], bool], stop: threading.Event) -> None:
    with _start(training) as process:
        while not stop.wait(POLL_SECONDS):
            code = process.poll()
            if is_done(training) or code == 0:
                return
            if code is not None:
                raise training_error(f"{training.network}: the training {training.label}", code)


@contextlib.contextmanager
def _start(training: Training) -> Iterator[subprocess.Popen[str]]:
    """Start a child; it is stopped when the block ends."""
    stage = f"train@{training.network} ({training.label})"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *training.redirected[1:]],
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


def training_error(what: str, code: int) -> ConvdepthError:
    """Return the error that ends this process with the exit code of a training.

    Args:
        what: Subject of the message.
        code: Exit code; negative for a signal.
    """
    kinds = {kind.exit_code: kind for kind in ConvdepthError.__subclasses__()}
    ending = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    if code == -signal.SIGKILL:
        ending += ", often out of memory"
    return kinds.get(code, ConvdepthError)(f"{what} ended with {ending}; its lines are above")

"""Child processes: started, read line by line, and ended with everything they started."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from convdepth.core.errors import ConvdepthError
from convdepth.workspace.process import GRACE_SECONDS as STAGE_SECONDS

GRACE_SECONDS = STAGE_SECONDS + 1  # between SIGTERM and SIGKILL; longer than a stage waits itself
TIMED_OUT = 124  # the exit code of `timeout`


class StoppedError(ConvdepthError):
    """A process was stopped, or not started, because this one is being stopped."""

    exit_code = 143


class Processes:
    """The running children; at the end of the context none of them is left.

    They stay in the process group of this process: Ctrl-C on a terminal and the cancel of a
    Prefect worker signal the group.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes with everything they started, within seconds; start no more."""
        with self._lock:
            self.stopped = True
            running = list(self._running)
        _end(running)

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        log: Callable[[str], None],
        seconds: float | None = None,
    ) -> int:
        """Run a command and log its lines; return its exit code: -n is signal n, or `TIMED_OUT`."""
        with self._lock:
            if self.stopped:
                raise StoppedError("not started")
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
            self._running.add(process)
        late = threading.Event()

        def end_late() -> None:
            late.set()
            _end([process])

        limit = threading.Timer(seconds or 0, end_late)
        if seconds is not None:
            limit.start()
        with process:
            try:
                for line in process.stdout or ():
                    log(line.rstrip())
            except BaseException:
                _end([process])
                raise
            finally:
                limit.cancel()
        self._running.discard(process)
        return TIMED_OUT if late.is_set() else process.returncode


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    members = [member for process in processes for member in _tree(process)]
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        members += [member for process in processes for member in _tree(process)]
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()


def _tree(process: subprocess.Popen[str]) -> list[psutil.Process]:
    if process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            return [root, *root.children(recursive=True)]
    return []

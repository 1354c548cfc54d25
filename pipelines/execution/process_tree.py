"""Child processes that are stopped together, each with everything that it has started."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from pipelines.execution import attached

GRACE_SECONDS = attached.GRACE_SECONDS + 1
"""How long a process may clean up before it is killed: longer than it gives its own children."""


class StoppedError(Exception):
    """A process was not started, because all are being stopped."""


class Processes:
    """The running children; a context manager that leaves none of them behind.

    They stay in the process group of this process: a signal to the group, such as Ctrl-C on a
    terminal or a Prefect worker's cancel, must reach them too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @contextlib.contextmanager
    def start(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a process; at the end of the block, wait for it.

        Args:
            command: The program and its arguments.
            folder: Where it runs.
            environment: All of its environment variables.

        Yields:
            The process: its output and errors together as text, line by line; no input.

        Raises:
            StoppedError: `stop` was called before.
        """
        with self._lock:
            if self.stopped:
                raise StoppedError
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
            self._running.add(process)
        try:
            with process:
                yield process
        finally:
            self._running.discard(process)

    def stop(self) -> None:
        """Stop all, within seconds, and start no more.

        They get SIGTERM, and stop what they have started. Whatever is left of them after the
        grace is killed.
        """
        with self._lock:
            self.stopped = True
            running = list(self._running)
        trees = [member for process in running for member in _tree(process)]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        try:
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            trees += [member for process in running for member in _tree(process)]
            for member in trees:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()


def _tree(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """List a process that has not ended, and all that it has started."""
    if process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            return [root, *root.children(recursive=True)]
    return []

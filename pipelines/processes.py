"""Child processes that are stopped together, each with everything that it has started."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

GRACE_SECONDS = 3.0
"""How long a process may clean up before it is killed."""

POLL_SECONDS = 0.05


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

        What the processes have started gets SIGTERM. They themselves then end, as what they wait
        for has; DVC would leave a torn lock file behind if it were the one to be hit. Whatever
        is left after the grace is killed.
        """
        with self._lock:
            self.stopped = True
            running = list(self._running)
        deadline = time.monotonic() + GRACE_SECONDS
        signalled: set[psutil.Process] = set()
        try:
            while any(process.poll() is None for process in running):
                if time.monotonic() > deadline:
                    break
                signalled |= _terminate_descendants(running, but=signalled)
                time.sleep(POLL_SECONDS)
        finally:
            trees = [member for process in running for member in _suspend(process)]
            _each({*signalled, *trees}, psutil.Process.kill)


def _terminate_descendants(
    processes: Iterable[subprocess.Popen[str]], but: Set[psutil.Process]
) -> set[psutil.Process]:
    found: set[psutil.Process] = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.update(psutil.Process(process.pid).children(recursive=True))
    _each(found - but, psutil.Process.terminate)
    return found


def _suspend(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Suspend a process, and so that it starts no other unseen, then list all its descendants."""
    if process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            root.suspend()
            return [root, *root.children(recursive=True)]
    return []


def _each(members: Iterable[psutil.Process], action: Callable[[psutil.Process], None]) -> None:
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            action(member)

"""Locks of the operating system that name their holder, and end with its process.

No stage imports this module: a lock decides when a stage may write, never what. The kernel keeps
the lock and takes it off when the process ends, however that happens. So no process id has to be
looked up, which in another container would be that of somebody else.
"""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from convdepth.core.errors import BusyError, MachineError

WAIT_SECONDS = 10.0
"""How long to wait for an output: a stage whose DVC was killed ends well within that."""

POLL_SECONDS = 0.1

_FOLDER = Path(".dvc") / "tmp" / "convdepth" / "locks"
"""Where the locks of a project are: what DVC keeps for one workspace, and git does not see."""

_SUFFIX = ".lock"

_held: list[int] = []
"""The locks of outputs that this process holds until it ends."""


def hold_outputs(writer: str, outputs: Iterable[Path]) -> None:
    """Keep other processes from writing the same outputs, until this process ends.

    DVC has locks of its own, but they end with DVC, and a stage may live longer; also somebody
    may run a stage without DVC. Outside of a DVC project nothing is locked.

    Args:
        writer: Who writes, for those who have to wait, such as ``train@cnn1``.
        outputs: Files and folders; they need not exist.

    Raises:
        BusyError: Another process goes on writing one of them.
        MachineError: The locks cannot be written.
    """
    # Sorted, so that two who want the same outputs do not wait for each other.
    for output in sorted(map(_absolute, outputs)):
        if (project := find_project(output.parent)) is not None:
            path = project / _FOLDER / f"{_file_name(project, output)}{_SUFFIX}"
            _held.append(_wait_for(path, writer, output))


def held_outputs(project: Path) -> dict[str, str]:
    """List what is being written now.

    Args:
        project: The root of a DVC project.

    Returns:
        For each output, as a path within the project, who writes it.

    Raises:
        OSError: A lock cannot be read.
    """
    return {
        path.name.removesuffix(_SUFFIX).replace("%2F", "/").replace("%25", "%"): holder
        for path in sorted((project / _FOLDER).glob(f"*{_SUFFIX}"))
        if (holder := describe_holder(path)) is not None
    }


def find_project(folder: Path) -> Path | None:
    """Find the DVC project that a folder belongs to.

    Args:
        folder: It need not exist.

    Returns:
        The nearest folder at or above it that has a ``.dvc``; None if there is none.
    """
    folder = _absolute(folder)
    return next((each for each in (folder, *folder.parents) if (each / ".dvc").is_dir()), None)


def try_lock(path: Path, holder: str, mode: int = 0o666) -> int | None:
    """Take a lock, if it is free.

    Args:
        path: Its file, which is created if need be; its folder exists. The file stays for good:
            deleting it could give two processes a lock on the same name.
        holder: Who takes it, for those who have to wait.
        mode: Permissions of a new file.

    Returns:
        A descriptor: the lock holds until it is closed, or the process ends. None if another
        process has the lock.

    Raises:
        OSError: The file cannot be opened or locked.
    """
    descriptor = _open(path, mode)
    try:
        if not _flock(descriptor, fcntl.LOCK_EX):
            os.close(descriptor)
            return None
    except OSError:
        os.close(descriptor)
        raise
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    text = f"{holder} (process {os.getpid()} on {socket.gethostname()}, since {since})\n"
    with contextlib.suppress(OSError):  # the lock counts even where the disk is full
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
    return descriptor


def describe_holder(path: Path) -> str | None:
    """Say who holds a lock.

    Args:
        path: Its file, which need not exist.

    Returns:
        The holder, with its process, host and time; None if nobody holds it.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        # Shared, so that two who look do not take each other for a holder.
        if _flock(descriptor, fcntl.LOCK_SH):
            return None
        text = os.read(descriptor, 200).decode(errors="replace")
    finally:
        os.close(descriptor)
    printable = "".join(filter(str.isprintable, text))  # anybody may have written it
    return printable or "a process that has just begun"


def _wait_for(path: Path, writer: str, output: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if (descriptor := try_lock(path, writer)) is not None:
            return descriptor
        print(f"{writer}: waits for {output}: {describe_holder(path)} writes it", flush=True)
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            if (descriptor := try_lock(path, writer)) is not None:
                return descriptor
    except OSError as error:
        raise _unusable(path, error) from error
    raise BusyError(
        f"{output}: is being written by {describe_holder(path) or 'another process'}. Expected to "
        f"be the only writer. Wait until that process has ended, or stop it; then run again."
    )


def _absolute(path: Path) -> Path:
    # Not `resolve`: a link in the place of a folder belongs to the project all the same.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _file_name(project: Path, output: Path) -> str:
    relative = os.path.relpath(output, project)
    return relative.replace("%", "%25").replace("/", "%2F")


def _open(path: Path, mode: int) -> int:
    """Open a lock file; create it if need be.

    It may lie in a folder that everybody can write to. There Linux refuses to open another user's
    file in a way that could have created it, and a link may point anywhere.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW
    with contextlib.suppress(FileExistsError):
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
    return os.open(path, flags)


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unusable(path: Path, error: OSError) -> MachineError:
    return MachineError(
        f"{path}: this lock cannot be used: {error.strerror or error}. Make its folder one that "
        f"you can write to, or delete the folder while nothing runs."
    )

"""Files that appear whole or not at all, in bytes that depend on their content alone."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdepth.core.errors import MachineError

if TYPE_CHECKING:  # pandas takes long to import, and most callers write no table
    import pandas as pd


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; when the block ends well, it becomes ``path``.

    The temporary file lies in the same folder, so that the rename is atomic, and is removed when
    the block raises: a former file under ``path`` then stays as it was. A symbolic link is
    replaced, and what it points at is left alone: DVC may have linked it into its cache.

    Args:
        path: Where the whole file shall appear. Missing parent folders are created.

    Yields:
        The path to write to, ``.<stem>.<random>.tmp<suffix>``. It exists, and is empty.

    Raises:
        MachineError: The file cannot be written, for example because the disk is full. Each
            OSError of the block counts as this, so the block should only write.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
        temporary.touch(exist_ok=False)
        try:
            yield temporary
            _publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except MachineError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise MachineError(
            f"{path}: cannot be written: {reason}. Free space or fix the permissions of "
            f"{path.parent}, then run again; nothing was changed."
        ) from error


@contextlib.contextmanager
def explained_temporary_folder() -> Iterator[None]:
    """Say what to do when the system gives the block no temporary folder.

    Raises:
        MachineError: The block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"a temporary folder cannot be made: {error.strerror or error}. Free space in "
            f"{os.environ.get('TMPDIR', '/tmp')}, or set TMPDIR to another folder."  # noqa: S108
        ) from error


def _publish(temporary: Path, path: Path) -> None:
    # Without the first fsync a crash can leave an empty file under the new name, without the
    # second the rename itself can be lost.
    _fsync(temporary)
    temporary.replace(path)
    _fsync(path.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all.

    Raises:
        MachineError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` as UTF-8, line ends as they are, whole or not at all.

    Raises:
        MachineError: The file cannot be written.
    """
    write_bytes(path, content.encode())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as JSON: sorted keys, two blanks of indent, a newline at the end.

    Raises:
        MachineError: The file cannot be written.
        ValueError: A number is not finite; JSON has no such numbers.
    """
    write_text(path, json.dumps(content, sort_keys=True, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write ``table`` as CSV: a header line, no index, floats with six digits after the point.

    Raises:
        MachineError: The file cannot be written.
    """
    write_text(path, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))

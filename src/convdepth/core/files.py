"""Atomic writes, and canonical JSON and CSV. A file that cannot be written is a MachineError."""

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
    """Yield a temporary path; rename it to ``path`` if the block succeeds.

    The temporary file is empty, in the same folder, and named ``.<stem>.<random>.tmp<suffix>``. If
    the block raises, it is removed and the former file stays. A symbolic link at ``path`` is
    replaced and its target kept: DVC may have linked it into its cache.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
        temporary.touch(exist_ok=False)
        try:
            yield temporary
            # Without the first fsync a crash can leave an empty file under the new name; without
            # the second, the rename can be lost.
            _fsync(temporary)
            temporary.replace(path)
            _fsync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except MachineError:
        raise
    except OSError as error:
        raise MachineError(
            f"{path}: cannot be written: {error.strerror or error}. Free space or fix the "
            f"permissions of {path.parent}, then run again; nothing was changed."
        ) from error


@contextlib.contextmanager
def explained_temporary_folder() -> Iterator[None]:
    """Turn an OSError of the block into a MachineError about the temporary folder."""
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"a temporary folder cannot be made: {error.strerror or error}. Free space in "
            f"{os.environ.get('TMPDIR', '/tmp')}, or set TMPDIR to another folder."  # noqa: S108
        ) from error


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 atomically, with unchanged line ends."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON atomically: sorted keys, indent 2, a final newline; ValueError for NaN."""
    write_text(path, json.dumps(content, sort_keys=True, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write CSV atomically: header, no index, six decimals."""
    write_text(path, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))

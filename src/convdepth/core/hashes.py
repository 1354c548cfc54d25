"""MD5 as DVC computes it: of a file's bytes, or of a folder's file list."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

FOLDER_SUFFIX = ".dir"
"""Suffix of a folder's digest."""

# Not for security: DVC names contents by it.
_md5 = partial(hashlib.md5, usedforsecurity=False)


@dataclass(frozen=True)
class Content:
    """MD5 and size in bytes of a file, or the problem with it; all empty if it is missing."""

    md5: str = ""
    size: int = 0
    problem: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether there is nothing at the path."""
        return not self.md5 and not self.problem


def hash_files(paths: Iterable[Path]) -> dict[Path, Content]:
    """Hash files in parallel; they need not exist."""
    unique = list(dict.fromkeys(paths))
    # hashlib releases the GIL.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return dict(zip(unique, pool.map(_hash_file, unique), strict=True))


def md5_of(content: bytes) -> str:
    """Return DVC's digest of a file with this content."""
    return _md5(content).hexdigest()


def folder_md5(files: Mapping[str, str]) -> str:
    """Return DVC's digest of a folder, ending in ``.dir``, from MD5 by relative path."""
    # As `Tree.as_bytes` in dvc_data/hashfile/tree.py; a test compares both.
    listed = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return md5_of(json.dumps(listed, sort_keys=True).encode()) + FOLDER_SUFFIX


def _hash_file(path: Path) -> Content:
    try:
        if not path.is_file():  # opening a pipe would block
            return Content(problem="is no file") if os.path.lexists(path) else Content()
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, _md5).hexdigest()
            return Content(md5, file.tell())
    except OSError as error:
        return Content(problem=f"cannot be read: {error.strerror or error}")

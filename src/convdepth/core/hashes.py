"""MD5 as DVC computes it: of plain bytes, and for a folder of the list of its files."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

FOLDER_SUFFIX = ".dir"
"""Stands behind the digest of a folder."""

_THREADS = min(4, os.cpu_count() or 1)

# Not for security: it is the name that DVC gives to a content.
_md5 = partial(hashlib.md5, usedforsecurity=False)


@dataclass(frozen=True)
class Content:
    """What lies at a path.

    Attributes:
        md5: Of its bytes; empty if there is no file that can be read.
        size: In bytes.
        problem: Why it cannot be read; empty if it can, or if nothing is there.
    """

    md5: str = ""
    size: int = 0
    problem: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether nothing is there."""
        return not self.md5 and not self.problem


def hash_files(paths: Iterable[Path]) -> dict[Path, Content]:
    """Hash some files, several at once; neither times nor permissions are relied on.

    Args:
        paths: They need not exist.

    Returns:
        What is at each of them.
    """
    unique = list(dict.fromkeys(paths))
    # While it hashes, hashlib lets other threads run.
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(unique, pool.map(_hash_file, unique), strict=True))


def md5_of(content: bytes) -> str:
    """Compute the digest that DVC gives to a file.

    Args:
        content: Its bytes.
    """
    return _md5(content).hexdigest()


def folder_md5(files: Mapping[str, str]) -> str:
    """Compute the digest that DVC gives to a folder.

    Args:
        files: The MD5 of each file in it, by its path within the folder, with slashes.

    Returns:
        The MD5 of the list of them, with ``.dir`` behind it.
    """
    return md5_of(_folder_list(files)) + FOLDER_SUFFIX


def _folder_list(files: Mapping[str, str]) -> bytes:
    # As `Tree.as_bytes` in dvc_data/hashfile/tree.py; a test compares it with DVC's own.
    listed = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return json.dumps(listed, sort_keys=True).encode()


def _hash_file(path: Path) -> Content:
    try:
        if not path.is_file():  # to open a pipe would wait for somebody who writes into it
            return Content(problem="is no file") if os.path.lexists(path) else Content()
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, _md5).hexdigest()
            return Content(md5, file.tell())
    except OSError as error:
        return Content(problem=f"cannot be read: {error.strerror or error}")

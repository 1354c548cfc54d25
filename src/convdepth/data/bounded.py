"""Bounded readers for files from outside: bytes, and arrays in NumPy's format.

Whatever a file holds, memory is bounded by `LARGEST`, nothing is unpickled, and each failure is a
`DataError`.
"""

import math
from pathlib import Path
from typing import IO

import numpy as np

from convdepth.core.errors import DataError

LARGEST = 64 * 2**20  # most bytes of a file, packed or not; train-images-idx3-ubyte: 47,040,016
MAGIC = np.lib.format.MAGIC_PREFIX


def read_file(path: Path) -> bytes:
    """Return the bytes of a file; a pipe, which could block, is refused."""
    if not path.is_file():
        raise DataError(f"{path.name}: expected a file, got none")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise DataError(f"{path.name}: expected at most {LARGEST:,} bytes, got more")
    return content


def read_array(stream: IO[bytes]) -> np.ndarray:
    """Read an array in NumPy's format; its size is checked before memory is taken for it."""
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, is_fortran, dtype = read_header(stream)
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or dtype.hasobject or size > LARGEST:
            raise ValueError(f"{dtype} of shape {shape}, expected at most {LARGEST:,} bytes")
        content = stream.read(size)
        return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")
    except Exception as error:  # NumPy raises errors of many types for a damaged header
        raise DataError(f"not an array in NumPy's format: {error}") from error

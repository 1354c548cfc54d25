"""MNIST's own file format: four uncompressed IDX files, as LeCun, Cortes and Burges published it.

An IDX file is a big-endian header (two zero bytes, the type code, the number of dimensions, the
length of each as a 32-bit integer) and then the values. MNIST has only unsigned bytes, code 8.
"""

import math
import struct
from pathlib import Path

import numpy as np

from convdepth.core.errors import DataError
from convdepth.core.files import write_bytes
from convdepth.data.arrays import Labels, Pixels

FILE_NAMES = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}

_UNSIGNED_BYTE = 8


def encode(array: Pixels | Labels) -> bytes:
    """Give the bytes of an IDX file.

    Args:
        array: Any shape, uint8; pixels ``(n, 28, 28)`` from 0 to 255, or labels ``(n,)``, 0 to 9.

    Returns:
        Header and values.

    Raises:
        DataError: The array is not of unsigned bytes.
    """
    if array.dtype != np.uint8:
        raise DataError(f"expected an array of uint8, got {array.dtype}")
    header = struct.pack(">HBB", 0, _UNSIGNED_BYTE, array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def decode(content: bytes, origin: str) -> np.ndarray:
    """Read the bytes of an IDX file.

    Args:
        content: Header and values.
        origin: Where the bytes are from, for the error message.

    Returns:
        The array, uint8, read-only, in the shape that the header says.

    Raises:
        DataError: The header is not that of an IDX file of unsigned bytes, says a shape that no
            array has, or the number of values is another than it says.
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTE]):
        raise DataError(
            f"{origin}: expected an IDX file of unsigned bytes, got the header {content[:4]!r}"
        )
    num_dimensions = content[3]
    start = 4 + 4 * num_dimensions
    if len(content) < start:
        raise DataError(f"{origin}: cut short within its header, at {len(content)} bytes")
    shape = struct.unpack(f">{num_dimensions}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{origin}: expected {math.prod(shape)} values for the shape {shape}, "
            f"got {len(content) - start}"
        )
    try:
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    except ValueError as error:
        raise DataError(f"{origin}: no array has the shape {shape}: {error}") from error


def write_split(folder: Path, split: str, pixels: Pixels, labels: Labels) -> None:
    """Write one split of MNIST under its two canonical file names.

    Args:
        folder: Where to write.
        split: ``train`` or ``test``.
        pixels: ``(n, 28, 28)``, uint8, 0 (background) to 255 (ink).
        labels: ``(n,)``, uint8, 0 to 9.

    Raises:
        MachineError: A file cannot be written.
    """
    write_bytes(folder / FILE_NAMES[split, "images"], encode(pixels))
    write_bytes(folder / FILE_NAMES[split, "labels"], encode(labels))


def read_split(folder: Path, split: str) -> tuple[Pixels, Labels]:
    """Read one split of MNIST.

    Args:
        folder: Where the four files lie.
        split: ``train`` or ``test``.

    Returns:
        Pixels and labels, in whatever shapes the files have: the data rules judge them.

    Raises:
        DataError: A file is missing, or is no IDX file.
    """
    pixels, labels = (_read(folder / FILE_NAMES[split, kind]) for kind in ("images", "labels"))
    return pixels, labels


def _read(path: Path) -> np.ndarray:
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}. Run `dvc repro download`."
        ) from error

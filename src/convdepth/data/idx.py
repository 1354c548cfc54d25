"""IDX, the file format of MNIST.

An IDX file is a big-endian header (two zero bytes, the type code, the number of dimensions, each
dimension as a 32-bit integer), then the values. MNIST has only unsigned bytes, type code 8.
"""

import struct
from pathlib import Path

import numpy as np

from convdepth.config.dataset import IMAGE_SHAPE
from convdepth.core.errors import DataError
from convdepth.data.arrays import Labels, Pixels

FILE_NAMES = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}

_UNSIGNED_BYTE = 8


def encode(array: Pixels | Labels) -> bytes:
    """Return the bytes of an IDX file with a uint8 array of any shape."""
    header = struct.pack(f">HBB{array.ndim}I", 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    return header + array.tobytes()


def read(path: Path) -> np.ndarray:
    """Return the uint8 array in an IDX file, read-only; a DataError names a bad file."""
    try:
        content = path.read_bytes()
        zero, type_code, num_dimensions = struct.unpack_from(">HBB", content)
        if (zero, type_code) != (0, _UNSIGNED_BYTE):
            raise ValueError(f"the header {content[:4]!r}")
        shape = struct.unpack_from(f">{num_dimensions}I", content, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * num_dimensions).reshape(shape)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}. Run `dvc repro download`."
        ) from error
    except (struct.error, ValueError) as error:
        raise DataError(
            f"{path}: expected an IDX file of unsigned bytes, got: {error}. "
            "Run `dvc repro --force download`."
        ) from error


def read_split(folder: Path, split: str) -> tuple[Pixels, Labels]:
    """Read the pixels ``(n, 28, 28)`` and labels ``(n,)`` of one split."""
    pixels, labels = (read(folder / FILE_NAMES[split, kind]) for kind in ("images", "labels"))
    if pixels.shape[1:] != IMAGE_SHAPE[:2] or labels.shape != pixels.shape[:1]:
        raise DataError(
            f"{folder}: {split}: expected images of shape (n, 28, 28) and one label for each, got "
            f"images of shape {pixels.shape} and labels of shape {labels.shape}. "
            "Run `dvc repro --force download`."
        )
    return pixels, labels

"""The images and labels as arrays: normalization, writing, reading."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convdepth.config.dataset import IMAGE_SHAPE, SPLITS
from convdepth.core.errors import DataError
from convdepth.core.files import atomic_path

Pixels = NDArray[np.uint8]
Images = NDArray[np.float32]
Labels = NDArray[np.uint8]


def normalize(pixels: Pixels) -> Images:
    """Scale uint8 pixels ``(n, 28, 28)`` to float32 images ``(n, 28, 28, 1)`` from 0.0 to 1.0."""
    if pixels.shape[1:] != IMAGE_SHAPE[:2] or pixels.dtype != np.uint8:
        raise DataError(
            f"expected uint8 pixels of shape (n, 28, 28), got {pixels.dtype} of shape "
            f"{pixels.shape}"
        )
    return pixels.reshape(-1, *IMAGE_SHAPE).astype(np.float32) / np.float32(255)


def write_split(folder: Path, split: str, images: Images, labels: Labels) -> None:
    """Write images ``(n, 28, 28, 1)`` and labels ``(n,)`` of a split as two ``.npy`` files."""
    for path, array in zip(_split_paths(folder, split), (images, labels), strict=True):
        with atomic_path(path) as temporary:
            _write_array(temporary, np.ascontiguousarray(array))


def read_split(folder: Path, split: str) -> tuple[Images, Labels]:
    """Map images ``(n, 28, 28, 1)``, float32, and labels ``(n,)``, uint8, of a split, read-only.

    Parallel trainings share one copy in the page cache.
    """
    image_path, label_path = _split_paths(folder, split)
    images = _open_array(image_path, np.dtype(np.float32), IMAGE_SHAPE)
    labels = _open_array(label_path, np.dtype(np.uint8), ())
    if len(images) != len(labels):
        raise DataError(
            f"{folder}: {split}: expected one label for each image, "
            f"got {len(images)} images and {len(labels)} labels. Run `dvc repro normalize`."
        )
    return images, labels


def array_paths(folder: Path) -> list[Path]:
    """List the files that `write_split` writes for both splits."""
    return [path for split in SPLITS for path in _split_paths(folder, split)]


def _split_paths(folder: Path, split: str) -> list[Path]:
    return [folder / f"{split}_{kind}.npy" for kind in ("images", "labels")]


def _write_array(path: Path, array: np.ndarray) -> None:
    # np.save gives the same bytes, but drops the last block without an error if the disk is full.
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def _open_array(path: Path, dtype: np.dtype, item_shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy raises errors of many types for a damaged header
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: cannot be read: {reason}. Run `dvc repro normalize`.") from error
    if array.dtype != dtype or array.shape[1:] != item_shape or array.ndim == 0:
        expected = ", ".join(["n", *map(str, item_shape)])
        raise DataError(
            f"{path}: expected {dtype} of shape ({expected}), got {array.dtype} of shape "
            f"{array.shape}. Run `dvc repro normalize`."
        )
    return array

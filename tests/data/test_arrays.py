"""Normalization, writing and reading of the arrays."""

import re
from pathlib import Path

import numpy as np
import pytest

from convdepth.core.errors import DataError
from convdepth.data.arrays import SPLITS, normalize, read_split, write_split

PIXELS = np.random.default_rng(1).integers(256, size=(3, 28, 28), dtype=np.uint8)
LABELS = np.array([7, 2, 1], np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three images and labels of each split."""
    for split in SPLITS:
        write_split(tmp_path, split, normalize(PIXELS), LABELS)
    return tmp_path


def test_normalize_scales_to_one_and_adds_the_channel() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(28 * 28).reshape(256, 28, 28)
    # The notebook: astype("float32"), then /= 255.
    expected = pixels.astype(np.float32)[..., np.newaxis] / 255
    np.testing.assert_array_equal(normalize(pixels), expected, strict=True)


def test_files_are_as_numpy_writes_them(folder: Path) -> None:
    mirrored = normalize(PIXELS)[:, :, ::-1].transpose(0, 2, 1, 3)
    write_split(folder, "train", mirrored, LABELS)
    for name, array in (("train_images", np.ascontiguousarray(mirrored)), ("train_labels", LABELS)):
        np.save(folder / "expected.npy", array)
        assert (folder / f"{name}.npy").read_bytes() == (folder / "expected.npy").read_bytes()


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("images", np.zeros((3, 28, 28, 1), np.float64)),
        ("images", np.zeros((3, 28, 28, 1), ">f4")),
        ("images", np.zeros((3, 28, 28, 3), np.float32)),
        ("labels", np.full(3, 1.7)),
        ("labels", np.zeros((), np.uint8)),
        ("labels", np.array([{}])),  # a pickle, which is not loaded
    ],
)
def test_another_array_is_refused(folder: Path, kind: str, array: np.ndarray) -> None:
    path = folder / f"train_{kind}.npy"
    np.save(path, array)
    with pytest.raises(DataError, match=f"^{path}: ") as caught:
        read_split(folder, "train")
    found = f"expected .*got {array.dtype} of shape {re.escape(str(array.shape))}"
    assert bool(re.search(found, str(caught.value))) == (array.dtype != object)

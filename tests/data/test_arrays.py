"""Normalization, writing and reading of the arrays."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convdepth.core.errors import DataError
from convdepth.data.arrays import SPLITS, normalize, read_split, write_split

LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from convdepth.data.arrays import write_split

limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
images, labels = np.ones((2, 28, 28, 1), np.float32), np.ones(60_000, np.uint8)
write_split(Path(sys.argv[1]), "train", images, labels)
"""
PIXELS = np.random.default_rng(1).integers(256, size=(3, 28, 28), dtype=np.uint8)
LABELS = np.array([7, 2, 1], np.uint8)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


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


@pytest.mark.parametrize("pixels", [PIXELS.astype(np.float32), PIXELS[0], PIXELS[..., :27]])
def test_normalize_refuses_other_arrays(pixels: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"\(n, 28, 28\)") as caught:
        normalize(pixels)
    assert f"got {pixels.dtype} of shape {pixels.shape}" in str(caught.value)


def test_split_is_read_as_a_read_only_map(folder: Path) -> None:
    images, labels = read_split(folder, "train")
    assert isinstance(images, np.memmap)
    assert (images.flags.writeable, labels.flags.writeable) == (False, False)


def test_files_are_as_numpy_writes_them(folder: Path) -> None:
    mirrored = normalize(PIXELS)[:, :, ::-1].transpose(0, 2, 1, 3)
    write_split(folder, "train", mirrored, LABELS)
    for name, array in (("train_images", np.ascontiguousarray(mirrored)), ("train_labels", LABELS)):
        np.save(folder / "expected.npy", array)
        assert (folder / f"{name}.npy").read_bytes() == (folder / "expected.npy").read_bytes()


@pytest.mark.parametrize("limit", [100, 60_127])
def test_a_disk_full_at_any_byte_leaves_the_former_files(folder: Path, limit: int) -> None:
    # The labels take 60,128 bytes: with 60,127 the very last byte finds no room.
    former = {path: path.read_bytes() for path in folder.iterdir()}
    command = [sys.executable, "-c", LIMITED, str(folder), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "MachineError" in done.stderr
    labels = folder / "train_labels.npy"
    assert labels.read_bytes() == former[labels]
    assert set(folder.iterdir()) == set(former)


def test_missing_file_pickle_and_archive_are_refused_and_nothing_in_them_runs(folder: Path) -> None:
    trap, path = folder / "trap", folder / "train_images.npy"
    np.savez(folder / "archive.npz", images=normalize(PIXELS))
    np.save(path, np.array([Trap(trap)], object), allow_pickle=True)
    archive = (folder / "archive.npz").read_bytes()
    for content in (path.read_bytes(), pickle.dumps(Trap(trap)), archive):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"^{path}: cannot be read: "):
            read_split(folder, "train")
    path.unlink()
    with pytest.raises(DataError, match=f"^{path}: .*No such file.*dvc repro normalize"):
        read_split(folder, "train")
    assert not trap.exists()


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("images", np.zeros((3, 28, 28, 1), np.float64)),
        ("images", np.zeros((3, 28, 28, 1), ">f4")),
        ("images", np.zeros((3, 28, 28, 3), np.float32)),
        ("labels", np.full(3, 1.7)),
        ("labels", np.zeros((), np.uint8)),
    ],
)
def test_another_array_is_refused(folder: Path, kind: str, array: np.ndarray) -> None:
    path = folder / f"train_{kind}.npy"
    np.save(path, array)
    with pytest.raises(DataError, match=f"^{path}: expected ") as caught:
        read_split(folder, "train")
    assert f"got {array.dtype} of shape {array.shape}" in str(caught.value)


def test_each_image_needs_its_label(folder: Path) -> None:
    np.save(folder / "train_labels.npy", np.zeros(4, np.uint8))
    with pytest.raises(DataError, match=r"train: .* 3 images and 4 labels"):
        read_split(folder, "train")

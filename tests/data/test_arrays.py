"""Scaling, writing and reading of the arrays, and what is refused."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convdepth.core.errors import DataError
from convdepth.data import arrays as images

LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from convdepth.data import arrays as images
from convdepth.core.errors import ConvdepthError

limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    images.write_split(
        Path(sys.argv[1]), "train", np.ones((2, 28, 28, 1), np.float32), np.ones(60_000, np.uint8)
    )
except ConvdepthError as error:
    print(error)
    sys.exit(error.exit_code)
"""


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three images and labels of each split."""
    pixels = np.random.default_rng(1).integers(256, size=(3, 28, 28), dtype=np.uint8)
    for split in images.SPLITS:
        images.write_split(tmp_path, split, images.normalize(pixels), np.array([7, 2, 1], np.uint8))
    return tmp_path


def test_normalize_scales_to_one_and_adds_the_channel() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(28 * 28).reshape(256, 28, 28)

    scaled = images.normalize(pixels)

    assert scaled.dtype == np.float32
    assert scaled.shape == (256, 28, 28, 1)
    # What the notebook does: astype("float32"), then /= 255.
    np.testing.assert_array_equal(scaled[:, 0, 0, 0], np.arange(256, dtype=np.float32) / 255)
    assert scaled[0].max() == 0.0
    assert scaled[255].min() == 1.0


def test_normalize_keeps_each_pixel_in_its_place() -> None:
    pixels = np.zeros((2, 28, 28), np.uint8)
    pixels[1, 3, 17] = 51

    scaled = images.normalize(pixels)

    assert np.argwhere(scaled).tolist() == [[1, 3, 17, 0]]
    assert scaled[1, 3, 17, 0] == np.float32(0.2)
    assert pixels.sum() == 51  # the input is left as it was


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 28, 28), np.float32),
        np.zeros((2, 28, 28), np.int64),
        np.zeros((28, 28), np.uint8),
        np.zeros((2, 28, 28, 1), np.uint8),
        np.zeros((2, 32, 32), np.uint8),
        np.zeros((2, 784), np.uint8),
    ],
    ids=lambda pixels: f"{pixels.dtype}{pixels.shape}",
)
def test_normalize_refuses_what_is_not_raw_pixels(pixels: np.ndarray) -> None:
    with pytest.raises(DataError) as caught:
        images.normalize(pixels)

    assert str(caught.value) == (
        f"expected uint8 pixels of shape (n, 28, 28), got {pixels.dtype} of shape {pixels.shape}"
    )


def test_a_split_goes_to_disk_and_back(folder: Path) -> None:
    expected = np.random.default_rng(1).integers(256, size=(3, 28, 28), dtype=np.uint8)

    scaled, labels = images.read_split(folder, "train")

    np.testing.assert_array_equal(scaled, images.normalize(expected), strict=True)
    np.testing.assert_array_equal(labels, np.array([7, 2, 1], np.uint8), strict=True)


def test_the_images_stay_on_disk_and_nobody_can_change_them(folder: Path) -> None:
    scaled, labels = images.read_split(folder, "test")

    assert isinstance(scaled, np.memmap)
    assert scaled.mode == "r"
    for array in (scaled, labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_the_files_are_plain_npy(folder: Path) -> None:
    scaled, labels = images.read_split(folder, "train")

    for name, array in (("train_images", scaled), ("train_labels", labels)):
        np.save(folder / "expected.npy", array)
        written = (folder / f"{name}.npy").read_bytes()
        assert written == (folder / "expected.npy").read_bytes()


def test_a_view_is_written_in_the_order_of_its_indices(folder: Path) -> None:
    ramp = np.arange(2 * 28 * 28, dtype=np.float32).reshape(2, 28, 28, 1)
    mirrored = ramp[:, :, ::-1].transpose(0, 2, 1, 3)

    images.write_split(folder, "train", mirrored, np.array([3, 4], np.uint8))

    np.testing.assert_array_equal(images.read_split(folder, "train")[0], mirrored)


@pytest.mark.parametrize("limit", [100, 30_000, 60_127])
def test_a_disk_full_at_any_byte_leaves_the_former_files(folder: Path, limit: int) -> None:
    # The labels take 60,128 bytes: at 60,127 the very last byte is the one that finds no room.
    former = {path: path.read_bytes() for path in folder.iterdir()}
    command = [sys.executable, "-c", LIMITED, str(folder), str(limit)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 4, done.stderr
    assert "cannot be written: File too large" in done.stdout
    labels = folder / "train_labels.npy"
    assert labels.read_bytes() == former[labels]
    assert set(folder.iterdir()) == set(former)


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_a_missing_file_is_named_with_what_makes_it(folder: Path, kind: str) -> None:
    path = folder / f"train_{kind}.npy"
    path.unlink()

    with pytest.raises(DataError) as caught:
        images.read_split(folder, "train")

    assert str(caught.value) == (
        f"{path}: cannot be read: No such file or directory. Run `dvc repro normalize`."
    )


def test_a_file_cut_at_any_place_is_refused(folder: Path) -> None:
    path = folder / "train_images.npy"
    whole = path.read_bytes()

    for length in (*range(0, 160, 7), 128, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=f"^{path}: cannot be read: "):
            images.read_split(folder, "train")


@pytest.mark.filterwarnings("ignore:Reading `.npy`")
def test_a_damaged_header_is_refused_or_means_the_same(folder: Path) -> None:
    path = folder / "train_images.npy"
    whole = path.read_bytes()
    num_refused = 0

    for place in range(128):
        for byte in b"\x00\xff(',9":
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            try:
                scaled, _ = images.read_split(folder, "train")
            except DataError:
                num_refused += 1
            else:
                assert scaled.shape == (3, 28, 28, 1)

    assert num_refused > 500


def test_a_pickle_is_refused_and_nothing_in_it_runs(folder: Path) -> None:
    trap = folder / "trap"
    objects = np.array([Trap(trap)], object)
    np.save(folder / "train_images.npy", objects, allow_pickle=True)
    (folder / "test_images.npy").write_bytes(pickle.dumps(Trap(trap)))

    for split in images.SPLITS:
        with pytest.raises(DataError, match=f"{split}_images.npy: cannot be read: "):
            images.read_split(folder, split)

    assert not trap.exists()


def test_an_archive_under_the_name_of_an_array_is_refused(folder: Path) -> None:
    np.savez(folder / "archive.npz", images=np.zeros((3, 28, 28, 1), np.float32))
    (folder / "archive.npz").rename(folder / "train_images.npy")

    with pytest.raises(DataError, match="magic string is not correct"):
        images.read_split(folder, "train")


@pytest.mark.parametrize(
    ("kind", "array", "expected"),
    [
        ("images", np.zeros((3, 28, 28, 1), np.float64), "float32 of shape (n, 28, 28, 1)"),
        ("images", np.zeros((3, 28, 28, 1), ">f4"), "float32 of shape (n, 28, 28, 1)"),
        ("images", np.zeros((3, 28, 28), np.float32), "float32 of shape (n, 28, 28, 1)"),
        ("images", np.zeros((3, 28, 28, 3), np.float32), "float32 of shape (n, 28, 28, 1)"),
        ("images", np.zeros((), np.float32), "float32 of shape (n, 28, 28, 1)"),
        ("labels", np.zeros(3, np.int64), "uint8 of shape (n)"),
        ("labels", np.zeros((3, 10), np.uint8), "uint8 of shape (n)"),
        ("labels", np.zeros((), np.uint8), "uint8 of shape (n)"),
    ],
)
def test_an_array_of_another_kind_is_refused(
    folder: Path, kind: str, array: np.ndarray, expected: str
) -> None:
    path = folder / f"train_{kind}.npy"
    np.save(path, array)

    with pytest.raises(DataError) as caught:
        images.read_split(folder, "train")

    assert str(caught.value) == (
        f"{path}: expected {expected}, got {array.dtype} of shape {array.shape}. "
        f"Run `dvc repro normalize`."
    )


def test_each_image_needs_its_label(folder: Path) -> None:
    np.save(folder / "train_labels.npy", np.zeros(4, np.uint8))

    with pytest.raises(DataError, match=r"train: .*got 3 images and 4 labels"):
        images.read_split(folder, "train")

"""MNIST's own file format, byte by byte."""

import struct
from pathlib import Path

import drawn
import numpy as np
import pytest

from convdepth.core.errors import DataError
from convdepth.data import idx

LABELS = np.array([7, 2, 1], np.uint8)
PIXELS = np.arange(2 * 28 * 28).astype(np.uint8).reshape(2, 28, 28)


def test_the_header_is_big_endian() -> None:
    assert idx.encode(LABELS) == b"\x00\x00\x08\x01" + b"\x00\x00\x00\x03" + b"\x07\x02\x01"
    assert idx.encode(PIXELS)[:16] == bytes.fromhex("00000803 00000002 0000001c 0000001c")


@pytest.mark.parametrize("array", [LABELS, PIXELS, LABELS[:0], PIXELS[:0]])
def test_what_is_encoded_is_decoded(array: np.ndarray) -> None:
    decoded = idx.decode(idx.encode(array), "memory")

    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, array, strict=True)


def test_a_view_is_encoded_in_the_order_of_its_indices() -> None:
    for view in (PIXELS.transpose(0, 2, 1), np.asfortranarray(PIXELS), PIXELS[::-1, :, ::2]):
        np.testing.assert_array_equal(idx.decode(idx.encode(view), "memory"), view)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, bool])
def test_only_unsigned_bytes_are_encoded(dtype: type) -> None:
    with pytest.raises(DataError, match=f"uint8, got {np.dtype(dtype)}"):
        idx.encode(LABELS.astype(dtype))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"got the header b''"),
        (b"\x00\x00\x08", r"got the header b'\\x00\\x00\\x08'"),
        (b"\x1f\x8b\x08\x00rest of a gzip", "expected an IDX file of unsigned bytes"),
        (b"<html>not found</html>", r"got the header b'<htm'"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00", "of unsigned bytes"),  # floats
        (b"\x00\x00\x08\x03\x00\x00\x00\x02\x00", "cut short within its header, at 9 bytes"),
        (idx.encode(LABELS)[:-1], r"expected 3 values for the shape \(3,\), got 2"),
        (idx.encode(LABELS) + b"\x00", r"expected 3 values for the shape \(3,\), got 4"),
        (b"\x00\x00\x08\x01" + struct.pack("<I", 3) + b"\x07\x02\x01", "expected 50331648 values"),
        (b"\x00\x00\x08\x41" + struct.pack(">65I", *[1] * 65) + b"\x07", "no array has the shape"),
        (b"\x00\x00\x08\x04" + struct.pack(">4I", 0, *[2**32 - 1] * 3), "no array has the shape"),
    ],
)
def test_what_is_no_idx_file_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"^the mirror: .*{message}"):
        idx.decode(content, "the mirror")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_whole_split_goes_to_disk_and_back(raw: Path, split: str) -> None:
    pixels, labels = idx.read_split(raw, split)

    drawn_pixels, drawn_labels = drawn.draw_split(split)
    np.testing.assert_array_equal(pixels, drawn_pixels)
    np.testing.assert_array_equal(labels, drawn_labels)


def test_the_files_have_the_names_and_sizes_of_mnist(raw: Path) -> None:
    assert {path.name: path.stat().st_size for path in raw.iterdir()} == {
        "train-images-idx3-ubyte": 47_040_016,
        "train-labels-idx1-ubyte": 60_008,
        "t10k-images-idx3-ubyte": 7_840_016,
        "t10k-labels-idx1-ubyte": 10_008,
    }


def test_a_missing_file_is_named_with_what_makes_it(tmp_path: Path) -> None:
    idx.write_split(tmp_path, "test", PIXELS, LABELS[:2])
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    labels.unlink()

    with pytest.raises(DataError, match=f"^{labels}: .*No such file.*dvc repro download"):
        idx.read_split(tmp_path, "test")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    idx.write_split(tmp_path, "train", PIXELS, LABELS[:2])
    pixels = tmp_path / "train-images-idx3-ubyte"
    pixels.write_bytes(pixels.read_bytes()[:-1])

    with pytest.raises(DataError, match=f"^{pixels}: expected 1568 values"):
        idx.read_split(tmp_path, "train")

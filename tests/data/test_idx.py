"""IDX files, byte by byte."""

import re
import struct
from pathlib import Path

import drawn
import numpy as np
import pytest

from convdepth.core.errors import DataError
from convdepth.data import idx

LABELS = np.array([7, 2, 1], np.uint8)
PIXELS = np.arange(2 * 28 * 28).astype(np.uint8).reshape(2, 28, 28)


def test_header_is_big_endian() -> None:
    assert idx.encode(LABELS) == bytes.fromhex("00000801 00000003 070201")
    assert idx.encode(PIXELS)[:16] == bytes.fromhex("00000803 00000002 0000001c 0000001c")


@pytest.mark.parametrize(
    "content",
    [
        None,
        bytes.fromhex("00000d01 00000001 00000000"),  # floats
        b"\x00\x00\x08\x41" + struct.pack(">65I", *[1] * 65) + b"\x07",  # too many dimensions
        b"\x00\x00\x08\x04" + struct.pack(">4I", 0, *[2**32 - 1] * 3),  # too large
    ],
)
def test_missing_or_other_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / idx.FILE_NAMES["test", "images"]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path}: expected .*dvc repro"):
        idx.read_split(tmp_path, "test")


@pytest.mark.parametrize(
    ("pixels", "labels", "found"),
    [
        (PIXELS[:, :, 1:], LABELS[:2], "(2, 28, 27)"),
        (PIXELS, LABELS, "(3,)"),
        (PIXELS, LABELS[:2, np.newaxis], "(2, 1)"),
    ],
)
def test_split_of_another_shape_is_refused(
    tmp_path: Path, pixels: np.ndarray, labels: np.ndarray, found: str
) -> None:
    drawn.write_split(tmp_path, "train", pixels, labels)
    with pytest.raises(DataError, match=re.escape(found)):
        idx.read_split(tmp_path, "train")

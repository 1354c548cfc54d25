"""The user's own ``mnist.npz``, which no SHA-256 guards before it is decoded."""

import io
import struct
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
import servers
from archives import members_of, npy, zipped
from hypothesis import given
from properties import cases, damaged

from convdepth.config.dataset import SPLIT_SIZES
from convdepth.core.errors import DataError
from convdepth.data.bounded import LARGEST
from convdepth.data.mnist import NPZ, decode_npz

GOOD = servers.small_files()[NPZ]


@pytest.fixture(autouse=True)
def _small_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    for split, size in servers.SIZES.items():
        monkeypatch.setitem(SPLIT_SIZES, split, size)


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("a pickle was loaded",)


# A header that promises 100 TB.
HUGE = npy(np.zeros((60, 28, 28), np.uint8)).replace(
    b"(60, 28, 28), }" + b" " * 11, b"(60" + b"0" * 11 + b", 28, 28), }"
)


def rebuild(**changes: bytes | None) -> bytes:
    """Replace members of the good archive, add them, or leave them out (None)."""
    members = members_of(GOOD) | changes
    return zipped({name: member for name, member in members.items() if member is not None})


def test_npz_is_decoded_in_any_order_of_memory() -> None:
    with np.load(io.BytesIO(GOOD)) as archive:
        arrays = {name: np.asfortranarray(archive[name]) for name in archive.files}
    assert decode_npz(servers.make_npz(**arrays)) == servers.idx_files()


@pytest.mark.parametrize(
    ("member", "content", "found"),
    [
        ("x_train", npy(np.array([Trap()], dtype=object)), "object of shape"),
        ("y_train", npy(np.zeros(60, np.int64)), r"got int64 of shape \(60,\)"),
        ("x_test", npy(np.zeros((10, 28, 27), np.uint8)), r"got uint8 of shape \(10, 28, 27\)"),
        ("x_train", HUGE, "got: "),
    ],
)
def test_npz_with_another_array_names_the_member(member: str, content: bytes, found: str) -> None:
    with pytest.raises(DataError, match=rf"^mnist\.npz: {member}\.npy: expected uint8 .*{found}"):
        decode_npz(rebuild(**{f"{member}.npy": content}))


@pytest.mark.parametrize(
    ("member", "content"), [("y_test.npy", None), ("../x", b"x"), ("/etc/x", b"x"), ("C:\\x", b"x")]
)
def test_npz_with_other_members_names_them(member: str, content: bytes | None) -> None:
    with pytest.raises(DataError, match=r"^mnist\.npz: expected .* y_test\.npy, .* got ") as caught:
        decode_npz(rebuild(**{member: content}))
    found = str(caught.value).partition(" got ")[2]
    assert (member in found) == (content is not None)


@cases(150)
@given(damaged(GOOD))
def test_a_damaged_npz_is_refused_or_gives_the_same(content: bytes) -> None:
    with suppress(DataError):
        assert decode_npz(content) == servers.idx_files()


def test_npz_that_unpacks_to_too_much_is_refused_in_little_memory() -> None:
    bomb = rebuild(**{"x_train.npy": bytes(LARGEST + 1)})
    lying = bomb.replace(struct.pack("<I", LARGEST + 1), struct.pack("<I", 1000))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=rf"at most {LARGEST:,} bytes .*x_train\.npy"):
            decode_npz(bomb)
        with pytest.raises(DataError, match=r"x_train\.npy: expected uint8"):
            decode_npz(lying)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()

"""Files appear whole or not at all, whatever happens while they are written."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from convdepth.core import files
from convdepth.core.errors import MachineError


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A good file of an earlier run, alone in its folder before and after."""
    path = tmp_path / "metrics.json"
    path.write_text("former")
    yield path
    assert list(path.parent.iterdir()) == [path]


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "parents" / "a.npy"
    with files.atomic_path(path) as temporary:
        temporary.unlink()  # a writer may replace it
        temporary.write_text("whole")
        assert not path.exists()
        assert (temporary.parent, temporary.suffix) == (path.parent, ".npy")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError(), "^$"),
        (KeyboardInterrupt(), "^$"),
        (MachineError("no GPU"), "^no GPU$"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), r"metrics\.json: .*No space left"),
    ],
)
def test_a_block_that_raises_changes_nothing(
    path: Path, error: BaseException, message: str
) -> None:
    def write_half() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(BaseException, match=message):
        write_half()
    assert path.read_text() == "former"


def test_content_is_on_disk_before_the_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[Path, str]] = []

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").resolve(), path.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_text(path, "new")
    (temporary, before), (folder, after) = synced
    assert (temporary.parent, temporary.name[0]) == (path.parent, ".")
    assert (before, folder, after) == ("former", path.parent, "new")


def test_two_writers_of_one_file_do_not_meet(path: Path) -> None:
    with files.atomic_path(path) as first, files.atomic_path(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # its block ended last


def test_the_umask_decides_who_may_read(path: Path) -> None:
    former = os.umask(0o027)
    try:
        files.write_text(path, "new")
    finally:
        os.umask(former)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_symbolic_link_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target, link = tmp_path / "cached", tmp_path / "link.json"
    target.write_text("former")
    link.symlink_to(target)
    files.write_text(link, "new")
    assert not link.is_symlink()
    assert (link.read_text(), target.read_text()) == ("new", "former")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_read_only_folder_is_named(path: Path) -> None:
    path.parent.chmod(0o555)
    with pytest.raises(MachineError, match=r"cannot be written: Permission denied\."):
        files.write_text(path, "new")
    path.parent.chmod(0o755)
    assert path.read_text() == "former"


def test_text_and_json_have_one_form(path: Path) -> None:
    files.write_text(path, "Größe\nä\r\n")
    assert path.read_bytes() == "Größe\nä\r\n".encode()
    files.write_json(path, {"loss": 0.25, "accuracy": {"b": 1, "a": None}})
    former = b'{\n  "accuracy": {\n    "a": null,\n    "b": 1\n  },\n  "loss": 0.25\n}\n'
    assert path.read_bytes() == former
    for number in ("nan", "inf", "-inf"):
        with pytest.raises(ValueError, match="not JSON compliant"):
            files.write_json(path, {"loss": float(number)})
    assert path.read_bytes() == former

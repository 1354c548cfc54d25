"""Files appear whole or not at all, whatever happens while they are written."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from convdepth.core import files
from convdepth.core.errors import MachineError

LIMITED = """
import resource, sys
from pathlib import Path
from convdepth.core import files
from convdepth.core.errors import ConvdepthError

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    files.write_bytes(Path(sys.argv[1]), bytes(1001))
except ConvdepthError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good file that an earlier run wrote."""
    path = tmp_path / "metrics.json"
    path.write_text("former")
    return path


@pytest.fixture
def umask() -> Iterator[int]:
    """An unusual umask, for the time of one test."""
    former = os.umask(0o027)
    yield 0o027
    os.umask(former)


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "parents" / "a.npy"
    with files.atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".npy"
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_block_that_raises_changes_nothing(path: Path, error: type[BaseException]) -> None:
    def write_half() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "former"
    assert list(path.parent.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(path: Path) -> None:
    with files.atomic_path(path) as first, files.atomic_path(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # its block ended last
    assert list(path.parent.iterdir()) == [path]


def test_a_writer_may_replace_the_temporary_file(path: Path) -> None:
    with files.atomic_path(path) as temporary:
        temporary.unlink()
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.usefixtures("umask")
def test_the_umask_decides_who_may_read(path: Path) -> None:
    files.write_text(path, "new")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_symbolic_link_is_replaced_and_its_target_left_alone(path: Path) -> None:
    link = path.with_name("link.json")
    link.symlink_to(path)
    files.write_text(link, "new")
    assert not link.is_symlink()
    assert link.read_text() == "new"
    assert path.read_text() == "former"


def test_a_full_disk_leaves_the_former_file(path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert done.stdout.startswith(f"{path}: cannot be written: File too large.")
    assert path.read_text() == "former"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_named(path: Path) -> None:
    below = path / "a.json"
    with pytest.raises(MachineError, match=f"^{below}: cannot be written: ") as caught:
        files.write_text(below, "new")
    assert f"fix the permissions of {path}" in str(caught.value)
    assert path.read_text() == "former"


def test_a_folder_in_the_place_of_the_file_stays(path: Path) -> None:
    with pytest.raises(MachineError, match=r"cannot be written: Is a directory\."):
        files.write_text(path.parent, "new")
    assert path.read_text() == "former"


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_read_only_folder_is_named(path: Path) -> None:
    path.parent.chmod(0o555)
    with pytest.raises(MachineError, match=r"cannot be written: Permission denied\."):
        files.write_text(path, "new")
    path.parent.chmod(0o755)
    assert path.read_text() == "former"


def test_an_error_that_already_tells_all_is_passed_on(path: Path) -> None:
    error = MachineError("a GPU is required, none was found")
    with pytest.raises(MachineError) as caught, files.atomic_path(path):
        raise error
    assert caught.value is error


def test_text_is_written_as_it_is(path: Path) -> None:
    files.write_text(path, "Größe\nä\r\n")
    assert path.read_bytes() == "Größe\nä\r\n".encode()


def test_json_has_one_form(path: Path) -> None:
    files.write_json(path, {"loss": 0.25, "accuracy": {"b": 1, "a": None}})
    assert path.read_bytes() == (
        b'{\n  "accuracy": {\n    "a": null,\n    "b": 1\n  },\n  "loss": 0.25\n}\n'
    )
    assert json.loads(path.read_text())["accuracy"] == {"a": None, "b": 1}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_json_has_no_number_that_is_not_finite(path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"loss": number})
    assert path.read_text() == "former"

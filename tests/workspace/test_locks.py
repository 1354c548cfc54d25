"""Locks: one writer of an output, who is named, and who need not clean up."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from holding import holding, start_holder
from waiting import wait_until

from convdepth.core.errors import BusyError, MachineError
from convdepth.workspace import locks


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    return tmp_path


@pytest.fixture
def model(project: Path) -> Path:
    return project / "models" / "cnn1.keras"


@pytest.fixture
def holder(project: Path, model: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that writes two outputs."""
    with holding("train@cnn1", model, project / "100%" / "a b") as process:
        yield process


def test_a_second_writer_is_told_who_the_first_one_is(
    model: Path,
    holder: "subprocess.Popen[str]",
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.3)
    text = rf"train@cnn1 \(process {holder.pid} on {re.escape(socket.gethostname())}, since 20.*\)"
    with pytest.raises(BusyError, match=rf"^{model}: .*{text}") as caught:
        locks.hold_outputs("train@cnn1", [model])
    assert caught.value.exit_code == 5
    assert re.match(rf"train@cnn1: .*{model}: {text}", capsys.readouterr().out)
    locks.hold_outputs("train@cnn3", [model.with_name("cnn3.keras")])  # another output is free


def test_next_writer_goes_on(project: Path, model: Path, holder: "subprocess.Popen[str]") -> None:
    assert list(locks.held_outputs(project)) == ["100%/a b", "models/cnn1.keras"]
    with start_holder("train@cnn1", model) as second:
        assert second.stdout is not None
        assert f"process {holder.pid} " in second.stdout.readline()
        holder.kill()
        assert second.stdout.readline() == "holds it\n"
        wait_until(
            lambda: f"process {second.pid} " in locks.held_outputs(project)["models/cnn1.keras"]
        )
        second.kill()


def test_the_words_of_a_former_process_are_not_believed(project: Path) -> None:
    folder = project / ".dvc" / "tmp" / "convdepth" / "locks"
    folder.mkdir(parents=True)
    # In a container the same number is another process, which lives.
    (folder / "a.lock").write_text(f"train@cnn1 (process {os.getpid()} on a container)")
    assert locks.held_outputs(project) == {}
    locks.hold_outputs("train@cnn1", [project / "a"])


def test_a_linked_folder_is_inside(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("other")
    (project / "data").symlink_to(outside)
    assert locks.find_project(project / "data" / "models") == project
    locks.hold_outputs("train@cnn1", [outside / "a"])  # outside of a project nothing is locked
    assert list(outside.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(project: Path) -> None:
    (project / ".dvc" / "tmp").write_text("")
    with pytest.raises(MachineError, match=r"a\.lock: .*Not a directory"):
        locks.hold_outputs("train@cnn1", [project / "a"])


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.lock").symlink_to(tmp_path / "target")
    for action in (lambda path: locks.try_lock(path, "me"), locks.describe_holder):
        with pytest.raises(OSError, match="symbolic links"):
            action(tmp_path / "a.lock")
    assert not (tmp_path / "target").exists()


def test_the_words_in_a_lock_cannot_change_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text("the one before " * 20)
    descriptor = locks.try_lock(path, "me")
    assert descriptor is not None
    assert re.fullmatch(
        rf"me \(process {os.getpid()} on [^,]+, since [^)]+\)", str(locks.describe_holder(path))
    )
    path.write_bytes(b"\x1b[2Jred\xff\n" + 1000 * b"x")
    assert re.fullmatch("\\[2Jred\ufffdx{100,200}", str(locks.describe_holder(path)))
    os.close(descriptor)
    assert locks.describe_holder(path) is None

"""Locks: one writer of an output, who is named, and who need not clean up."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from convdepth.core.errors import BusyError, MachineError
from convdepth.workspace import locks
from convdepth.workspace.locks import (
    describe_holder,
    find_project,
    held_outputs,
    hold_outputs,
    try_lock,
)

HOLD = """
import sys, time
from pathlib import Path
from convdepth.workspace.locks import hold_outputs
hold_outputs("train@cnn1", map(Path, sys.argv[1:]))
print("holds", flush=True)
time.sleep(600)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    return tmp_path


@pytest.fixture
def holder(project: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that writes two outputs."""
    outputs = ["models/cnn1.keras", "100%/a b"]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *outputs], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.3)


def holds(project: Path) -> dict[str, str]:
    return held_outputs(project)


@pytest.mark.usefixtures("impatient")
def test_a_second_writer_is_told_who_the_first_one_is(
    project: Path, holder: "subprocess.Popen[str]", capsys: pytest.CaptureFixture[str]
) -> None:
    output = project / "models" / "cnn1.keras"
    text = rf"train@cnn1 \(process {holder.pid} on {re.escape(socket.gethostname())}, since 20.*\)"
    with pytest.raises(BusyError, match=rf"{output}: is being written by {text}\. ") as caught:
        hold_outputs("train@cnn1", [output])
    assert caught.value.exit_code == 5
    assert f"train@cnn1: waits for {output}: " in capsys.readouterr().out
    hold_outputs("train@cnn3", [project / "models" / "cnn3.keras"])  # another output is free


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_ends_with_its_process(
    project: Path, holder: "subprocess.Popen[str]", number: int
) -> None:
    holder.send_signal(number)
    hold_outputs("train@cnn1", [project / "models" / "cnn1.keras"])  # waits for it, if need be
    assert f"process {os.getpid()} " in holds(project)["models/cnn1.keras"]


@pytest.mark.usefixtures("holder")
def test_what_is_held_is_listed(project: Path) -> None:
    assert list(holds(project)) == ["100%/a b", "models/cnn1.keras"]


def test_a_lock_of_a_former_process_is_free_and_its_words_are_not_believed(project: Path) -> None:
    folder = project / ".dvc" / "tmp" / "convdepth" / "locks"
    folder.mkdir(parents=True)
    # In a container the same number is another process, which lives.
    (folder / "a.lock").write_text(f"train@cnn1 (process {os.getpid()} on a container)")
    assert holds(project) == {}
    hold_outputs("train@cnn1", [project / "a"])


def test_a_link_to_the_folder_of_the_outputs_is_the_same_output(
    project: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (project / "data").symlink_to(elsewhere)
    assert find_project(project / "data" / "models") == project


def test_outside_of_a_project_nothing_is_locked(tmp_path: Path) -> None:
    folder = tmp_path / "loose"
    folder.mkdir()
    if find_project(folder) is None:  # no folder above has a project
        hold_outputs("train@cnn1", [folder / "a"])
        assert list(folder.iterdir()) == []


def test_a_folder_that_is_no_folder_is_named(project: Path) -> None:
    (project / ".dvc" / "tmp").write_text("")
    with pytest.raises(MachineError, match=r"a\.lock: this lock cannot be used: Not a directory"):
        hold_outputs("train@cnn1", [project / "a"])


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    link = tmp_path / "a.lock"
    link.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        try_lock(link, "me")
    assert not target.exists()


def test_what_stands_in_a_lock_is_printed_only_if_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    descriptor = try_lock(path, "me")
    assert descriptor is not None
    path.write_bytes(b"\x1b[31m\xffred\n")
    assert describe_holder(path) == "[31m\ufffdred"
    os.close(descriptor)
    assert describe_holder(path) is None


def test_a_writer_that_waits_goes_on_when_the_other_one_ends(
    project: Path, holder: "subprocess.Popen[str]"
) -> None:
    waits = subprocess.Popen(
        [sys.executable, "-c", HOLD, "models/cnn1.keras"],
        cwd=project,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert waits.stdout
    assert waits.stdout.readline().startswith("train@cnn1: waits for ")
    holder.kill()
    assert waits.stdout.readline() == "holds\n"
    wait_until(lambda: f"process {waits.pid} " in holds(project)["models/cnn1.keras"])
    waits.kill()
    waits.communicate()

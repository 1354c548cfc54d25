"""The locks of GPUs, with a driver that is made up and processes that are real."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from waiting import lives

from convdepth.core.errors import MachineError, ParameterError
from convdepth.workspace import gpu as devices
from convdepth.workspace.gpu import check_usable, describe, find_gpus, list_slots, take_slot
from project import HEED_SIGINT

H200 = "0, GPU-aaaa-1, NVIDIA H200"
A100 = "1, GPU-aabb-2, NVIDIA A100-SXM4-40GB"
TRAINING = """
import os, sys
from convdepth.workspace.gpu import take_slot
from convdepth.workspace.process import run_app

def train():
    take_slot(sys.argv[1])
    print("begins", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.readline()

run_app(train)
"""
"""Stands for a training; it lasts until its input ends."""

Training = subprocess.Popen[str]
Start = Callable[..., Training]
Driver = Callable[..., None]


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Writes a `nvidia-smi` that says what it is told to; without a call there is none."""
    for name in ("CONVDEPTH_DEVICE", "CONVDEPTH_SLOTS_PER_GPU", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "so that it is restored")
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONVDEPTH_LOCKS", str(tmp_path / "locks"))
    folder = tmp_path / "driver"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def write(*lines: str, code: int = 0, script: str = "") -> None:
        said = "\n".join(lines)
        path = folder / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\ncat <<'END'\n{said}\nEND\nexit {code}\n")
        path.chmod(0o755)

    return write


@pytest.fixture
def start(driver: Driver) -> Iterator[Start]:
    """Starts a training in a process of its own, and ends those that are left."""
    driver(H200)
    started: list[Training] = []

    def begin(name: str, code: str = TRAINING) -> Training:
        command = [sys.executable, "-c", HEED_SIGINT + code, name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        started.append(subprocess.Popen(command, text=True, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def said(process: Training) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


def finish(process: Training) -> None:
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("setting", "uuids"),
    [
        (None, ["GPU-aaaa-1", "GPU-aabb-2"]),
        ("1", ["GPU-aabb-2"]),
        ("1,0", ["GPU-aabb-2", "GPU-aaaa-1"]),
        ("0, 0", ["GPU-aaaa-1"]),
        ("GPU-aab", ["GPU-aabb-2"]),
        ("GPU-aabb-2,GPU-aaaa-1", ["GPU-aabb-2", "GPU-aaaa-1"]),
        ("GPU-aa", []),  # either of them
        ("0,7,1", ["GPU-aaaa-1"]),  # CUDA reads no further than the first wrong one
        ("MIG-GPU-aaaa-1/1/0", ["MIG-GPU-aaaa-1/1/0"]),
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_only_those_are_used_that_cuda_may_see(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, setting: str | None, uuids: list[str]
) -> None:
    driver(H200, A100)
    if setting is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    gpus, reason = find_gpus()
    assert [gpu.uuid for gpu in gpus] == uuids
    left_none = re.match(f"CUDA_VISIBLE_DEVICES={setting!r} .*NVIDIA H200", reason)
    assert bool(left_none) is not bool(uuids)


@pytest.mark.parametrize(
    ("lines", "code", "script", "reason"),
    [
        (["NVIDIA-SMI has failed because it has no driver", "x"], 9, "", "has no driver$"),
        ([], 6, "", "exit code 6"),
        ([], 0, "", "lists none"),
        (["what is this"], 0, "", "lists none"),
        ([H200], 0, "exec sleep 60", "timed out"),
        (None, 0, "", "no nvidia-smi"),
    ],
)
def test_a_driver_that_fails_is_no_gpu(
    driver: Driver,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str] | None,
    code: int,
    script: str,
    reason: str,
) -> None:
    if script:
        monkeypatch.setattr(devices, "ANSWER_SECONDS", 0.2)
    if lines is not None:
        driver(*lines, code=code, script=script)
    gpus, found = find_gpus()
    assert gpus == []
    assert re.search(reason, found)
    assert take_slot("cnn1") is None
    assert not Path(os.environ["CONVDEPTH_LOCKS"]).exists()


def test_on_the_cpu_no_gpu_is_visible(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(H200)
    monkeypatch.setenv("CONVDEPTH_DEVICE", "cpu")
    assert take_slot("cnn1") is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"


@pytest.mark.usefixtures("driver")
def test_a_gpu_that_is_required_and_absent_says_what_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONVDEPTH_DEVICE", "gpu")
    with pytest.raises(MachineError, match=r"no nvidia-smi.*CONVDEPTH_DEVICE=auto"):
        take_slot("cnn1")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONVDEPTH_DEVICE", "GPU"),
        *(("CONVDEPTH_SLOTS_PER_GPU", value) for value in ("0", "-1", "1.5", "two")),
    ],
)
def test_a_wrong_setting_names_its_variable(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    driver(H200)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ParameterError, match=rf"^{variable}: .*'{value}'"):
        take_slot("cnn1")


def test_a_training_sees_only_the_gpu_that_it_holds(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(H200, A100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    held = take_slot("cnn1")
    assert held is not None
    held.release()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == held.slot.gpu.uuid == "GPU-aabb-2"


def test_trainings_spread_over_the_gpus_before_they_share_one(
    start: Start, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(H200, A100)
    monkeypatch.setenv("CONVDEPTH_SLOTS_PER_GPU", "2")
    begun = [said(start(f"cnn{number}")) for number in (1, 3, 5, 7)]
    assert begun == ["begins GPU-aaaa-1", "begins GPU-aabb-2"] * 2
    waiting = said(start("cnn9"))
    assert "GPU 0 (NVIDIA H200), slot 1 is in use by cnn1 (" in waiting
    assert "GPU 1 (NVIDIA A100-SXM4-40GB), slot 2 is in use by cnn7 (" in waiting


@pytest.mark.parametrize("end", [finish, Training.kill])
def test_the_second_training_waits_and_says_for_whom(
    start: Start, end: Callable[[Training], None]
) -> None:
    (slot,) = list_slots(find_gpus().gpus)
    assert describe(slot) == "GPU 0 (NVIDIA H200), slot 1 is free"
    first = start("cnn1")
    assert said(first) == "begins GPU-aaaa-1"
    second = start("cnn3")
    holder = rf"cnn1 \(process {first.pid} on {re.escape(socket.gethostname())}, since 20\d\d-"
    assert re.search(rf"^cnn3: .*GPU 0 .*, slot 1 is in use by {holder}", said(second))
    end(first)
    assert said(second).endswith("GPU 0 (NVIDIA H200), slot 1")
    assert said(second) == "begins GPU-aaaa-1"
    assert "in use by cnn3" in describe(slot)
    finish(second)
    assert describe(slot) == "GPU 0 (NVIDIA H200), slot 1 is free"


def test_what_a_training_has_started_does_not_keep_the_slot(start: Start) -> None:
    child = "import subprocess as s; print(s.Popen(['sleep', '60'], close_fds=False).pid)"
    first = start("cnn1", TRAINING.replace("sys.stdin.readline()", child))
    said(first)
    orphan = psutil.Process(int(said(first)))
    try:
        assert said(start("cnn3")) == "begins GPU-aaaa-1"
        assert lives(orphan)
    finally:
        orphan.kill()


def test_the_locks_are_open_to_all_whatever_the_umask(driver: Driver) -> None:
    driver(H200)
    before = os.umask(0o077)
    try:
        held = take_slot("cnn1")
    finally:
        assert os.umask(before) == 0o077
    assert held is not None
    held.release()
    assert held.slot.path.stat().st_mode & 0o7777 == 0o666
    assert held.slot.path.parent.stat().st_mode & 0o7777 == 0o1777


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_users_share_the_locks(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copy(shutil.which("nvidia-smi") or "", folder)  # where all users may look
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CONVDEPTH_LOCKS", str(folder / "locks"))
    try:
        finish(start("cnn1"))
        nobody = TRAINING.replace("run_app(train)", "os.setuid(65534); run_app(train)")
        other = start("cnn3", nobody)
        assert said(other) == "begins GPU-aaaa-1"
        waiting = start("cnn5")
        assert "slot 1 is in use by cnn3 (" in said(waiting)
        finish(other)
        assert "goes on" in said(waiting)
    finally:
        shutil.rmtree(folder)


def test_a_lock_that_cannot_be_used_is_named(driver: Driver) -> None:
    driver(H200)
    (slot,) = list_slots(find_gpus().gpus)
    slot.path.parent.write_text("in the way")
    for action in (lambda: take_slot("cnn1"), lambda: describe(slot)):
        with pytest.raises(MachineError, match=rf"{slot.path}.*CONVDEPTH_LOCKS"):
            action()


def test_a_gpu_that_tensorflow_cannot_use_is_given_back(
    driver: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    driver(H200)
    held = take_slot("cnn1")
    assert held is not None
    held.confirm(["NVIDIA H200"])
    assert "in use" in describe(held.slot)
    held.confirm([])
    assert "free" in describe(held.slot)
    assert "cnn1: the driver has GPU 0 (NVIDIA H200), but" in capsys.readouterr().out


def test_a_required_gpu_that_tensorflow_cannot_use_is_an_error(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(H200)
    gpus = find_gpus().gpus
    assert check_usable(gpus, ["NVIDIA H200"], require=True) == check_usable([], []) == ""
    with pytest.raises(MachineError, match="GPU 0"):
        check_usable(gpus, [], require=True)
    monkeypatch.setenv("CONVDEPTH_DEVICE", "gpu")
    with pytest.raises(MachineError, match="GPU 0"):
        check_usable(gpus, [])


def test_by_default_the_locks_lie_where_all_temporary_files_do(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(H200)
    monkeypatch.delenv("CONVDEPTH_LOCKS")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (slot,) = list_slots(find_gpus().gpus)
    assert slot.path == tmp_path / "convdepth-devices" / "GPU-aaaa-1-1.lock"

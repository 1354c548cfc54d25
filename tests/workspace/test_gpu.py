"""The locks of GPUs, with a driver that is made up and processes that are real."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convdepth.core.errors import MachineError, ParameterError
from convdepth.workspace import gpu as devices
from convdepth.workspace.gpu import check_usable, describe, find_gpus, list_slots, take_slot
from project import HEED_SIGINT

H200 = "echo '0, GPU-aaaa-1, NVIDIA H200'"
A100 = "echo '1, GPU-aabb-2, NVIDIA A100-SXM4-40GB'"
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
Driver = Callable[[str], None]


@pytest.fixture(autouse=True)
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Lists one H200, until it is given another script."""
    for name in ("CONVDEPTH_DEVICE", "CONVDEPTH_SLOTS_PER_GPU", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "so that it is restored")
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONVDEPTH_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    path = tmp_path / "nvidia-smi"

    def write(script: str) -> None:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    write(H200)
    return write


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a training in a process of its own, and ends those that are left."""
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
        *((nothing, []) for nothing in ("-1", "", "NoDevFiles")),
    ],
)
def test_only_those_are_used_that_cuda_may_see(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, setting: str | None, uuids: list[str]
) -> None:
    driver(f"{H200}\n{A100}")
    if setting is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    gpus, reason = find_gpus()
    assert [gpu.uuid for gpu in gpus] == uuids
    left_none = re.match(f"CUDA_VISIBLE_DEVICES={setting!r} .*NVIDIA H200", reason)
    assert bool(left_none) is not bool(uuids)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo NVIDIA-SMI has failed because it has no driver; echo x; exit 9", "has no driver$"),
        ("exit 6", "exit code 6"),
        ("", "lists none"),
        ("echo what is this", "lists none"),
        ("exec sleep 60", "timed out"),
    ],
)
def test_a_driver_that_fails_is_no_gpu(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    monkeypatch.setattr(devices, "ANSWER_SECONDS", 0.5)
    driver(script)
    gpus, found = find_gpus()
    assert gpus == []
    assert re.search(reason, found)
    assert take_slot("cnn1") is None
    assert not Path(os.environ["CONVDEPTH_LOCKS"]).exists()


def test_on_the_cpu_no_gpu_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVDEPTH_DEVICE", "cpu")
    assert take_slot("cnn1") is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"


def test_a_gpu_that_is_required_and_absent_says_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia-smi").unlink()
    monkeypatch.setenv("CONVDEPTH_DEVICE", "gpu")
    with pytest.raises(MachineError, match=r"no nvidia-smi.*CONVDEPTH_DEVICE=auto"):
        take_slot("cnn1")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CONVDEPTH_DEVICE", "GPU"), *(("CONVDEPTH_SLOTS_PER_GPU", n) for n in ("0", "1.5", "two"))],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ParameterError, match=rf"^{variable}: .*'{value}'"):
        take_slot("cnn1")


def test_gpus_fill_up_evenly(start: Start, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(f"{H200}\n{A100}")
    monkeypatch.setenv("CONVDEPTH_SLOTS_PER_GPU", "2")
    begun = [said(start(name)) for name in ("cnn1", "cnn3", "cnn5", "cnn7")]
    assert begun == ["begins GPU-aaaa-1", "begins GPU-aabb-2"] * 2
    waiting = said(start("cnn9"))
    assert "GPU 0 (NVIDIA H200), slot 1 is in use by cnn1 (" in waiting
    assert "GPU 1 (NVIDIA A100-SXM4-40GB), slot 2 is in use by cnn7 (" in waiting


def test_locks_are_open_to_all_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CONVDEPTH_LOCKS")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = os.umask(0o077)
    try:
        held = take_slot("cnn1")
    finally:
        assert os.umask(before) == 0o077
    assert held is not None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == held.slot.gpu.uuid == "GPU-aaaa-1"
    os.close(held.descriptor)
    assert held.slot.path == tmp_path / "convdepth-devices" / "GPU-aaaa-1-1.lock"
    assert held.slot.path.stat().st_mode & 0o7777 == 0o666
    assert held.slot.path.parent.stat().st_mode & 0o7777 == 0o1777


def test_a_lock_that_cannot_be_used_is_named() -> None:
    (slot,) = list_slots(find_gpus().gpus)
    slot.path.parent.write_text("in the way")
    for action in (lambda: take_slot("cnn1"), lambda: describe(slot)):
        with pytest.raises(MachineError, match=rf"{slot.path}.*CONVDEPTH_LOCKS"):
            action()


def test_a_gpu_that_tensorflow_cannot_use_is_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    held = take_slot("cnn1")
    assert held is not None
    held.confirm(["NVIDIA H200"])
    assert "in use" in describe(held.slot)
    held.confirm([])
    assert "free" in describe(held.slot)
    assert "cnn1: the driver has GPU 0 (NVIDIA H200), but" in capsys.readouterr().out


def test_a_required_gpu_that_tensorflow_cannot_use_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus = find_gpus().gpus
    assert check_usable(gpus, ["NVIDIA H200"], require=True) == check_usable([], []) == ""
    with pytest.raises(MachineError, match="GPU 0"):
        check_usable(gpus, [], require=True)
    monkeypatch.setenv("CONVDEPTH_DEVICE", "gpu")
    with pytest.raises(MachineError, match="GPU 0"):
        check_usable(gpus, [])

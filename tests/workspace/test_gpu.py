"""The locks of GPUs, with a driver that is made up and processes that are real."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_until

from convdepth.core.errors import MachineError, ParameterError
from convdepth.workspace import gpu as devices
from convdepth.workspace.code import STAGES
from convdepth.workspace.code_digests import read_command
from convdepth.workspace.gpu import (
    check_usable,
    choose_gpus,
    describe,
    find_gpus,
    list_slots,
    take_slot,
)
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
        process = subprocess.Popen(
            [sys.executable, "-c", HEED_SIGINT + code, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

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


def test_all_gpus_are_found_in_order(driver: Driver) -> None:
    driver(H200, A100)
    assert [gpu.uuid for gpu in find_gpus().gpus] == ["GPU-aaaa-1", "GPU-aabb-2"]
    assert find_gpus().gpus[1].label == "GPU 1 (NVIDIA A100-SXM4-40GB)"


@pytest.mark.parametrize(
    ("setting", "uuids"),
    [
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
    driver: Driver, monkeypatch: pytest.MonkeyPatch, setting: str, uuids: list[str]
) -> None:
    driver(H200, A100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    choice = find_gpus()
    assert [gpu.uuid for gpu in choice.gpus] == uuids
    assert bool(choice.reason) is not bool(uuids)
    if not uuids:
        assert f"CUDA_VISIBLE_DEVICES={setting!r}" in choice.reason
        assert "NVIDIA H200" in choice.reason


@pytest.mark.parametrize(
    ("lines", "code", "reason"),
    [
        (["NVIDIA-SMI has failed because it has no driver", "x"], 9, "has no driver$"),
        ([], 6, "exit code 6"),
        ([], 0, "lists none"),
        (["what is this"], 0, "lists none"),
    ],
)
def test_a_driver_that_fails_is_no_gpu(
    driver: Driver, lines: list[str], code: int, reason: str
) -> None:
    driver(*lines, code=code)
    assert find_gpus().gpus == []
    assert re.search(reason, find_gpus().reason)
    assert take_slot("cnn1") is None


def test_without_a_driver_there_is_no_gpu(driver: Driver) -> None:  # noqa: ARG001
    assert "no nvidia-smi" in find_gpus().reason
    assert take_slot("cnn1") is None
    assert not Path(os.environ["CONVDEPTH_LOCKS"]).exists()


def test_a_driver_that_hangs_is_no_gpu(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(H200, script="exec sleep 60")
    monkeypatch.setattr(devices, "ANSWER_SECONDS", 0.2)
    assert "timed out" in find_gpus().reason


def test_on_the_cpu_no_gpu_is_visible(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(H200)
    monkeypatch.setenv("CONVDEPTH_DEVICE", "cpu")
    assert take_slot("cnn1") is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    with pytest.raises(MachineError, match="CONVDEPTH_DEVICE=cpu hides"):
        choose_gpus(require=True)


def test_a_gpu_that_is_required_and_absent_says_what_was_found(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVDEPTH_DEVICE", "gpu")
    with pytest.raises(MachineError, match=r"no nvidia-smi was found.*CONVDEPTH_DEVICE=auto"):
        take_slot("cnn1")
    driver(H200)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(MachineError, match=r"CUDA_VISIBLE_DEVICES='3' leaves none of.*NVIDIA H200"):
        take_slot("cnn1")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CONVDEPTH_DEVICE", "GPU", "CONVDEPTH_DEVICE: expected auto, cpu or gpu, got 'GPU'"),
        ("CONVDEPTH_SLOTS_PER_GPU", "0", "CONVDEPTH_SLOTS_PER_GPU: expected an integer"),
        ("CONVDEPTH_SLOTS_PER_GPU", "-1", "got '-1'"),
        ("CONVDEPTH_SLOTS_PER_GPU", "1.5", "got '1.5'"),
        ("CONVDEPTH_SLOTS_PER_GPU", "two", "got 'two'"),
    ],
)
def test_a_wrong_setting_names_its_variable(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    driver(H200)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ParameterError, match=re.escape(message)):
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


def test_trainings_spread_over_the_gpus(start: Start, driver: Driver) -> None:
    driver(H200, A100)
    assert said(start("cnn1")) == "begins GPU-aaaa-1"
    assert said(start("cnn3")) == "begins GPU-aabb-2"
    waiting = said(start("cnn5"))
    assert "GPU: GPU 0 (NVIDIA H200), slot 1 is in use by cnn1 " in waiting
    assert "; GPU 1 (NVIDIA A100-SXM4-40GB), slot 1 is in use by cnn3 " in waiting


def test_slots_are_taken_on_every_gpu_before_a_second_on_one(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(H200, A100)
    monkeypatch.setenv("CONVDEPTH_SLOTS_PER_GPU", "2")
    slots = [(slot.gpu.uuid, slot.number) for slot in list_slots(find_gpus().gpus)]
    assert slots == [("GPU-aaaa-1", 1), ("GPU-aabb-2", 1), ("GPU-aaaa-1", 2), ("GPU-aabb-2", 2)]


def test_the_second_training_waits_and_says_for_whom(start: Start) -> None:
    first = start("cnn1")
    assert said(first) == "begins GPU-aaaa-1"
    second = start("cnn3")
    holder = rf"cnn1 \(process {first.pid} on {re.escape(socket.gethostname())}, since 20\d\d-"
    assert re.search(
        rf"^cnn3: waits for a GPU: GPU 0 .*, slot 1 is in use by {holder}", said(second)
    )
    finish(first)
    assert said(second) == "cnn3: goes on, on GPU 0 (NVIDIA H200), slot 1"
    assert said(second) == "begins GPU-aaaa-1"
    finish(second)


def test_trainings_on_one_slot_never_overlap(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    work = f"""
    import time
    for word in ("begin", "end"):
        with open({str(log)!r}, "a") as log:
            log.write(f"{{word}} {{sys.argv[1]}}\\n")
        time.sleep(0.2)
"""
    code = TRAINING.replace("    sys.stdin.readline()\n", work)
    for process in [start(str(number), code) for number in range(4)]:
        finish(process)
    lines = log.read_text().splitlines()
    assert len(lines) == 8
    assert [line.replace("begin", "end") for line in lines[::2]] == lines[1::2]


def test_with_two_slots_two_trainings_share_a_gpu(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVDEPTH_SLOTS_PER_GPU", "2")
    assert said(start("cnn1")) == said(start("cnn3")) == "begins GPU-aaaa-1"
    assert "slot 2 is in use by cnn3" in said(start("cnn5"))


def test_a_killed_training_lets_the_next_one_in(start: Start) -> None:
    first = start("cnn1")
    said(first)
    second = start("cnn3")
    assert "waits" in said(second)
    first.kill()
    assert "goes on" in said(second)
    assert said(second) == "begins GPU-aaaa-1"


def test_what_a_training_has_started_does_not_keep_the_slot(start: Start) -> None:
    child = (
        "import subprocess as s; print(s.Popen(['sleep', '60'], close_fds=False).pid, flush=True)"
    )
    first = start("cnn1", TRAINING.replace("sys.stdin.readline()", child))
    said(first)
    orphan = psutil.Process(int(said(first)))
    first.wait(60)
    try:
        assert said(start("cnn3")) == "begins GPU-aaaa-1"
        assert lives(orphan)
    finally:
        orphan.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_training_that_waits(start: Start, number: signal.Signals) -> None:
    said(start("cnn1"))
    second = start("cnn3")
    assert "waits" in said(second)
    second.send_signal(number)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 128 + number
    assert "begins" not in output


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


def test_a_folder_that_cannot_be_made_is_named(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(H200)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CONVDEPTH_LOCKS", str(tmp_path / "file"))
    with pytest.raises(MachineError, match=r"file/GPU-aaaa-1-1\.lock.*Set CONVDEPTH_LOCKS"):
        take_slot("cnn1")


def test_a_link_in_the_place_of_a_lock_is_not_followed(driver: Driver, tmp_path: Path) -> None:
    driver(H200)
    (slot,) = list_slots(find_gpus().gpus)
    slot.path.parent.mkdir()
    (tmp_path / "precious").write_text("precious")
    slot.path.symlink_to(tmp_path / "precious")
    for action in (lambda: take_slot("cnn1"), lambda: describe(slot)):
        with pytest.raises(MachineError, match=re.escape(str(slot.path))):
            action()
    assert (tmp_path / "precious").read_text() == "precious"


def test_what_others_have_written_cannot_change_the_terminal(start: Start) -> None:
    said(start("cnn1"))
    (slot,) = list_slots(find_gpus().gpus)
    slot.path.write_bytes(b"\x1b[2Jcnn1\xff\n" + 1000 * b"x")
    assert re.fullmatch(r".*, slot 1 is in use by \[2Jcnn1\ufffdx+", describe(slot))
    assert len(describe(slot)) < 300


def test_a_free_slot_is_called_free(driver: Driver) -> None:
    driver(H200)
    (slot,) = list_slots(find_gpus().gpus)
    assert describe(slot) == "GPU 0 (NVIDIA H200), slot 1 is free"
    slot.path.parent.mkdir()
    slot.path.write_text("the one before " * 20)
    held = take_slot("cnn1")
    assert held is not None
    holder = rf"cnn1 \(process {os.getpid()} on [^,]+, since [-+: \d]+\)"
    assert re.fullmatch(rf"GPU 0 \(NVIDIA H200\), slot 1 is in use by {holder}", describe(slot))
    held.release()
    assert describe(slot) == "GPU 0 (NVIDIA H200), slot 1 is free"


def test_looking_keeps_nobody_waiting(start: Start) -> None:
    (slot,) = list_slots(find_gpus().gpus)
    finish(start("cnn1"))
    describe(slot)
    assert said(start("cnn3")) == "begins GPU-aaaa-1"


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
    assert check_usable(gpus, ["NVIDIA H200"], require=True) == ""
    assert check_usable([], [], require=False) == ""
    assert "make environment LOCK=requirements-gpu.lock" in check_usable(gpus, [])
    with pytest.raises(MachineError, match="TensorFlow can use none"):
        check_usable(gpus, [], require=True)
    monkeypatch.setenv("CONVDEPTH_DEVICE", "gpu")
    with pytest.raises(MachineError, match="TensorFlow can use none"):
        check_usable(gpus, [])


def test_by_default_the_locks_lie_where_all_temporary_files_do(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(H200)
    monkeypatch.delenv("CONVDEPTH_LOCKS")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (slot,) = list_slots(find_gpus().gpus)
    assert slot.path == tmp_path / "convdepth-devices" / "GPU-aaaa-1-1.lock"


def test_a_training_is_told_from_what_only_waits(start: Start) -> None:
    first = start("cnn1")
    said(first)
    second = start("cnn3")
    said(second)
    finish(first)
    (slot,) = list_slots(find_gpus().gpus)
    wait_until(lambda: "cnn3" in describe(slot))


def test_no_stage_depends_on_where_it_runs() -> None:
    where = {
        f"convdepth.{name}"
        for name in ("workspace.gpu", "workspace.process", "workspace.locks", "cli")
    }
    for stage in STAGES:
        modules = read_command(stage).modules
        assert not where & modules.keys(), stage

"""GPUs for trainings: which ones there are, and one training per slot of a GPU.

No stage imports this module: it decides when and where a training runs, never its result. A slot is
a file lock of the training process, so it also holds under a plain `dvc repro`, in another clone
and for another user, and needs no server. Choose before TensorFlow is imported, which reads once
which GPUs it may see.
"""

import contextlib
import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from convdepth.core.errors import MachineError, ParameterError
from convdepth.workspace.locks import describe_holder, try_lock
from convdepth.workspace.process import run_captured

DEVICE_VARIABLE = "CONVDEPTH_DEVICE"  # auto: GPUs if any, else CPU; gpu: required; cpu: no GPU
SLOTS_VARIABLE = "CONVDEPTH_SLOTS_PER_GPU"  # trainings on one GPU at a time, by default 1
LOCKS_VARIABLE = "CONVDEPTH_LOCKS"  # folder of the locks, shared by all trainings that share GPUs
VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
POLL_SECONDS = 0.5
ANSWER_SECONDS = 60  # how long `nvidia-smi` may take; loading the driver takes seconds
GPU_ENVIRONMENT = "make environment LOCK=requirements-gpu.lock"


class Gpu(NamedTuple):
    """A GPU or a part of one (MIG): its UUID, and a label such as ``GPU 0 (NVIDIA H200)``."""

    uuid: str
    label: str


class Choice(NamedTuple):
    """The GPUs to compute on; if there are none, the reason, and the CPU is used."""

    gpus: Sequence[Gpu]
    reason: str = ""


class Slot(NamedTuple):
    """Room for one training on a GPU, and its lock file, which need not exist."""

    gpu: Gpu
    label: str
    path: Path


@dataclass(frozen=True)
class HeldSlot:
    """A slot that this process holds until it ends, since it keeps the GPU's memory until then."""

    slot: Slot
    name: str
    descriptor: int

    def confirm(self, usable: Sequence[str]) -> None:
        """Give the slot back if TensorFlow can use no GPU; see `check_usable`."""
        if wrong := check_usable([self.slot.gpu], usable):
            print(f"{self.name}: {wrong}", flush=True)
            os.close(self.descriptor)


def choose_gpus(*, require: bool = False) -> Choice:
    """Return the GPUs that the environment allows; none is an error if a GPU is required."""
    device = _read_device()
    if device == "cpu":
        os.environ[VISIBLE_VARIABLE] = "-1"
        choice = Choice([], f"{DEVICE_VARIABLE}=cpu hides all GPUs")
    else:
        choice = find_gpus()
    if (require or device == "gpu") and not choice.gpus:
        fix = "" if require else f", or set {DEVICE_VARIABLE}=auto to compute on the CPU"
        raise MachineError(
            f"a GPU is required, but there is none: {choice.reason}. Run on a machine with an "
            f"NVIDIA GPU and its driver{fix}."
        )
    return choice


def find_gpus() -> Choice:
    """Ask the driver for the GPUs that ``CUDA_VISIBLE_DEVICES`` leaves, in its order.

    Its numbers are read as `nvidia-smi` counts, as CUDA does with ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.
    """
    command = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    try:
        ended = run_captured(command, seconds=ANSWER_SECONDS)
    except FileNotFoundError:
        return Choice([], "no nvidia-smi was found, which comes with the driver")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Choice([], f"nvidia-smi could not be asked: {error}")
    if ended.returncode:
        said = (ended.stdout + ended.stderr).strip().partition("\n")[0]
        return Choice([], f"nvidia-smi failed: {said or f'exit code {ended.returncode}'}")
    rows = (line.split(", ", 2) for line in ended.stdout.splitlines())
    gpus = {row[0]: Gpu(row[1], f"GPU {row[0]} ({row[2]})") for row in rows if len(row) == 3}
    if not gpus:
        return Choice([], "nvidia-smi lists none")
    setting = os.environ.get(VISIBLE_VARIABLE)
    if chosen := list(gpus.values()) if setting is None else _leave_visible(gpus, setting):
        return Choice(chosen)
    found = ", ".join(f"{gpu.label} {gpu.uuid}" for gpu in gpus.values())
    return Choice([], f"{VISIBLE_VARIABLE}={setting!r} leaves none of {found}")


def check_usable(gpus: Sequence[Gpu], usable: Sequence[str], *, require: bool = False) -> str:
    """Return why TensorFlow, which finds ``usable``, can use none of the GPUs; empty if it can."""
    if usable or not gpus:
        return ""
    message = (
        f"the driver has {', '.join(gpu.label for gpu in gpus)}, but TensorFlow can use none: it "
        f"was built without CUDA, or does not find its libraries. For the GPU, run "
        f"`{GPU_ENVIRONMENT}`"
    )
    if require or _read_device() == "gpu":
        raise MachineError(f"a GPU is required: {message}.")
    return f"{message}; until then it computes on the CPU."


def take_slot(name: str) -> HeldSlot | None:
    """Wait for a slot and take it; from then on this process sees only its GPU.

    ``name`` tells others who holds it. The CPU has no slots: it takes any number of trainings.
    """
    slots = list_slots(choose_gpus().gpus)
    if not slots:
        return None
    if (held := _take_free(slots, name)) is None:
        print(f"{name}: waits for a GPU: {'; '.join(map(describe, slots))}", flush=True)
        while (held := _take_free(slots, name)) is None:
            time.sleep(POLL_SECONDS)
        print(f"{name}: goes on, on {held.slot.label}", flush=True)
    os.environ[VISIBLE_VARIABLE] = held.slot.gpu.uuid
    return held


def list_slots(gpus: Sequence[Gpu]) -> list[Slot]:
    """List the first slot of each GPU, then the second of each, and so on."""
    setting = os.environ.get(SLOTS_VARIABLE) or "1"
    if not (setting.isdecimal() and int(setting) >= 1):
        raise ParameterError(
            f"{SLOTS_VARIABLE}: expected an integer of at least 1, got {setting!r}"
        )
    folder = Path(os.environ.get(LOCKS_VARIABLE) or f"{tempfile.gettempdir()}/convdepth-devices")
    slots = itertools.product(range(1, int(setting) + 1), gpus)
    return [
        Slot(gpu, f"{gpu.label}, slot {n}", folder / f"{gpu.uuid.replace('/', '_')}-{n}.lock")
        for n, gpu in slots
    ]


def describe(slot: Slot) -> str:
    """Name the holder of a slot, or say that it is free."""
    with _explain(slot.path):
        holder = describe_holder(slot.path)
    return f"{slot.label} is free" if holder is None else f"{slot.label} is in use by {holder}"


def _read_device() -> str:
    device = os.environ.get(DEVICE_VARIABLE) or "auto"
    if device not in ("auto", "cpu", "gpu"):
        raise ParameterError(f"{DEVICE_VARIABLE}: expected auto, cpu or gpu, got {device!r}")
    return device


def _leave_visible(gpus: dict[str, Gpu], setting: str) -> list[Gpu]:
    """Choose as CUDA does: it ignores all entries after one that does not exist."""
    chosen: list[Gpu] = []
    for entry in map(str.strip, setting.split(",")):
        named = [
            gpu
            for index, gpu in gpus.items()
            if entry == index or (entry.startswith("GPU-") and gpu.uuid.startswith(entry))
        ]
        if entry.startswith("MIG-"):  # a part of a GPU, which the list of GPUs does not show
            named = [Gpu(entry, f"GPU part {entry}")]
        if len(named) != 1:
            break
        chosen += [gpu for gpu in named if gpu not in chosen]
    return chosen


def _take_free(slots: Sequence[Slot], name: str) -> HeldSlot | None:
    for slot in slots:
        folder = slot.path.parent
        with _explain(slot.path):
            folder.parent.mkdir(parents=True, exist_ok=True)
            before = os.umask(0)  # all users share the folder and the locks
            try:
                folder.mkdir(0o1777, exist_ok=True)  # users may remove only their own files
                descriptor = try_lock(slot.path, name)
            finally:
                os.umask(before)
        if descriptor is not None:
            return HeldSlot(slot, name, descriptor)
    return None


@contextlib.contextmanager
def _explain(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"{path}: the lock of a GPU cannot be used: {error.strerror or error}. Set "
            f"{LOCKS_VARIABLE} to a folder that all who train on this machine can write to."
        ) from error

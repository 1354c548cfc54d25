"""One GPU, one training: each holds a lock that the operating system takes off when it ends.

No stage imports this module: it decides when and where a training runs, never what comes out.
The lock belongs to the training process itself, so that it holds as well under a plain
`dvc repro`, in another clone and for another user, and needs no server that could lose it.
"""

import contextlib
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

DEVICE_VARIABLE = "CONVDEPTH_DEVICE"
"""``auto``: the GPUs if there are any, else the CPU; ``gpu``: required; ``cpu``: no GPU."""

SLOTS_VARIABLE = "CONVDEPTH_SLOTS_PER_GPU"
"""How many networks may be trained on one GPU at a time."""

LOCKS_VARIABLE = "CONVDEPTH_LOCKS"
"""The folder of the lock files; the trainings that share GPUs must share it."""

VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
"""CUDA's own choice of GPUs."""

POLL_SECONDS = 0.5
"""How often a training that waits looks for a free slot."""

ANSWER_SECONDS = 60
"""How long the driver may take to list its GPUs: seconds where it is loaded for it."""

GPU_ENVIRONMENT = "make environment LOCK=requirements-gpu.lock"


class Gpu(NamedTuple):
    """One GPU as the driver lists it, or a part of one (MIG).

    Attributes:
        uuid: Its own on any machine, such as ``GPU-8a56a4bc-e184-a047-2620-be19fdf913d5``.
        label: For people, such as ``GPU 0 (NVIDIA H200)``.
    """

    uuid: str
    label: str


class Choice(NamedTuple):
    """The GPUs to compute on.

    Attributes:
        gpus: None of them: the CPU.
        reason: Why there are none.
    """

    gpus: Sequence[Gpu]
    reason: str = ""


def choose_gpus(*, require: bool = False) -> Choice:
    """Choose what to compute on, before TensorFlow is imported.

    That is what ``CONVDEPTH_DEVICE`` says, among the GPUs that ``CUDA_VISIBLE_DEVICES`` leaves.
    With ``cpu`` TensorFlow will not see any GPU.

    Args:
        require: Whether there has to be a GPU, as with ``CONVDEPTH_DEVICE=gpu``.

    Returns:
        The GPUs; they may be in use.

    Raises:
        ParameterError: ``CONVDEPTH_DEVICE`` has another value.
        MachineError: There has to be a GPU, and is none.
    """
    require, device = require or gpu_required(), _read_device()
    if device == "cpu":
        os.environ[VISIBLE_VARIABLE] = "-1"
        choice = Choice([], f"{DEVICE_VARIABLE}=cpu hides all GPUs")
    else:
        choice = find_gpus()
    if require and not choice.gpus:
        raise MachineError(
            f"a GPU is required, but there is none: {choice.reason}. Run on a machine with an "
            f"NVIDIA GPU and its driver, or set {DEVICE_VARIABLE}=auto to compute on the CPU."
        )
    return choice


def gpu_required() -> bool:
    """Tell whether the user has said that a training has to run on a GPU.

    Raises:
        ParameterError: ``CONVDEPTH_DEVICE`` is wrong.
    """
    return _read_device() == "gpu"


def _read_device() -> str:
    device = os.environ.get(DEVICE_VARIABLE) or "auto"
    if device not in ("auto", "cpu", "gpu"):
        raise ParameterError(f"{DEVICE_VARIABLE}: expected auto, cpu or gpu, got {device!r}")
    return device


def find_gpus() -> Choice:
    """Ask the driver for the GPUs of this machine, without TensorFlow.

    Returns:
        Those that ``CUDA_VISIBLE_DEVICES`` leaves, in its order; its numbers are read as those
        of `nvidia-smi`, which CUDA itself does only with ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.
    """
    command = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    try:
        finished = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except FileNotFoundError:
        return Choice([], "no nvidia-smi was found, which comes with the driver")
    except (OSError, subprocess.TimeoutExpired) as error:
        return Choice([], f"nvidia-smi could not be asked: {error}")
    if finished.returncode:
        said = (finished.stdout + finished.stderr).strip().partition("\n")[0]
        return Choice([], f"nvidia-smi failed: {said or f'exit code {finished.returncode}'}")
    rows = (line.split(", ", 2) for line in finished.stdout.splitlines())
    gpus = {row[0]: Gpu(row[1], f"GPU {row[0]} ({row[2]})") for row in rows if len(row) == 3}
    if not gpus:
        return Choice([], "nvidia-smi lists none")
    return _leave_visible(gpus, os.environ.get(VISIBLE_VARIABLE))


def _leave_visible(gpus: dict[str, Gpu], setting: str | None) -> Choice:
    """Choose as CUDA does: what follows an entry that does not exist is not seen either."""
    if setting is None:
        return Choice(list(gpus.values()))
    chosen: list[Gpu] = []
    for entry in map(str.strip, setting.split(",")):
        named = [gpu for index, gpu in gpus.items() if _names(entry, index, gpu)]
        if entry.startswith("MIG-"):  # a part of a GPU, which the list of GPUs does not show
            named = [Gpu(entry, f"GPU part {entry}")]
        if len(named) != 1:
            break
        chosen += [gpu for gpu in named if gpu not in chosen]
    if chosen:
        return Choice(chosen)
    found = ", ".join(f"{gpu.label} {gpu.uuid}" for gpu in gpus.values())
    return Choice([], f"{VISIBLE_VARIABLE}={setting!r} leaves none of {found}")


def _names(entry: str, index: str, gpu: Gpu) -> bool:
    return entry == index or (entry.startswith("GPU-") and gpu.uuid.startswith(entry))


def check_usable(gpus: Sequence[Gpu], usable: Sequence[str], *, require: bool = False) -> str:
    """Compare what the driver has with what TensorFlow can use of it.

    Args:
        gpus: What was chosen before TensorFlow was imported.
        usable: The models that TensorFlow lists.
        require: Whether there has to be a GPU, as with ``CONVDEPTH_DEVICE=gpu``.

    Returns:
        What is wrong and how to put it right; empty if nothing is.

    Raises:
        MachineError: There has to be a GPU, and TensorFlow can use none.
    """
    if usable or not gpus:
        return ""
    message = (
        f"the driver has {', '.join(gpu.label for gpu in gpus)}, but TensorFlow can use none: it "
        f"was built without CUDA, or does not find its libraries. For the GPU, run "
        f"`{GPU_ENVIRONMENT}`"
    )
    if require or gpu_required():
        raise MachineError(f"a GPU is required: {message}.")
    return f"{message}; until then it computes on the CPU."


@dataclass(frozen=True)
class Slot:
    """A place on a GPU, and the file whose lock keeps others from it.

    Attributes:
        gpu: The GPU.
        number: Which of its places, counted from 1.
        path: The lock file; it need not exist.
    """

    gpu: Gpu
    number: int
    path: Path

    @property
    def label(self) -> str:
        """What to call it for people."""
        return f"{self.gpu.label}, slot {self.number}"


class HeldSlot:
    """A slot that this process holds until it ends, however that happens.

    Even then the GPU's memory is free no sooner, so it is not given back when a training is done.
    """

    def __init__(self, slot: Slot, name: str, descriptor: int) -> None:
        self.slot, self.name = slot, name
        self._descriptor = descriptor
        os.environ[VISIBLE_VARIABLE] = slot.gpu.uuid

    def confirm(self, usable: Sequence[str]) -> None:
        """Keep the slot only if TensorFlow can use a GPU.

        Args:
            usable: The models of the GPUs that TensorFlow lists.

        Raises:
            MachineError: It can use none, and ``CONVDEPTH_DEVICE`` is ``gpu``.
        """
        if wrong := check_usable([self.slot.gpu], usable):
            print(f"{self.name}: {wrong}", flush=True)
            self.release()

    def release(self) -> None:
        """Let another training have the slot."""
        os.close(self._descriptor)


def take_slot(name: str) -> HeldSlot | None:
    """Wait for a place on a GPU, and take it; from then on this process sees only that GPU.

    To be called before TensorFlow is imported. What waits says once what for, and once that it
    goes on; a signal ends it.

    Args:
        name: What is trained, for those who wait.

    Returns:
        The place; None on the CPU, where any number can be trained at a time.

    Raises:
        ParameterError: ``CONVDEPTH_DEVICE`` or ``CONVDEPTH_SLOTS_PER_GPU`` is wrong.
        MachineError: There has to be a GPU, and is none, or the locks cannot be written.
    """
    slots = list_slots(choose_gpus().gpus)
    if not slots:
        return None
    if (held := _take_free(slots, name)) is None:
        print(f"{name}: waits for a GPU: {'; '.join(map(describe, slots))}", flush=True)
        while (held := _take_free(slots, name)) is None:
            time.sleep(POLL_SECONDS)
        print(f"{name}: goes on, on {held.slot.label}", flush=True)
    return held


def list_slots(gpus: Sequence[Gpu]) -> list[Slot]:
    """List the places on some GPUs: the first of each, then the second of each, and so on.

    Args:
        gpus: The GPUs.

    Raises:
        ParameterError: ``CONVDEPTH_SLOTS_PER_GPU`` is no positive integer.
    """
    setting = os.environ.get(SLOTS_VARIABLE) or "1"
    if not (setting.isdecimal() and int(setting) >= 1):
        raise ParameterError(
            f"{SLOTS_VARIABLE}: expected an integer of at least 1, got {setting!r}"
        )
    folder = _folder()
    return [
        Slot(gpu, number, folder / f"{gpu.uuid.replace('/', '_')}-{number}.lock")
        for number in range(1, int(setting) + 1)
        for gpu in gpus
    ]


def describe(slot: Slot) -> str:
    """Say who holds a slot, or that it is free.

    Args:
        slot: The slot.

    Raises:
        MachineError: Its file cannot be read.
    """
    try:
        holder = describe_holder(slot.path)
    except OSError as error:
        raise _unusable(slot.path, error) from error
    return f"{slot.label} is free" if holder is None else f"{slot.label} is in use by {holder}"


def _take_free(slots: Sequence[Slot], name: str) -> HeldSlot | None:
    for slot in slots:
        try:
            _create_folder(slot.path.parent)
            with _open_to_all():
                descriptor = try_lock(slot.path, name)
        except OSError as error:
            raise _unusable(slot.path, error) from error
        if descriptor is not None:
            return HeldSlot(slot, name, descriptor)
    return None


def _folder() -> Path:
    setting = os.environ.get(LOCKS_VARIABLE)
    return Path(setting) if setting else Path(tempfile.gettempdir()) / "convdepth-devices"


def _create_folder(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _open_to_all():
        folder.mkdir(mode=0o1777, exist_ok=True)  # each may remove only their own files


@contextlib.contextmanager
def _open_to_all() -> Iterator[None]:
    """Create files and folders with the very permissions that are asked for."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def _unusable(path: Path, error: OSError) -> MachineError:
    return MachineError(
        f"{path}: the lock of a GPU cannot be used: {error.strerror or error}. Set "
        f"{LOCKS_VARIABLE} to a folder that all who train on this machine can write to."
    )

"""Checkpoints: what an interrupted training needs to end with the bytes of an uninterrupted one.

A folder holds the checkpoints of one network. In it each *fingerprint*, which is all that the
result depends on, has a folder of its own, so that a checkpoint never serves another training,
and going back to former parameters finds their checkpoints again. Clones may share the folder: what
two equal trainings write is equal, too. A checkpoint is an archive of
arrays, and a manifest that is written after it and has its digest: without a manifest that fits,
it does not count.
"""

import contextlib
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convdepth.core.errors import MachineError
from convdepth.core.files import write_bytes, write_json
from convdepth.training.fingerprint import differences

GENERATIONS = 2
"""How many checkpoints of a training are kept: if the newest is damaged, the one before serves."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class State:
    """A training between two epochs.

    Attributes:
        arrays: Weights and the optimizer's state, by name.
        history: One row for each epoch that is done, the first one first.
    """

    arrays: Arrays
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Unfinished:
    """A checkpoint that waits for its training to go on.

    Attributes:
        path: Its manifest.
        epoch: The last one that is done, counted from 1.
        bytes: Size of all checkpoints of that training.
        modified: When it was written, in seconds since 1970.
        fingerprint: What its training depends on.
    """

    path: Path
    epoch: int
    bytes: int
    modified: float
    fingerprint: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one training."""

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any]) -> None:
        """Name the training; nothing is read or written yet.

        Args:
            folder: Holds the checkpoints of the network, also those of other fingerprints.
            fingerprint: What `fingerprint.describe_training` gives.
        """
        text = json.dumps(fingerprint, sort_keys=True)
        self.root, self.fingerprint = folder, json.loads(text)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]

    def save(self, state: State) -> None:
        """Keep a state; of the former ones, only the last stays.

        Args:
            state: After the last epoch in its history.

        Raises:
            MachineError: A file cannot be written; the former checkpoints are as they were.
        """
        try:
            self._write(state)
        except MachineError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            # The same training in another clone has come to its end, and cleared the folder.
            self._write(state)
        for old in _epochs(self.folder):
            if old <= len(state.history) - GENERATIONS:
                _remove(self.folder, old)

    def restore(self, shapes: Arrays) -> tuple[State | None, list[str]]:
        """Read the newest state that is whole.

        Args:
            shapes: Arrays of the names, shapes and dtypes that the state must have.

        Returns:
            The state, or None if there is none; and what there is to say of checkpoints that
            were not used, a line each.
        """
        said: list[str] = []
        for epoch in sorted(_epochs(self.folder), reverse=True):
            try:
                return self._read(epoch, shapes), said
            except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
                said.append(f"the checkpoint of epoch {epoch} is not used: {error}")
        if not said:
            said += self._explain_others()
        return None, said

    def clear(self) -> None:
        """Delete the checkpoints of this training, which has come to its end."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another clone keeps checkpoints there, or removed it
            self.root.rmdir()

    def _write(self, state: State) -> None:
        epoch = len(state.history)
        archive, manifest = _paths(self.folder, epoch)
        content = _pack(state.arrays)
        write_bytes(archive, content)
        entries = {
            "epoch": epoch,
            "sha256": hashlib.sha256(content).hexdigest(),
            "fingerprint": self.fingerprint,
            "history": state.history,
        }
        write_json(manifest, entries)

    def _read(self, epoch: int, shapes: Arrays) -> State:
        archive, manifest = _paths(self.folder, epoch)
        entries = json.loads(manifest.read_bytes())
        if entries["fingerprint"] != self.fingerprint or len(entries["history"]) != epoch:
            raise ValueError(f"{manifest}: belongs to another training")
        content = archive.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != entries["sha256"]:
            raise ValueError(f"{archive}: SHA-256 differs: expected {entries['sha256']}, {digest}")
        arrays = _unpack(content)
        _require_equal_shapes(archive, arrays, shapes)
        return State(arrays, entries["history"])

    def _explain_others(self) -> Iterator[str]:
        for other in unfinished(self.root):
            differing = ", ".join(differences(other.fingerprint, self.fingerprint))
            yield (
                f"the checkpoint of epoch {other.epoch} in {other.path.parent} is not used: it "
                f"belongs to a training with other {differing}"
            )


def unfinished(folder: Path) -> list[Unfinished]:
    """List the trainings of a network that were interrupted, with their newest checkpoint.

    Args:
        folder: Holds the checkpoints of the network. It need not exist.

    Returns:
        One entry for each training whose newest manifest can be read, in order of their folders.
    """
    found = []
    for manifest in filter(None, map(_newest_manifest, sorted(folder.glob("*/")))):
        try:
            entries = json.loads(manifest.read_bytes())
            size = sum(path.stat().st_size for path in manifest.parent.iterdir())
            epoch, fingerprint = int(entries["epoch"]), dict(entries["fingerprint"])
            modified = manifest.stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found.append(Unfinished(manifest, epoch, size, modified, fingerprint))
    return found


def _paths(folder: Path, epoch: int) -> tuple[Path, Path]:
    stem = f"epoch-{epoch:04}"
    return folder / f"{stem}.npz", folder / f"{stem}.json"


def _epochs(folder: Path) -> list[int]:
    """List the epochs of which there is a manifest, in ascending order."""
    numbers = (path.stem.removeprefix("epoch-") for path in folder.glob("epoch-*.json"))
    return sorted(int(number) for number in numbers if number.isdecimal())


def _newest_manifest(folder: Path) -> Path | None:
    epochs = _epochs(folder)
    return _paths(folder, epochs[-1])[1] if epochs else None


def _remove(folder: Path, epoch: int) -> None:
    archive, manifest = _paths(folder, epoch)
    manifest.unlink(missing_ok=True)  # first: without it the archive does not count
    archive.unlink(missing_ok=True)


def _pack(arrays: Arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def _unpack(content: bytes) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _require_equal_shapes(path: Path, arrays: Arrays, shapes: Arrays) -> None:
    kinds = [{name: (a.shape, a.dtype) for name, a in each.items()} for each in (arrays, shapes)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"{path}: expected the arrays {kinds[1]}, got {kinds[0]}")

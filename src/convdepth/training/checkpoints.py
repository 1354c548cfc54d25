"""Checkpoints: an interrupted training resumes and ends with the bytes of an uninterrupted one.

    <folder>/<digest of the fingerprint>/epoch-0003.npz   weights and optimizer state
    <folder>/<digest of the fingerprint>/epoch-0003.json  manifest: history, fingerprint, SHA-256

The fingerprint holds all that a training's result depends on, so a checkpoint never serves another
training. The manifest is written last; an archive without one does not count. Clones may share a
folder, since equal trainings write equal files.
"""

import contextlib
import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convdepth.config.architecture import Architecture
from convdepth.config.recipe import Train
from convdepth.core.errors import MachineError
from convdepth.core.files import write_bytes, write_json

if TYPE_CHECKING:  # `convdepth doctor` lists checkpoints without TensorFlow
    from convdepth.models.backend import keras

GENERATIONS = 2
"""If the newest checkpoint is damaged, the one before serves."""

History = list[dict[str, float]]
"""One row for each finished epoch, the first one first."""

_DAMAGED = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


class Checkpoints:
    """The checkpoints of one training; ``root`` holds all checkpoints of a network."""

    def __init__(self, root: Path, fingerprint: Mapping[str, Any]) -> None:
        text = json.dumps(fingerprint, sort_keys=True)
        self.root, self.fingerprint = root, json.loads(text)
        self.folder = root / hashlib.sha256(text.encode()).hexdigest()[:16]

    def resume(self, trainer: "keras.Model") -> tuple[History, list[str]]:
        """Set a compiled model, whose optimizer is built, to the newest undamaged checkpoint.

        Return the history up to it, empty if there is none, and why others are not used.
        """
        variables, unused = _variables(trainer), []
        for epoch in reversed(_epochs(self.folder)):
            try:
                arrays, history = self._read(epoch, variables)
            except _DAMAGED as error:
                unused.append(f"the checkpoint of epoch {epoch} is not used: {error}")
            else:
                for name, variable in variables.items():
                    variable.assign(arrays[name])
                return history, unused
        others = [
            f"the checkpoint of epoch {other.epoch} in {other.path.parent} is not used: it is of "
            f"a training with other {', '.join(differences(other.fingerprint, self.fingerprint))}"
            for other in unfinished(self.root)
        ]
        return [], unused or others

    def save(self, trainer: "keras.Model", history: History) -> None:
        """Write a checkpoint after the last epoch of a history; keep two `GENERATIONS`."""
        try:
            self._write(trainer, history)
        except MachineError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            # The same training ended in another clone, which deleted the folder.
            self._write(trainer, history)
        for epoch in _epochs(self.folder):
            if epoch <= len(history) - GENERATIONS:
                _remove(self.folder, epoch)

    def clear(self) -> None:
        """Delete the checkpoints of this training."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another clone writes there, or removed it
            self.root.rmdir()

    def _write(self, trainer: "keras.Model", history: History) -> None:
        archive, manifest = _paths(self.folder, len(history))
        content = io.BytesIO()
        arrays = {name: np.asarray(each) for name, each in _variables(trainer).items()}
        np.savez(content, allow_pickle=False, **arrays)
        write_bytes(archive, content.getvalue())
        entries = {
            "epoch": len(history),
            "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
            "fingerprint": self.fingerprint,
            "history": history,
        }
        write_json(manifest, entries)

    def _read(self, epoch: int, variables: Mapping[str, Any]) -> tuple[dict[str, Any], History]:
        archive, manifest = _paths(self.folder, epoch)
        entries = json.loads(manifest.read_bytes())
        if entries["fingerprint"] != self.fingerprint or len(entries["history"]) != epoch:
            raise ValueError(f"{manifest}: belongs to another training")
        content = archive.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != entries["sha256"]:
            raise ValueError(f"{archive}: SHA-256 is {digest}, expected {entries['sha256']}")
        with np.load(io.BytesIO(content), allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
        found, expected = _kinds(arrays), _kinds(variables)
        if found != expected:
            raise ValueError(f"{archive}: holds the arrays {found}, expected {expected}")
        return arrays, entries["history"]


class Unfinished(NamedTuple):
    """An interrupted training, by the manifest of its newest checkpoint."""

    path: Path
    epoch: int
    fingerprint: Mapping[str, Any]


def unfinished(root: Path) -> list[Unfinished]:
    """List the interrupted trainings in a network's ``root`` whose newest manifest is readable."""
    found = []
    for folder in sorted(root.glob("*/")):
        with contextlib.suppress(*_DAMAGED, IndexError):
            _, manifest = _paths(folder, _epochs(folder)[-1])
            entries = json.loads(manifest.read_bytes())
            found.append(Unfinished(manifest, int(entries["epoch"]), dict(entries["fingerprint"])))
    return found


def describe_training(
    architecture: Architecture,
    recipe: Train,
    data: Sequence[Path],
    code: str,
    numeric_class: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the fingerprint of a training, as JSON has it.

    ``data`` are the files of the normalized arrays, ``code`` is a `code_digests.Code.digest`, and
    ``numeric_class`` is from `numeric_class.describe_numeric_class`.
    """
    digest = hashlib.sha256()
    for path in data:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return {
        "parameters": {
            "architecture": architecture.model_dump(mode="json"),
            "train": recipe.model_dump(mode="json"),
        },
        "data": digest.hexdigest(),
        "code": code,
        "numeric class": dict(numeric_class),
    }


def differences(
    there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    """Yield what differs, such as ``data`` or ``parameters.train.seed: 2 there, 1 here``."""
    for key in sorted({*there, *here}):
        one, other = there.get(key), here.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from differences(one, other, f"{prefix}{key}.")
        elif one != other:
            values = f": {json.dumps(one)} there, {json.dumps(other)} here" if prefix else ""
            yield f"{prefix}{key}{values}"


def _paths(folder: Path, epoch: int) -> tuple[Path, Path]:
    stem = f"epoch-{epoch:04}"
    return folder / f"{stem}.npz", folder / f"{stem}.json"


def _epochs(folder: Path) -> list[int]:
    numbers = (path.stem.removeprefix("epoch-") for path in folder.glob("epoch-*.json"))
    return sorted(int(number) for number in numbers if number.isdecimal())


def _remove(folder: Path, epoch: int) -> None:
    archive, manifest = _paths(folder, epoch)
    manifest.unlink(missing_ok=True)  # first: without it the archive does not count
    archive.unlink(missing_ok=True)


def _variables(trainer: "keras.Model") -> dict[str, Any]:
    """Name all that an epoch changes; random states are set anew before each epoch."""
    variables = [*trainer.weights, *trainer.optimizer.variables]
    # Names alone are not unique, and a path counts the optimizers that the process has built.
    return {f"{number:03} {variable.name}": variable for number, variable in enumerate(variables)}


def _kinds(arrays: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (tuple(array.shape), str(array.dtype)) for name, array in arrays.items()}

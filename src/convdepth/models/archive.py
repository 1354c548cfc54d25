"""`.keras` files whose bytes depend on their content alone, and from which only weights are read.

Keras puts three things into the archive that differ from run to run: the date, each member's
time, and memory addresses as the ids of shared objects. Here it also gets the SHA-256 of each
member: zip's own checksum has 32 bits, and HDF5 has none by default.
"""

import contextlib
import hashlib
import io
import itertools
import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convdepth.core.errors import IntegrityError
from convdepth.core.files import atomic_path, explained_temporary_folder, write_bytes
from convdepth.models.backend import keras

WEIGHTS = "model.weights.h5"
"""The member that Keras keeps the weights in."""

DIGESTS = "sha256.json"
"""The member with the SHA-256 of each other one, by its name; Keras does not look at it."""

MEMBERS = frozenset({"config.json", "metadata.json", WEIGHTS, DIGESTS})

_BYTES_PER_PARAMETER = 4
"""Weights are float32."""

_ALLOWANCE = 4 * 1024 * 1024
"""What an archive may hold beside the numbers themselves: names, shapes, the configuration."""

# What zipfile, zlib and json let through from an archive that is damaged, encrypted or made up.
_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can hold."""


def save_network(network: keras.Model, path: Path) -> None:
    """Write a network as a ``.keras`` archive, whole or not at all.

    Args:
        network: A model that is not compiled, so that the archive holds no optimizer.
        path: Where to write.

    Raises:
        MachineError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        network.save(temporary)
        temporary.write_bytes(canonical(temporary.read_bytes()))


def canonical(archive: bytes) -> bytes:
    """Rewrite a ``.keras`` archive without what differs from run to run.

    Args:
        archive: The bytes of a ``.keras`` file.

    Returns:
        The bytes of an equivalent one: fixed times, members in order of their names, shared
        objects numbered as they come, no date; with the SHA-256 of each member.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        members = {name: _canonical_member(name, old.read(name)) for name in old.namelist()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    members[DIGESTS] = json.dumps(digests, sort_keys=True).encode()
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as new:
        for name in sorted(members):
            new.writestr(zipfile.ZipInfo(name, _EARLIEST), members[name])
    return result.getvalue()


def _canonical_member(name: str, content: bytes) -> bytes:
    if not name.endswith(".json"):
        return content
    entries = json.loads(content)
    entries.pop("date_saved", None)
    _renumber(entries, {}, itertools.count(1))
    return json.dumps(entries, sort_keys=True).encode()


def _renumber(entry: Any, numbers: dict[int, int], counter: "itertools.count[int]") -> None:
    if isinstance(entry, dict):
        if "shared_object_id" in entry:
            address = entry["shared_object_id"]
            if address not in numbers:
                numbers[address] = next(counter)
            entry["shared_object_id"] = numbers[address]
        entry = list(entry.values())
    if isinstance(entry, list):
        for value in entry:
            _renumber(value, numbers, counter)


def load_weights(network: keras.Model, path: Path) -> None:
    """Read the weights of a ``.keras`` archive into a network that is already built.

    Only the weights are taken, after the SHA-256 of every member was checked. The layers that the
    archive describes are compared with those of the network by their names and kinds, and never
    built: nothing in it can run.

    Args:
        network: A model of the same layers.
        path: An archive that `save_network` wrote.

    Raises:
        IntegrityError: The file is missing, damaged, no such archive, or of other layers.
        MachineError: There is no room for a temporary copy of the weights.
    """
    members = _read_members(path, network.count_params())
    _require_equal_layers(path, members["config.json"], network)
    with _as_file(members[WEIGHTS]) as copy:
        try:
            network.load_weights(copy)
        except (OSError, KeyError) as error:
            raise _not_ours(path, error) from error
        except ValueError as error:
            raise _does_not_fit(path, error) from error


def _read_members(path: Path, parameters: int) -> dict[str, bytes]:
    """Read the members, if all is as `save_network` writes it."""
    limit = parameters * _BYTES_PER_PARAMETER + _ALLOWANCE
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if sorted(names) != sorted(MEMBERS):
                raise ValueError(f"its members are {', '.join(names) or 'none'}")
            # The sizes that the archive itself states are not relied on.
            members = {name: _read_at_most(archive, name, limit) for name in names}
        expected = dict(json.loads(members.pop(DIGESTS)))
    except _UNREADABLE as error:
        raise _not_ours(path, error) from error
    for name, content in members.items():
        digest = hashlib.sha256(content).hexdigest()
        if digest != expected.get(name):
            reason = f"{name}: SHA-256 differs: expected {expected.get(name)}, got {digest}"
            raise _not_ours(path, reason)
    return members


def _require_equal_layers(path: Path, config: bytes, network: keras.Model) -> None:
    """Refuse layers that are not those of the network, such as one that holds code."""
    try:
        described = [
            (str(layer["class_name"]), str(layer["config"]["name"]))
            for layer in json.loads(config)["config"]["layers"]
        ]
    except (*_UNREADABLE, RecursionError) as error:
        raise _not_ours(path, f"config.json: {error}") from error
    expected = [("InputLayer", network.inputs[0].name)]
    expected += [(type(layer).__name__, layer.name) for layer in network.layers]
    if described != expected:
        found = ", ".join(
            f"{kind} {name}" for kind, name in described if (kind, name) not in expected
        )
        raise _does_not_fit(path, f"it describes {found or 'fewer layers'}")


@contextlib.contextmanager
def _as_file(weights: bytes) -> Iterator[Path]:
    """Give the weights as a file, since Keras reads no other; it goes with the block."""
    with explained_temporary_folder():
        folder = tempfile.TemporaryDirectory()
    with folder as name:
        copy = Path(name) / WEIGHTS
        write_bytes(copy, weights)
        yield copy


def _does_not_fit(path: Path, reason: object) -> IntegrityError:
    return IntegrityError(
        f"{path}: its weights do not fit the architecture in params.yaml: {reason}. "
        f"Run `dvc repro`."
    )


def _not_ours(path: Path, reason: object) -> IntegrityError:
    return IntegrityError(
        f"{path}: expected the .keras archive of a trained network, as this project writes it: "
        f"{reason}. `convdepth verify` says what mends it, or `dvc repro --force` trains it again."
    )


def _read_at_most(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    with archive.open(name) as member:
        content = member.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{name}: expected at most {limit:,} bytes, got more")
    return content

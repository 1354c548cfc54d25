"""`.keras` archives: equal networks give equal bytes, and reading one runs nothing in it.

Keras writes the date and the time of each zip member. `save_network` fixes both, and adds the
SHA-256 of each member: zip's checksum has 32 bits, and HDF5 has none by default.
"""

import hashlib
import io
import json
import tempfile
import zipfile
import zlib
from pathlib import Path

from convdepth.config.architecture import Architecture
from convdepth.core.errors import IntegrityError, MachineError
from convdepth.core.files import atomic_path, explained_temporary_folder, write_bytes
from convdepth.models.backend import keras
from convdepth.models.build import build_network
from convdepth.models.layers import EVALUATED

WEIGHTS = "model.weights.h5"

DIGESTS = "sha256.json"
"""Maps each other member to its SHA-256; Keras ignores it."""

MEMBERS = {"config.json", "metadata.json", WEIGHTS, DIGESTS}

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip archive can hold

_BYTES_PER_PARAMETER = 4  # float32
_ALLOWANCE = 4 * 1024 * 1024
"""Largest size in bytes of a member beside its parameters: names, shapes, the configuration."""

# What zipfile, zlib and json raise for archives that are damaged, encrypted or forged.
_UNREADABLE = (
    *(OSError, EOFError, KeyError, RecursionError, RuntimeError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)


def save_network(network: keras.Model, path: Path) -> None:
    """Write a network that was never compiled as a ``.keras`` archive, whole or not at all."""
    with atomic_path(path) as temporary:
        network.save(temporary)
        with zipfile.ZipFile(temporary) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        for name in ("config.json", "metadata.json"):
            entries = json.loads(members[name])
            entries.pop("date_saved", None)
            members[name] = json.dumps(entries, sort_keys=True).encode()
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
        members[DIGESTS] = json.dumps(digests, sort_keys=True).encode()
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name in sorted(members):
                archive.writestr(zipfile.ZipInfo(name, _EARLIEST), members[name])
        temporary.write_bytes(content.getvalue())


def load_network(
    architecture: Architecture, path: Path, precision: str = "float32"
) -> keras.Sequential:
    """Return a network with the weights of an archive, see `build_network` and `load_weights`."""
    network = build_network(architecture, precision, kinds=EVALUATED)
    load_weights(network, path)
    return network


def load_weights(network: keras.Model, path: Path) -> None:
    """Read the weights of an archive that `save_network` wrote into a network of the same layers.

    The digests of all members are checked. The layers that the archive describes are compared by
    name and class, and never built: a forged archive cannot run code.
    """
    try:
        members = _read_members(path, network.count_params())
        _require_layers(members["config.json"], network)
        with explained_temporary_folder():
            folder = tempfile.TemporaryDirectory()
        with folder as name:
            copy = Path(name) / WEIGHTS  # Keras reads weights from files only
            write_bytes(copy, members[WEIGHTS])
            network.load_weights(copy)
    except MachineError:
        raise
    except _UNREADABLE as error:
        raise IntegrityError(
            f"{path}: expected an archive that this project wrote for the architecture in "
            f"params.yaml: {error}. Run `convdepth verify` for the remedy, or `dvc repro --force` "
            f"to train again."
        ) from error


def _read_members(path: Path, parameters: int) -> dict[str, bytes]:
    limit = parameters * _BYTES_PER_PARAMETER + _ALLOWANCE
    members = {}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if sorted(names) != sorted(MEMBERS):
            raise ValueError(f"its members are {', '.join(names) or 'none'}")
        for name in names:
            with archive.open(name) as member:  # the sizes that the archive states may be forged
                members[name] = member.read(limit + 1)
            if len(members[name]) > limit:
                raise ValueError(f"{name}: larger than {limit:,} bytes")
    expected = dict(json.loads(members.pop(DIGESTS)))
    for name, content in members.items():
        digest = hashlib.sha256(content).hexdigest()
        if digest != expected.get(name):
            raise ValueError(f"{name}: SHA-256 is {digest}, expected {expected.get(name)}")
    return members


def _require_layers(config: bytes, network: keras.Model) -> None:
    try:
        layers = json.loads(config)["config"]["layers"]
        found = [(str(layer["class_name"]), str(layer["config"]["name"])) for layer in layers]
    except _UNREADABLE as error:
        raise ValueError(f"config.json: {error}") from error
    expected = [("InputLayer", network.inputs[0].name)]
    expected += [(type(layer).__name__, layer.name) for layer in network.layers]
    if found != expected:
        strange = [f"{kind} {name}" for kind, name in found if (kind, name) not in expected]
        raise ValueError(f"it describes {', '.join(strange) or 'fewer layers'}")

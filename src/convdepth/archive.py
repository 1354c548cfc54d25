"""`.keras` files whose bytes depend on their content alone, and from which only weights are read.

Keras puts three things into the archive that differ from run to run: the date, each member's
time, and memory addresses as the ids of shared objects.
"""

import io
import itertools
import json
import zipfile
from pathlib import Path
from typing import Any

from convdepth.errors import IntegrityError
from convdepth.files import atomic_path
from convdepth.runtime import keras

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
        objects numbered as they come, no date.
    """
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(result, "w") as new:
        for name in sorted(old.namelist()):
            new.writestr(zipfile.ZipInfo(name, _EARLIEST), _canonical_member(name, old.read(name)))
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

    The layers that the archive describes are not looked at, so nothing in it can run.

    Args:
        network: A model of the same shapes.
        path: The archive.

    Raises:
        IntegrityError: The file is missing, damaged, no such archive, or of other shapes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise IntegrityError(f"{path}: {damaged}: its checksum differs; train it again")
        network.load_weights(path)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise IntegrityError(
            f"{path}: expected the .keras archive of a trained network: {error}. "
            f"Run `dvc repro` or `dvc checkout`."
        ) from error
    except ValueError as error:
        raise IntegrityError(
            f"{path}: its weights do not fit the architecture in params.yaml: {error}. "
            f"Run `dvc repro`."
        ) from error

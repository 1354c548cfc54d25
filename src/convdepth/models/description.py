"""What a `.keras` archive says of its network, read without Keras and without running anything.

So a model can be used without the ``params.yaml`` that it was trained with.
"""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from convdepth.config.architecture import Architecture
from convdepth.core.errors import DataError
from convdepth.models.cpu import PORTABLE_INSTRUCTIONS, cpu_flags

_MALFORMED = (
    *(AttributeError, EOFError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)

LIMIT = 1024 * 1024
"""Largest size in bytes of an archive's configuration; those of seven blocks have 20,000."""


class Description(NamedTuple):
    """The architecture of a saved network, and the precision in which it computes."""

    architecture: Architecture
    precision: str

    @property
    def is_portable(self) -> bool:
        """Whether this CPU can give the answers of a portable evaluation, bit by bit."""
        return self.precision == "float32" and set(PORTABLE_INSTRUCTIONS) <= set(cpu_flags())


def describe_archive(path: Path) -> Description:
    """Read the description of an archive that `archive.save_network` wrote.

    `archive.load_network` then checks its digests, and the weights against the architecture.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as member:
            layers = json.loads(member.read(LIMIT))["config"]["layers"]
        sections = _read_sections({layer["config"]["name"]: layer["config"] for layer in layers})
        precision = str(layers[1]["config"]["dtype"]["config"]["name"])
        return Description(Architecture.model_validate(sections), precision)
    except _MALFORMED as error:
        raise DataError(
            f"{path}: expected a .keras file that this project wrote: {error}. `convdepth models` "
            f"lists models; `convdepth verify` finds damaged ones."
        ) from error


def _read_sections(layers: dict[str, Any]) -> dict[str, Any]:
    """Turn Keras's layers by name into an architecture's sections; the reverse of `build`."""
    sections: dict[str, Any] = {}
    for name, config in layers.items():
        block, _, part = name.partition("_")
        section = sections.setdefault(block, {"pool_size": 1} if block != "head" else {})
        if part == "pool":
            section["pool_size"] = config["pool_size"][0]
        elif part == "dropout":
            section["dropout"] = config["rate"]
        elif part == "dense":
            section["units"] = config["units"]
        elif part.endswith("_normalization"):
            section["batch_normalization"] = True
        elif "kernel_size" in config:
            kept = {key: config[key] for key in ("filters", "padding")}
            section[part] = {**kept, "kernel_size": config["kernel_size"][0]}
    return {key: value for key, value in sections.items() if key.startswith(("block", "head"))}

"""Put a preset of ``params.yaml`` in the place of the recipe there, as a user would by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convdepth.config.params import read_params
from convdepth.core.errors import ParameterError
from convdepth.core.files import write_bytes
from convdepth.core.text import suggest
from pipelines.experiments.grid import PARAMS, Value, set_values


def apply_preset(name: str, folder: Path = Path()) -> dict[str, tuple[Value, Value]]:
    """Put the values of a preset into the section ``train`` of ``params.yaml``.

    All else in the file, comments too, stays as it is.

    Args:
        name: A key of ``presets``.
        folder: The root of the project.

    Returns:
        For each dotted key whose value has changed, the former one and the new one.

    Raises:
        ParameterError: There is no such preset, or the file is wrong or cannot be changed.
        MachineError: The file cannot be written; it is as it was.
    """
    path = folder / PARAMS
    params = read_params(path)
    if name not in params.presets:
        known = list(params.presets)
        raise ParameterError(
            f"{path}: presets.{name}: no such preset; there are {', '.join(known) or 'none'}"
            f"{suggest(name, known)}"
        )
    former = flatten(params.train.model_dump())
    # What a preset does not give stays as it is.
    wanted = flatten(params.presets[name].model_dump(exclude_unset=True))
    changes = {
        f"train.{key}": (former[key], value)
        for key, value in wanted.items()
        if former[key] != value
    }
    if changes:
        new = {key: value for key, (_, value) in changes.items()}
        write_bytes(path, set_values(path.read_bytes().decode(), new).encode())
    return changes


def flatten(section: Mapping[str, Any]) -> dict[str, Value]:
    """Give the single values of a section by dotted key.

    Args:
        section: Values, and sections in it.
    """
    flat: dict[str, Value] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{below}": each for below, each in flatten(value).items()}
        else:
            flat[key] = value
    return flat

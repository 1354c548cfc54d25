"""Put a preset of ``params.yaml`` in the place of the recipe there, as a user would by hand."""

from pathlib import Path

from convdepth.errors import ParameterError
from convdepth.files import write_bytes
from convdepth.params import read_params
from convdepth.wording import suggest
from pipelines.grid import PARAMS, Value, set_values


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
    changes = {
        f"train.{key}": (getattr(params.train, key), value)
        for key, value in params.presets[name]
        if getattr(params.train, key) != value
    }
    if changes:
        new = {key: value for key, (_, value) in changes.items()}
        write_bytes(path, set_values(path.read_bytes().decode(), new).encode())
    return changes

"""Copy a preset of ``params.yaml`` into the recipe ``train`` there, as a user would by hand."""

from pathlib import Path

from convdepth.config.params import read_params
from convdepth.core.errors import ParameterError
from convdepth.core.files import write_bytes
from convdepth.core.text import suggest
from pipelines.experiments.grid import PARAMS, Value, flatten, set_values


def apply_preset(name: str, folder: Path = Path()) -> dict[str, tuple[Value, Value]]:
    """Put the values of ``presets.<name>`` into ``train``; all else, comments too, stays.

    Returns:
        The former and the new value of each dotted key whose value has changed.

    Raises:
        ParameterError: There is no such preset, or the file is wrong.
        MachineError: The file cannot be written; it is unchanged.
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
    preset = params.presets[name].model_dump(exclude_unset=True)
    changes = {
        f"train.{key}": (former[key], value)
        for key, value in flatten(preset).items()
        if former[key] != value
    }
    if changes:
        new = {key: value for key, (_, value) in changes.items()}
        write_bytes(path, set_values(path.read_bytes().decode(), new).encode())
    return changes

"""Copy a preset of ``params.yaml`` into the recipe ``train`` there, as a user would by hand."""

from dvc.utils.flatten import flatten

from convdepth.config.params import read_params
from convdepth.core.errors import ParameterError
from convdepth.core.files import write_bytes
from convdepth.core.text import suggest
from pipelines.experiments.grid import PARAMS, set_values


def apply_preset(name: str) -> None:
    """Put the values of ``presets.<name>`` into ``train``, keep all else, and print the changes."""
    params = read_params(PARAMS)
    if name not in params.presets:
        known = list(params.presets)
        raise ParameterError(
            f"{PARAMS}: presets.{name}: no such preset; there are {', '.join(known) or 'none'}"
            f"{suggest(name, known)}"
        )
    former = flatten({"train": params.train.model_dump()})
    preset = flatten({"train": params.presets[name].model_dump(exclude_unset=True)})
    changes = {key: value for key, value in preset.items() if former[key] != value}
    if changes:
        write_bytes(PARAMS, set_values(PARAMS.read_bytes().decode(), changes).encode())
        for key, value in changes.items():
            print(f"{PARAMS}: {key}: {former[key]} -> {value}")
        print("`git restore params.yaml` brings the former recipe back, and its results with it.")

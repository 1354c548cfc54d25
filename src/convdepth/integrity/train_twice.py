"""`convdepth verify --twice`: train each network twice, and compare the bytes."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from ruamel.yaml import YAML

from convdepth.config.params import read_architecture, read_params
from convdepth.core.errors import IntegrityError
from convdepth.core.hashes import hash_files
from convdepth.integrity.training_process import (
    HISTORY,
    MODEL,
    Training,
    compare_arrays,
    run_trainings,
)
from convdepth.workspace.dvc import planned_command, recorded_outputs

RUNS = {  # environment variables that must not matter, for each of the two runs
    "first": {"PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland"},
    "second": {"PYTHONHASHSEED": "2", "TZ": "America/Caracas"},
}

OTHERS = "others, of other parameters, epochs, code, data or machine"


def print_repetitions(
    names: Sequence[str], params: Path, epochs: int | None, project: Path = Path()
) -> None:
    """Train networks twice each, ``epochs`` instead of ``train.epochs``, and print the results."""
    for name in names:  # a wrong name must not be found after an hour
        read_architecture(name, params)
    unequal = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="convdepth-twice-") as folder:
            first, second = _train(name, params, epochs, project, Path(folder))
            if differences := compare(first, second):
                unequal.append(name)
                print(f"{name}: trained twice, {'; '.join(differences)}", flush=True)
                continue
            recorded = "the same" if _is_recorded(first, project) else OTHERS
            print(f"{name}: trained twice, equal; dvc.lock records {recorded}", flush=True)
    if unequal:
        raise IntegrityError(
            f"{', '.join(unequal)}: equal parameters, data and software gave other bytes, expected "
            "equal ones. Look at the first layer that differs, and at the versions of TensorFlow "
            "and the driver."
        )


def compare(first: Training, second: Training) -> list[str]:
    """Return the first layer and the first line of the history that differ."""
    found = []
    if (first.folder / MODEL).read_bytes() != (second.folder / MODEL).read_bytes():
        layers = compare_arrays(_read_weights(first), _read_weights(second))
        found.append(f"the models differ, first in {next(layers, 'other parts than weights')}")
    lines = [(each.folder / HISTORY).read_bytes().decode().split("\n") for each in (first, second)]
    differing = [pair for pair in zip(*lines, strict=True) if len(set(pair)) > 1]
    return found + [f"the histories differ: {pair}" for pair in differing[:1]]


def _train(
    name: str, params: Path, epochs: int | None, project: Path, folder: Path
) -> list[Training]:
    yaml = YAML()
    entries = yaml.load(params)
    entries["train"]["epochs"] = epochs or entries["train"]["epochs"]
    yaml.dump(entries, folder / params.name)
    command, used = planned_command(name, project), folder / params.name
    trainings = [
        Training(name, run, command, project, used, folder / run, variables)
        for run, variables in RUNS.items()
    ]
    list(run_trainings(trainings, read_params(used).train.threads))
    return trainings


def _read_weights(training: Training) -> dict[str, NDArray[Any]]:
    """Read the weights of each layer of a model, in the order of the layers."""
    # Slow to import, and needed only for a difference.
    from convdepth.models.archive import load_network  # noqa: PLC0415

    architecture = read_architecture(training.network, training.params)
    network = load_network(architecture, training.folder / MODEL)
    return {
        f"{layer.name} {weight.name}": weight.numpy()
        for layer in network.layers
        for weight in layer.weights
    }


def _is_recorded(training: Training, project: Path) -> bool:
    outputs = recorded_outputs(project)
    recorded = {out.md5 for out in outputs if out.stage == f"train@{training.network}"}
    contents = hash_files([training.folder / MODEL, training.folder / HISTORY])
    return all(content.md5 in recorded for content in contents.values())

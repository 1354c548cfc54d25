"""`convdepth verify --twice`: train each network twice, and compare the bytes."""

import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convdepth.config.params import read_params
from convdepth.core.errors import IntegrityError
from convdepth.core.hashes import hash_files
from convdepth.integrity.training_process import Training, run_trainings, write_params
from convdepth.workspace.dvc import recorded_outputs
from convdepth.workspace.lockfile import training_command

RUNS: Mapping[str, Mapping[str, str]] = {
    "first": {"PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland"},
    "second": {"PYTHONHASHSEED": "2", "TZ": "America/Caracas"},
}
"""The environment variables that must not matter, for each of the two runs."""


@dataclass(frozen=True)
class Repetition:
    """Result of training a network twice.

    Attributes:
        differences: A text for each file that differs; empty if the bytes are equal.
        is_recorded: Whether ``dvc.lock`` has the same digests; None if not comparable.
    """

    network: str
    differences: Sequence[str]
    is_recorded: bool | None

    def __str__(self) -> str:
        """Return one line for the terminal."""
        if self.differences:
            return f"{self.network}: trained twice, {'; '.join(self.differences)}"
        recorded = {
            True: "; dvc.lock records the same",
            False: "; dvc.lock records others, of other parameters, code, data or machine",
            None: "",
        }
        return f"{self.network}: trained twice, model and history equal{recorded[self.is_recorded]}"


def print_repetitions(
    names: Sequence[str], params: Path, epochs: int | None, project: Path = Path()
) -> None:
    """Train networks twice each, ``epochs`` instead of ``train.epochs``, and print the results.

    Raises:
        IntegrityError: The second training of a network gave other bytes.
        ConvdepthError: As `train_twice`.
    """
    for name in names:  # a wrong name must not be found after an hour
        training_command(name, project)
    unequal = []
    for name in names:
        repetition = train_twice(name, params, epochs, project)
        print(repetition, flush=True)
        unequal += [name] if repetition.differences else []
    if unequal:
        raise IntegrityError(
            f"{', '.join(unequal)}: equal parameters, data and software gave other bytes, expected "
            "equal ones. Look at the first layer that differs, and at the versions of TensorFlow "
            "and the driver."
        )


def train_twice(
    name: str, params: Path, epochs: int | None = None, project: Path = Path()
) -> Repetition:
    """Train a network twice in temporary folders with the command that ``dvc.lock`` records.

    Raises:
        ParameterError: A parameter is wrong, or no such network was trained.
        DataError: ``dvc.lock`` cannot be read.
        ConvdepthError: A training failed; the exit code is that of the training.
    """
    command, recipe = training_command(name, project), read_params(params).train
    with tempfile.TemporaryDirectory(prefix="convdepth-twice-") as temporary:
        folder = Path(temporary)
        used = write_params(params, epochs or recipe.epochs, folder / params.name)
        trainings = [
            Training(name, run, command, project, used, folder / run, variables)
            for run, variables in RUNS.items()
        ]
        list(run_trainings(trainings, recipe.threads))
        differences = compare(name, used, *trainings)
        is_recorded = None
        if not differences and epochs in (None, recipe.epochs):
            is_recorded = _is_recorded(trainings[0], project)
        return Repetition(name, differences, is_recorded)


def compare(name: str, params: Path, first: Training, second: Training) -> list[str]:
    """Compare the outputs of two trainings.

    Returns:
        The first layer whose weights differ and by how much, and the first line of the history.
    """
    found = []
    if first.model.read_bytes() != second.model.read_bytes():
        found.append(f"the models differ: {_first_layer(name, params, first, second)}")
    if first.history.read_bytes() != second.history.read_bytes():
        lines = [each.history.read_text("utf-8").splitlines() for each in (first, second)]
        pair = next((pair for pair in zip(*lines, strict=False) if len(set(pair)) > 1), "length")
        found.append(f"the histories differ: {pair}")
    return found


def _first_layer(name: str, params: Path, first: Training, second: Training) -> str:
    import numpy as np  # noqa: PLC0415  slow to import, and needed only for a difference

    from convdepth.config.params import read_architecture  # noqa: PLC0415
    from convdepth.models.archive import load_weights  # noqa: PLC0415
    from convdepth.models.build import build_network  # noqa: PLC0415

    networks = [build_network(read_architecture(name, params)) for _ in range(2)]
    for network, training in zip(networks, (first, second), strict=True):
        load_weights(network, training.model)
    for layer, other in zip(*(network.layers for network in networks), strict=True):
        pairs = list(zip(layer.get_weights(), other.get_weights(), strict=True))
        if any(not np.array_equal(one, two) for one, two in pairs):
            largest = max(float(np.abs(one - two).max()) for one, two in pairs)
            return f"{layer.name} is the first layer, by up to {largest:.3g}"
    members = [
        {(each.filename, each.CRC) for each in zipfile.ZipFile(training.model).infolist()}
        for training in (first, second)
    ]
    names = sorted({name for name, _ in members[0] ^ members[1]})
    return f"all weights are equal, the archives differ in {', '.join(names) or 'their order'}"


def _is_recorded(training: Training, project: Path) -> bool:
    outputs = recorded_outputs(project)
    recorded = {out.md5 for out in outputs if out.stage == f"train@{training.network}"}
    contents = hash_files([training.model, training.history])
    return all(content.md5 in recorded for content in contents.values())

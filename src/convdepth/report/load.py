"""All that the report shows, read and checked: what is missing or damaged is named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from convdepth.config.architecture import Architecture
from convdepth.config.params import Params, find_architecture, read_params
from convdepth.config.recipe import Train
from convdepth.core.errors import DataError
from convdepth.core.hashes import md5_of
from convdepth.data.arrays import Images, Labels, read_split
from convdepth.evaluation.metrics import Score, confusion_matrix, score
from convdepth.evaluation.notebook_record import Record, read_notebook
from convdepth.evaluation.results import (
    AllContrasts,
    Collapse,
    Contrasts,
    NetworkReading,
    Pair,
    Reading,
    Replicates,
    Result,
    SeedRun,
    TunedNetwork,
    TunedNetworks,
    Validation,
    read_history,
    read_predictions,
)

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
STUDIES = "dvc repro studies/dvc.yaml"
TUNED = "summary.json"
"""The file in the folder of the tuned networks that describes all of them."""

PICTURES = {"figures": ("confusion",), "pictures": ("kernels", "grad_cam")}
"""Which pictures of others the report shows, by the folder that they are in."""


@dataclass(frozen=True)
class Network:
    """All results of one network.

    Attributes:
        name: As in the parameters.
        place: Its place there, from 0, which gives its color.
        architecture: What it was built from.
        score: Of the pipeline's run.
        replicates: Of several seeds.
        tuned: Of several seeds, with what a tuning settled; none where nothing is.
        is_first_seed: Whether the first of these is the pipeline's run, epoch by epoch.
        confusion: ``(10, 10)``: images by label and by answer, of the pipeline's run.
        collapse: Of the trainings with scaled dropouts.
        reading: Its calibration.
        record: What the notebook recorded; none for a network that it does not have.
        model_md5: Of the model's file.
    """

    name: str
    place: int
    architecture: Architecture
    score: Score
    replicates: Replicates
    tuned: TunedNetwork | None
    is_first_seed: bool
    confusion: NDArray[np.int64]
    collapse: Collapse
    reading: NetworkReading
    record: Record | None
    model_md5: str

    @property
    def num_blocks(self) -> int:
        """The depth."""
        return len(self.architecture.blocks)


@dataclass(frozen=True)
class Results:
    """All that the report is made from.

    Attributes:
        networks: In the order of the parameters.
        contrasts: Each network against each other one, and against itself when tuned.
        reading: What they answer to the same images.
        validation: The rules for the data.
        train_images: How many training images there are.
        recipe: That of the networks that are not tuned.
        hardest: ``(n, 28, 28)``, float32, 0.0 to 1.0: the images of ``reading.hardest``.
        pictures: PNG files by name, see `PICTURES`.
    """

    networks: list[Network]
    contrasts: AllContrasts
    reading: Reading
    validation: Validation
    train_images: int
    recipe: Train
    hardest: NDArray[np.float32]
    pictures: dict[str, bytes]

    @property
    def num_images(self) -> int:
        """How many test images there are."""
        return self.networks[0].score.images


@dataclass(frozen=True)
class Sources:
    """Where everything is read from, see `report.main`."""

    validation: Path
    histories: Path
    models: Path
    predictions: Path
    normalized: Path
    figures: Path
    notebook: Path
    replicates: Path
    tuned: Path
    contrasts: Path
    collapse: Path
    reading: Path
    pictures: Path
    params: Path


def read_results(sources: Sources) -> Results:
    """Read and check all inputs.

    Args:
        sources: Where they are.

    Returns:
        The results of the networks in the parameters, whatever else lies in the folders.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: A file is missing or damaged, or does not belong to the others.
    """
    parameters = read_params(sources.params)
    images, labels = read_split(sources.normalized, "test")
    reading = _read(sources.reading, Reading, STUDIES, parameters)
    _require_networks(sources.reading, reading, parameters)
    contrasts = _read(sources.contrasts, AllContrasts, STUDIES, parameters)
    _require_pairs(sources.contrasts, contrasts.pairs, list(parameters.architectures))
    tuned = _read(sources.tuned / TUNED, TunedNetworks, STUDIES, parameters).networks
    _require_tuned(sources, contrasts, tuned)
    records = read_notebook(sources.notebook)
    networks = [
        _read_network(name, place, parameters, sources, labels, reading, records, tuned)
        for place, name in enumerate(parameters.architectures)
    ]
    _require_seeds(sources.contrasts, contrasts, networks)
    return Results(
        networks=networks,
        contrasts=contrasts,
        reading=reading,
        validation=_read(sources.validation, Validation, "dvc repro validate", parameters),
        train_images=len(read_split(sources.normalized, "train")[1]),
        recipe=parameters.train,
        hardest=_take_hardest(sources.reading, reading, images),
        pictures=_read_pictures(sources),
    )


def _read_network(
    name: str,
    place: int,
    parameters: Params,
    sources: Sources,
    labels: Labels,
    reading: Reading,
    records: Mapping[str, Record],
    tuned: Mapping[str, TunedNetwork],
) -> Network:
    replicates = _read(sources.replicates / f"{name}.json", Replicates, STUDIES, parameters)
    history = read_history(sources.histories, name)
    answers = read_predictions(sources.predictions, name, labels)
    return Network(
        name=name,
        place=place,
        architecture=find_architecture(name, parameters, sources.params),
        score=score(answers),
        replicates=replicates,
        tuned=tuned.get(name),
        is_first_seed=_is_run(history, replicates.runs[0]),
        confusion=confusion_matrix(answers),
        collapse=_read(sources.collapse / f"{name}.json", Collapse, STUDIES, parameters),
        reading=reading.networks[name],
        record=records.get(name),
        model_md5=md5_of(_read_bytes(sources.models / f"{name}.keras", f"dvc repro train@{name}")),
    )


_Kind = TypeVar("_Kind", bound=Result)


def _read(path: Path, kind: type[_Kind], command: str, parameters: Params) -> _Kind:
    """Read a result file; its mappings come in the order of the parameters."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        reason = str(error.strerror)
    except ValidationError as error:
        first = error.errors()[0]
        reason = ": ".join(
            part for part in (".".join(map(str, first["loc"])), first["msg"]) if part
        )
    raise DataError(f"{path}: cannot be read: {reason}. `{command}` writes it.")


def _read_bytes(path: Path, command: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}. `{command}` writes it."
        ) from error


def _is_run(history: pd.DataFrame, run: SeedRun) -> bool:
    curves: dict[str, Any] = run.curves.model_dump()
    return all(history[name].round(6).tolist() == curves[name] for name in CURVES)


def _require_networks(path: Path, reading: Reading, parameters: Params) -> None:
    for name in parameters.architectures:
        if name not in reading.networks:
            raise DataError(
                f"{path}: expected an entry for {name}, got {', '.join(reading.networks)}. "
                f"`{STUDIES}` writes it."
            )


def _require_pairs(path: Path, pairs: Mapping[str, Pair], names: Sequence[str]) -> None:
    for number, second in enumerate(names):
        for first in names[:number]:
            if f"{first} / {second}" not in pairs:
                raise DataError(
                    f"{path}: expected the pair {first} / {second}, got "
                    f"{', '.join(pairs) or 'none'}. `{STUDIES}` writes it."
                )


def _require_tuned(
    sources: Sources, contrasts: AllContrasts, tuned: Mapping[str, TunedNetwork]
) -> None:
    """Require that the contrasts are of the networks that were tuned."""
    compared = list(contrasts.gains.networks)
    if compared != list(tuned):
        raise DataError(
            f"{sources.contrasts}: expected gains of {', '.join(tuned) or 'none'}, which "
            f"{sources.tuned / TUNED} has, got {', '.join(compared) or 'none'}. "
            f"`{STUDIES}` writes it again."
        )
    _require_pairs(sources.contrasts, contrasts.tuned.pairs, compared)


def _require_seeds(path: Path, contrasts: Contrasts, networks: Sequence[Network]) -> None:
    for network in networks:
        if network.replicates.count != contrasts.seeds:
            raise DataError(
                f"{path}: is of {contrasts.seeds} seeds, and {network.name} has "
                f"{network.replicates.count}. `{STUDIES}` writes it again."
            )


def _take_hardest(path: Path, reading: Reading, images: Images) -> NDArray[np.float32]:
    places = [hard.index for hard in reading.hardest]
    if any(not 0 <= place < len(images) for place in places):
        raise DataError(
            f"{path}: hardest: expected images from 0 to {len(images) - 1}, got {max(places)}. "
            f"`{STUDIES}` writes it."
        )
    return np.asarray(images[places, :, :, 0], np.float32)


def _read_pictures(sources: Sources) -> dict[str, bytes]:
    folders = {
        "figures": (sources.figures, "dvc repro plot"),
        "pictures": (sources.pictures, STUDIES),
    }
    return {
        name: _read_bytes(folders[kind][0] / f"{name}.png", folders[kind][1])
        for kind, names in PICTURES.items()
        for name in names
    }

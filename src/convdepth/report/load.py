"""Read and check all inputs of the report; name what is missing, damaged or does not match."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convdepth.config.architecture import Architecture
from convdepth.config.params import Params, read_params
from convdepth.config.recipe import Train
from convdepth.core.errors import DataError
from convdepth.core.hashes import md5_of
from convdepth.data.arrays import Labels, read_split
from convdepth.evaluation import results as schemas
from convdepth.evaluation.metrics import Score, confusion_matrix, score
from convdepth.evaluation.notebook_record import Record, read_notebook
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import STUDIES, Collapse, Cost, Replicates, TunedNetwork

HEAD = "head_dense"
"""The layer before which the collapse study measures the signal that reaches the head."""


@dataclass(frozen=True, eq=False)
class Network:
    """All results of one network.

    Attributes:
        index: Position in params.yaml, from 0; selects the color.
        score: Of the pipeline's run, as are `confusion` and `reading`.
        replicates: Trainings by the recipe, one per seed.
        tuned: Trainings with tuned settings, one per seed; None without settings.
        is_first_seed: Whether the pipeline's run equals the first seed, epoch by epoch.
        confusion: ``(10, 10)``: images by label and answer.
        record: None if the notebook lacks the network.
        cost: By the recipe.
    """

    name: str
    index: int
    architecture: Architecture
    score: Score
    replicates: Replicates
    tuned: TunedNetwork | None
    is_first_seed: bool
    confusion: NDArray[np.int64]
    collapse: Collapse
    reading: schemas.NetworkReading
    record: Record | None
    model_md5: str
    cost: Cost

    @property
    def num_blocks(self) -> int:
        """The depth."""
        return len(self.architecture.blocks)

    @property
    def mean_probability(self) -> float:
        """Mean probability that the pipeline's run gives to its answers, 0 to 1."""
        bins = self.reading.reliability
        images = sum(each.images for each in bins)
        return sum(each.images * each.probability for each in bins) / images

    @property
    def own_point(self) -> schemas.Point:
        """The point of the collapse study nearest to the network's own dropout scale."""
        return self.collapse.at(self.architecture.dropout_scale)


@dataclass(frozen=True)
class Results:
    """All inputs of the report.

    Attributes:
        networks: In the order of params.yaml.
        recipe: The training recipe of the networks that are not tuned.
        hardest: ``(n, 28, 28)``, float32, 0.0 to 1.0: the images of ``reading.hardest``.
        pictures: PNG files by name.
    """

    networks: Sequence[Network]
    contrasts: schemas.AllContrasts
    reading: schemas.Reading
    validation: schemas.Validation
    recipe: Train
    hardest: NDArray[np.float32]
    pictures: Mapping[str, bytes]

    @property
    def num_images(self) -> int:
        """Number of test images."""
        return self.networks[0].score.images

    @cached_property
    def learners(self) -> list[Network]:
        """Networks that learned with every seed by the recipe."""
        return [network for network in self.networks if network.replicates.has_learned]

    @cached_property
    def tuned(self) -> list[tuple[Network, TunedNetwork]]:
        """Networks with tuned settings."""
        return [(network, network.tuned) for network in self.networks if network.tuned]


def read_results(paths: SimpleNamespace) -> Results:
    """Read and check all inputs; ignore files of networks that are not in params.yaml.

    Args:
        paths: The arguments of `report.main`.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: A file is missing or damaged, or does not match the others.
    """
    parameters = read_params(paths.params)
    images, labels = read_split(paths.normalized, "test")
    reading = read_result(paths.reading, schemas.Reading, STUDIES)
    contrasts = read_result(paths.contrasts, schemas.AllContrasts, STUDIES)
    networks = _read_networks(paths, parameters, labels, reading)
    _require_match(paths, networks, contrasts, reading)
    hardest = [hard.index for hard in reading.hardest]
    if not all(0 <= index < len(images) for index in hardest):
        raise DataError(
            f"{paths.reading}: hardest: expected indices from 0 to {len(images) - 1}, "
            f"found {max(hardest, key=abs)}. Run `{STUDIES}`."
        )
    return Results(
        networks=networks,
        contrasts=contrasts,
        reading=reading,
        validation=read_result(paths.validation, schemas.Validation, "dvc repro validate"),
        recipe=parameters.train,
        hardest=np.asarray(images[hardest, :, :, 0], np.float32),
        pictures={
            "confusion": _read_bytes(paths.figures / "confusion.png", "dvc repro plot"),
            "kernels": _read_bytes(paths.pictures / "kernels.png", STUDIES),
            "grad_cam": _read_bytes(paths.pictures / "grad_cam.png", STUDIES),
        },
    )


def pair_names(names: Iterable[str]) -> list[str]:
    """Return the key of each pair in result files, such as ``cnn1 / cnn3``, in order."""
    return [f"{first} / {second}" for first, second in itertools.combinations(names, 2)]


def _read_networks(
    paths: SimpleNamespace, parameters: Params, labels: Labels, reading: schemas.Reading
) -> list[Network]:
    _require(paths.reading, "networks", list(parameters.architectures), reading.networks)
    tuned = read_result(paths.tuned / "summary.json", schemas.TunedNetworks, STUDIES).networks
    records = read_notebook(paths.notebook)
    recipe, train_labels = parameters.train, read_split(paths.normalized, "train")[1]
    images = recipe.epochs * (len(train_labels) - recipe.validation_images)
    networks = []
    for index, (name, architecture) in enumerate(parameters.architectures.items()):
        predictions = schemas.read_predictions(paths.predictions, name, labels)
        replicates = read_result(paths.replicates / f"{name}.json", Replicates, STUDIES)
        history = schemas.read_history(paths.histories, name)[schemas.CURVE_COLUMNS].round(6)
        model = _read_bytes(paths.models / f"{name}.keras", f"dvc repro train@{name}")
        networks.append(
            Network(
                name=name,
                index=index,
                architecture=architecture,
                score=score(predictions),
                replicates=replicates,
                tuned=tuned.get(name),
                is_first_seed=history.to_dict("list") == replicates.runs[0].curves.model_dump(),
                confusion=confusion_matrix(predictions),
                collapse=read_result(paths.collapse / f"{name}.json", Collapse, STUDIES),
                reading=reading.networks[name],
                record=records.get(name),
                model_md5=md5_of(model),
                cost=Cost(
                    parameters=architecture.num_parameters, flop=architecture.flop, images=images
                ),
            )
        )
    return networks


def _read_bytes(path: Path, command: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Run `{command}`.") from error


def _require_match(
    paths: SimpleNamespace,
    networks: Sequence[Network],
    contrasts: schemas.AllContrasts,
    reading: schemas.Reading,
) -> None:
    """Require that all files are of the same networks, blocks and seeds."""
    names = [network.name for network in networks]
    tuned = [network.name for network in networks if network.tuned]
    gains = [name for name in names if name in contrasts.gains.networks]
    _require(paths.contrasts, "pairs", pair_names(names), contrasts.pairs)
    _require(paths.contrasts, "tuned.pairs", pair_names(tuned), contrasts.tuned.pairs)
    _require(paths.contrasts, "gains.networks", tuned, gains)
    _require(paths.tuned / "summary.json", "networks", gains, tuned)
    _require(paths.reading, "agreement", pair_names(names), reading.agreement)
    for network in networks:
        file = f"{network.name}.json"
        blocks = [*network.architecture.blocks, HEAD]
        signal, seeds = network.collapse.points[0].runs[0].signal, network.replicates.count
        _require(paths.collapse / file, "points.0.runs.0.signal", blocks, signal)
        _require(paths.replicates / file, "runs: number of seeds", [contrasts.seeds], [seeds])


def _require(path: Path, key: str, expected: Sequence[Any], found: Collection[Any]) -> None:
    missing = [each for each in expected if each not in found]
    if missing:
        raise DataError(
            f"{path}: {key}: expected {', '.join(map(str, missing))}, "
            f"found {', '.join(map(str, found)) or 'none'}. Run `{STUDIES}`."
        )

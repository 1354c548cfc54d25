"""Read and check all inputs of the report; name what is missing, damaged or does not match."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.config.architecture import Architecture
from convdepth.config.params import Params, find_architecture, read_params
from convdepth.config.recipe import Train
from convdepth.core.errors import DataError
from convdepth.core.hashes import md5_of
from convdepth.data.arrays import Labels, read_split
from convdepth.evaluation.metrics import Score, confusion_matrix, score
from convdepth.evaluation.notebook_record import Record, read_notebook
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import (
    STUDIES,
    AllContrasts,
    Collapse,
    Cost,
    NetworkReading,
    Point,
    Reading,
    Replicates,
    SeedRun,
    TunedNetwork,
    TunedNetworks,
    Validation,
    read_history,
    read_predictions,
)

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
HEAD = "head_dense"
"""The layer before which the collapse study measures the signal that reaches the head."""


@dataclass(frozen=True)
class Sources:
    """Paths of all inputs; see `report.main`."""

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

    @property
    def tuned_summary(self) -> Path:
        """The file that describes all tuned networks."""
        return self.tuned / "summary.json"


@dataclass(frozen=True, eq=False)
class Network:
    """All results of one network.

    Attributes:
        name: Its key in params.yaml.
        index: Its position there, from 0; selects the color.
        architecture: Its entry in params.yaml.
        score: Score of the pipeline's run.
        replicates: Trainings by the recipe, one per seed.
        tuned: Trainings with tuned settings, one per seed; None without settings.
        is_first_seed: Whether the pipeline's run equals the first seed, epoch by epoch.
        confusion: ``(10, 10)``: images by label and answer, of the pipeline's run.
        collapse: Trainings with scaled dropout rates.
        reading: Calibration and active channels.
        record: Results recorded in the notebook; None if the notebook lacks the network.
        model_md5: MD5 of the model's file.
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
    reading: NetworkReading
    record: Record | None
    model_md5: str

    @property
    def num_blocks(self) -> int:
        """The depth."""
        return len(self.architecture.blocks)

    @property
    def has_learned(self) -> bool:
        """Whether every seed learned by the recipe."""
        return self.replicates.has_learned

    @property
    def mean_probability(self) -> float:
        """Mean probability that the pipeline's run gives to its answers, 0 to 1."""
        bins = self.reading.reliability
        images = sum(each.images for each in bins)
        return sum(each.images * each.probability for each in bins) / images

    @property
    def own_point(self) -> Point:
        """The point of the collapse study nearest to the network's own dropout scale."""
        return self.collapse.at(self.architecture.dropout_scale)


@dataclass(frozen=True)
class Results:
    """All inputs of the report.

    Attributes:
        networks: In the order of params.yaml.
        contrasts: Each network against each other, and against itself when tuned.
        reading: Agreement and hardest images.
        validation: Rules for the data.
        train_images: Number of training images.
        recipe: The training recipe of the networks that are not tuned.
        hardest: ``(n, 28, 28)``, float32, 0.0 to 1.0: the images of ``reading.hardest``.
        pictures: PNG files by name.
    """

    networks: Sequence[Network]
    contrasts: AllContrasts
    reading: Reading
    validation: Validation
    train_images: int
    recipe: Train
    hardest: NDArray[np.float32]
    pictures: Mapping[str, bytes]

    @property
    def num_images(self) -> int:
        """Number of test images."""
        return self.networks[0].score.images

    @cached_property
    def costs(self) -> dict[str, Cost]:
        """Cost of each network by the recipe."""
        images = self.recipe.epochs * (self.train_images - self.recipe.validation_images)
        sizes = {each.name: each.architecture for each in self.networks}
        return {
            name: Cost(parameters=size.num_parameters, flop=size.flop, images=images)
            for name, size in sizes.items()
        }

    @cached_property
    def learners(self) -> list[Network]:
        """Networks that learned with every seed by the recipe."""
        return [network for network in self.networks if network.has_learned]

    @cached_property
    def tuned(self) -> list[tuple[Network, TunedNetwork]]:
        """Networks with tuned settings."""
        return [(network, network.tuned) for network in self.networks if network.tuned]


def read_results(sources: Sources) -> Results:
    """Read and check all inputs; ignore files of networks that are not in params.yaml.

    Raises:
        ParameterError: A parameter is wrong.
        DataError: A file is missing or damaged, or does not match the others.
    """
    parameters = read_params(sources.params)
    images, labels = read_split(sources.normalized, "test")
    reading = read_result(sources.reading, Reading, STUDIES)
    contrasts = read_result(sources.contrasts, AllContrasts, STUDIES)
    networks = _read_networks(sources, parameters, labels, reading)
    _require_match(sources, networks, contrasts, reading)
    hardest = [hard.index for hard in reading.hardest]
    if not all(0 <= index < len(images) for index in hardest):
        raise DataError(
            f"{sources.reading}: hardest: expected indices from 0 to {len(images) - 1}, "
            f"found {max(hardest, key=abs)}. Run `{STUDIES}`."
        )
    return Results(
        networks=networks,
        contrasts=contrasts,
        reading=reading,
        validation=read_result(sources.validation, Validation, "dvc repro validate"),
        train_images=len(read_split(sources.normalized, "train")[1]),
        recipe=parameters.train,
        hardest=np.asarray(images[hardest, :, :, 0], np.float32),
        pictures={
            "confusion": _read_bytes(sources.figures / "confusion.png", "dvc repro plot"),
            "kernels": _read_bytes(sources.pictures / "kernels.png", STUDIES),
            "grad_cam": _read_bytes(sources.pictures / "grad_cam.png", STUDIES),
        },
    )


def _read_networks(
    sources: Sources, parameters: Params, labels: Labels, reading: Reading
) -> list[Network]:
    names = list(parameters.architectures)
    _require(sources.reading, "networks", names, reading.networks)
    tuned = read_result(sources.tuned_summary, TunedNetworks, STUDIES).networks
    records = read_notebook(sources.notebook)
    networks = []
    for index, name in enumerate(names):
        predictions = read_predictions(sources.predictions, name, labels)
        replicates = read_result(sources.replicates / f"{name}.json", Replicates, STUDIES)
        history = read_history(sources.histories, name)
        model = _read_bytes(sources.models / f"{name}.keras", f"dvc repro train@{name}")
        networks.append(
            Network(
                name=name,
                index=index,
                architecture=find_architecture(name, parameters, sources.params),
                score=score(predictions),
                replicates=replicates,
                tuned=tuned.get(name),
                is_first_seed=_is_run(history, replicates.runs[0]),
                confusion=confusion_matrix(predictions),
                collapse=read_result(sources.collapse / f"{name}.json", Collapse, STUDIES),
                reading=reading.networks[name],
                record=records.get(name),
                model_md5=md5_of(model),
            )
        )
    return networks


def pair_names(names: Iterable[str]) -> list[str]:
    """Return the key of each pair in result files, such as ``cnn1 / cnn3``, in order."""
    return [f"{first} / {second}" for first, second in itertools.combinations(names, 2)]


def _read_bytes(path: Path, command: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Run `{command}`.") from error


def _is_run(history: pd.DataFrame, run: SeedRun) -> bool:
    return all(history[name].round(6).tolist() == getattr(run.curves, name) for name in CURVES)


def _require_match(
    sources: Sources, networks: Sequence[Network], contrasts: AllContrasts, reading: Reading
) -> None:
    """Require that all files are of the same networks, blocks and seeds."""
    names = [network.name for network in networks]
    tuned = [network.name for network in networks if network.tuned]
    gains = [name for name in names if name in contrasts.gains.networks]
    seeds = [contrasts.seeds]
    checks: list[tuple[Path, str, Sequence[Any], Collection[Any]]] = [
        (sources.contrasts, "pairs", pair_names(names), contrasts.pairs),
        (sources.contrasts, "tuned.pairs", pair_names(tuned), contrasts.tuned.pairs),
        (sources.contrasts, "gains.networks", tuned, gains),
        (sources.tuned_summary, "networks", gains, tuned),
        (sources.reading, "agreement", pair_names(names), reading.agreement),
    ]
    for network in networks:
        blocks = [*network.architecture.blocks, HEAD]
        signal = network.collapse.points[0].runs[0].signal
        replicates = sources.replicates / f"{network.name}.json"
        checks += [
            (sources.collapse / f"{network.name}.json", "points.0.runs.0.signal", blocks, signal),
            (replicates, "runs: number of seeds", seeds, [network.replicates.count]),
        ]
    for check in checks:
        _require(*check)


def _require(path: Path, key: str, expected: Sequence[Any], found: Collection[Any]) -> None:
    missing = [each for each in expected if each not in found]
    if missing:
        raise DataError(
            f"{path}: {key}: expected {', '.join(map(str, missing))}, "
            f"found {', '.join(map(str, found)) or 'none'}. Run `{STUDIES}`."
        )

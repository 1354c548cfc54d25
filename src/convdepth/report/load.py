"""All that the report shows, read and checked: what is missing or damaged is named."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

from convdepth.config.architecture import Architecture
from convdepth.config.params import Params, find_architecture, read_params
from convdepth.config.recipe import Train
from convdepth.core.errors import DataError
from convdepth.core.hashes import md5_of
from convdepth.data.arrays import Images, Labels, read_split
from convdepth.evaluation.metrics import Score, Status, confusion_matrix, score
from convdepth.evaluation.notebook_record import Loss, Record, Share, read_notebook
from convdepth.evaluation.results import read_history, read_predictions

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
STUDIES = "dvc repro studies/dvc.yaml"
TUNED = "summary.json"
"""The file in the folder of the tuned networks that describes all of them."""

PICTURES = {"figures": ("confusion",), "pictures": ("kernels", "grad_cam")}
"""Which pictures of others the report shows, by the folder that they are in."""


def _names(params: Params) -> Sequence[str]:
    return list(params.architectures)


def _pairs(params: Params) -> Sequence[str]:
    return [" / ".join(both) for both in itertools.combinations(params.architectures, 2)]


def _blocks(params: Params) -> Sequence[str]:
    return max((list(each.blocks) for each in params.architectures.values()), key=len)


def _sort(keys: Iterable[str], order: Sequence[str]) -> list[str]:
    """Sort keys by their place in ``order``; other keys follow as they come."""
    places = {key: place for place, key in enumerate(order)}
    return sorted(keys, key=lambda key: places.get(key, len(places)))


def _in_order(list_keys: Callable[[Params], Sequence[str]]) -> AfterValidator:
    """Put a mapping or a list of names in the order of the parameters.

    Result files have sorted keys, so ``block10`` comes before ``block2`` in them.

    Args:
        list_keys: Lists the keys in order. The parameters come as context of the validation;
            without it, nothing changes.
    """

    def order(found: Any, info: ValidationInfo) -> Any:
        if info.context is None:
            return found
        keys = _sort(found, list_keys(info.context))
        return {key: found[key] for key in keys} if isinstance(found, dict) else keys

    return AfterValidator(order)


_Value = TypeVar("_Value")

ByNetwork = Annotated[dict[str, _Value], _in_order(_names)]
"""A mapping from network names, in the order of the parameters."""

ByPair = Annotated[dict[str, _Value], _in_order(_pairs)]
"""A mapping from pairs such as ``cnn1 / cnn3``, in the order of the parameters."""

ByBlock = Annotated[dict[str, _Value], _in_order(_blocks)]
"""A mapping from blocks, in the order of the parameters; the head comes last."""


class Result(BaseModel):
    """A part of a result file; what it has beside these entries is not the report's business."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Mean(Result):
    """A mean over seeds with the standard deviation; None for one seed."""

    mean: float
    standard_deviation: float | None


class Spread(Mean):
    """A mean over seeds with its 95% interval over seeds and images."""

    low: float
    high: float


class Bin(Result):
    """A range of probabilities: their mean, and the share that is right, both 0 to 1."""

    images: int
    probability: Share
    accuracy: Share


class Curves(Result):
    """One value per epoch: losses in nats, accuracies from 0 to 1."""

    loss: list[Loss] = Field(min_length=1)
    accuracy: list[Share] = Field(min_length=1)
    val_loss: list[Loss] = Field(min_length=1)
    val_accuracy: list[Share] = Field(min_length=1)


class SeedRun(Result):
    """One training of several."""

    seed: int
    accuracy: Share
    loss: Loss
    status: Status
    curves: Curves


class Replicates(Result):
    """``replicates/<name>.json``, see `replicates.summarize`."""

    runs: list[SeedRun] = Field(min_length=1)
    collapsed: int
    near_chance: int
    accuracy: Spread
    loss: Mean

    @property
    def count(self) -> int:
        """How many trainings there are."""
        return len(self.runs)

    @property
    def has_learned(self) -> bool:
        """Whether each training has learned something."""
        return not self.collapsed and not self.near_chance


class FirstSeed(Result):
    """What one training of each would have said of a pair."""

    only_first: int
    only_second: int
    p: Share
    corrected_p: Share


class Difference(Result):
    """The accuracy of the second of two less that of the first, -1 to 1; no p of a single seed."""

    difference: float
    low: float
    high: float
    standard_deviation: float | None
    p: Share | None
    corrected_p: Share | None
    verdict: str


class Pair(Difference):
    """How two networks differ."""

    first_seed: FirstSeed


class Contrasts(Result):
    """Each network against each other one."""

    seeds: int
    pairs: ByPair[Pair]


class Gains(Result):
    """What tuning changed: each tuned network less what it was before."""

    networks: ByNetwork[Difference]


class AllContrasts(Contrasts):
    """What the stage `contrast` wrote: by the recipe, tuned, and what tuning changed."""

    tuned: Contrasts
    gains: Gains


class Cost(Result):
    """What a tuned network costs: FLOP of one image's forward pass, and images trained on."""

    parameters: int
    flop: int
    images: int


class TunedNetwork(Replicates):
    """One network with what a tuning settled, trained with several seeds."""

    settings: dict[str, float | bool | str | None]
    precision: str
    cost: Cost


class TunedNetworks(Result):
    """``tuned/summary.json``, see `tuned.main`."""

    networks: ByNetwork[TunedNetwork]


class Trial(Result):
    """One training with scaled dropouts: losses in nats, signal and agreement from 0 to 1."""

    seed: int
    prior_loss: Loss
    loss: list[Loss] = Field(min_length=1)
    epochs_to_learn: int | None
    signal: ByBlock[Share]
    gradient_norm: ByBlock[float]
    agreement: ByBlock[Share]


class Point(Result):
    """All trainings of one network at one scale of its dropouts."""

    scale: float
    keep_share: Share
    learned: int
    runs: list[Trial] = Field(min_length=1)
    signal: ByBlock[Share]


class Collapse(Result):
    """What the stage `collapse` wrote of one network."""

    points: list[Point] = Field(min_length=1)
    learned: Share
    epochs: int

    def at(self, scale: float) -> Point:
        """Give the point whose scale is nearest to this one."""
        return min(self.points, key=lambda point: abs(point.scale - scale))


class Layer(Result):
    """One layer with a ReLU: how many of its channels are above zero for any test image."""

    layer: str
    channels: int = Field(ge=1)
    active: int = Field(ge=0)

    @property
    def share(self) -> float:
        """The share of the active channels, 0 to 1."""
        return self.active / self.channels


class NetworkReading(Result):
    """How sure one network is, how often it is right, and what in it answers to images."""

    calibration_error: Share
    reliability: list[Bin] = Field(min_length=1)
    layers: list[Layer] = Field(min_length=1)


class Hard(Result):
    """An image that networks get wrong; the answers of those that have learned."""

    index: int
    label: int
    answers: ByNetwork[int]
    failing: int
    loss: Loss


class AllFail(Result):
    """On how many images all networks fail that have learned."""

    images: int
    networks: Annotated[list[str], _in_order(_names)]


class Reading(Result):
    """What the stage `examine` wrote."""

    networks: ByNetwork[NetworkReading]
    agreement: ByPair[Share]
    hardest: list[Hard]
    all_fail: AllFail


class Rule(Result):
    """One rule for the data, and what was found: a number, or how many rows break it."""

    rule: str
    table: str
    observed: float | None = None
    num_broken: int | None = None


class ImageCounts(Result):
    """How many images were checked, those of both splits together."""

    raw: int
    normalized: int


class Validation(Result):
    """What the stage `validate` wrote."""

    images: ImageCounts
    num_rules: int
    success: bool
    rules: list[Rule]


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
        return kind.model_validate_json(path.read_bytes(), context=parameters)
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

"""Read and check all inputs of the report; name what is missing, damaged or does not match."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter

from convdepth.config.architecture import Architecture
from convdepth.config.dataset import NUM_CLASSES
from convdepth.config.params import Params, read_params
from convdepth.config.questions import AnsweredQuestion
from convdepth.config.recipe import Train
from convdepth.core.errors import DataError
from convdepth.data.arrays import Images, Labels, read_split
from convdepth.evaluation import results as schemas
from convdepth.evaluation.metrics import Score
from convdepth.evaluation.notebook_record import Record, read_notebook
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import STUDIES, Collapse, Curves, Replicates, read_replicates
from convdepth.figures.collapse import HEAD
from convdepth.figures.palette import assign_looks
from convdepth.report.absent import AbsentError, Attempted, attempt, require

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Network:
    """All results of one network; `look` is its place in the palette and among the markers.

    `score`, `confusion` (images by label and answer), `curves` and `reading` are of the pipeline's
    run, `replicates` by the recipe. Without a record in the notebook, or without tuned settings,
    these are None.
    """

    name: str
    look: int
    architecture: Architecture
    score: Score
    confusion: NDArray[np.int64]
    curves: Curves
    record: Record | None
    replicates: Attempted[Replicates] = Attempted()
    tuned: Attempted[Replicates | None] = Attempted()
    collapse: Attempted[Collapse] = Attempted()
    reading: Attempted[schemas.NetworkReading] = Attempted()

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


class Studied(NamedTuple):
    """The trainings of all networks by the recipe, and tuned."""

    recipe: Mapping[str, Replicates] | AbsentError
    tuned: Mapping[str, Replicates] | AbsentError


class Training(NamedTuple):
    """All trainings of one network by the recipe, or tuned."""

    settings: str
    network: Network
    found: Replicates


@dataclass(frozen=True)
class Results:
    """All inputs of the report: networks in the order of params.yaml, and the test images."""

    networks: Sequence[Network]
    recipe: Train
    images: Images
    pictures: Mapping[str, bytes | AbsentError]
    by_recipe: Attempted[schemas.Answer] = Attempted()
    by_tuning: Attempted[schemas.Answer] = Attempted()
    depth: Attempted[schemas.Answer] = Attempted()
    reading: Attempted[schemas.Reading] = Attempted()
    validation: Attempted[schemas.Validation] = Attempted()
    other_answers: Mapping[str, schemas.Answer] = field(default_factory=dict)
    """Of the other questions of the plan that have trainings."""

    @property
    def num_images(self) -> int:
        """Number of test images."""
        return self.networks[0].score.images

    @property
    def seeds(self) -> int:
        """Number of trainings of each network by the recipe."""
        return len(self.networks[0].replicates.runs)

    @cached_property
    def learners(self) -> list[Network]:
        """Networks that learned with every seed by the recipe."""
        return [network for network in self.networks if network.replicates.has_learned]

    @cached_property
    def trainings(self) -> list[Training]:
        """The trainings of each network by the recipe, then tuned, in the order of the networks."""
        found = [Training("recipe", each, each.replicates) for each in self.networks]
        found += [Training("tuned", network, it) for network, it in self.tuned]
        return sorted(found, key=lambda training: self.networks.index(training.network))

    def gain(self, network: Network) -> schemas.Difference:
        """Return the comparison of a tuned network with itself by the recipe."""
        _require(
            Path("tuned.json"), "gains", [network.name], self.by_tuning.gains, f"{STUDIES}:tuned"
        )
        return self.by_tuning.gains[network.name]

    @cached_property
    def tuned(self) -> list[tuple[Network, Replicates]]:
        """Networks with tuned settings."""
        return [(network, network.tuned) for network in self.networks if network.tuned]


def read_results(paths: SimpleNamespace) -> Results:
    """Read and check the arguments of `report.main`; only results of studies may be absent."""
    parameters = read_params(paths.params)
    images, labels = read_split(paths.normalized, "test")
    reading = attempt(_read_reading, paths.reading, list(parameters.architectures), len(images))
    by_recipe = attempt(_read_answer, paths.answers, "recipe")
    by_tuning = attempt(_read_answer, paths.answers, "tuned")
    studied = Studied(
        attempt(_read_replicates, by_recipe, paths.recipe),
        attempt(_read_replicates, by_tuning, paths.tuned),
    )
    networks = _read_networks(paths, parameters, labels, reading, studied)
    command = f"{STUDIES}:examine"
    return Results(
        networks=networks,
        recipe=parameters.train,
        images=images,
        pictures={
            "confusion": attempt(_read_bytes, paths.figures / "confusion.png", "dvc repro plot"),
            "kernels": attempt(_read_bytes, paths.pictures / "kernels.png", command),
            "grad_cam": attempt(_read_bytes, paths.pictures / "grad_cam.png", command),
        },
        by_recipe=by_recipe,
        by_tuning=by_tuning,
        depth=attempt(_read_answer, paths.answers, "depth"),
        other_answers={
            name: found
            for name in get_args(AnsweredQuestion)
            if name not in ("recipe", "tuned", "depth")
            and not isinstance(found := attempt(_read_answer, paths.answers, name), AbsentError)
        },
        reading=reading,
        validation=attempt(_read, paths.validation, schemas.Validation, "dvc repro validate"),
    )


def _read_networks(
    paths: SimpleNamespace,
    parameters: Params,
    labels: Labels,
    reading: schemas.Reading | AbsentError,
    studied: Studied,
) -> list[Network]:
    names = list(parameters.architectures)
    scores = _read_table(paths.tables / "scores.csv", names, _parse_score)
    counts = _read_table(
        paths.tables / "confusion.csv",
        names,
        lambda rows: rows["count"].to_numpy(np.int64).reshape(NUM_CLASSES, NUM_CLASSES),
    )
    curves = _read_table(
        paths.tables / "curves.csv",
        names,
        lambda rows: Curves.model_validate(rows[schemas.CURVE_COLUMNS].to_dict("list")),
    )
    records = read_notebook(paths.notebook)
    networks = []
    looks = assign_looks(names)
    for name, architecture in parameters.architectures.items():
        _require_match(paths.tables, name, scores[name], counts[name], labels)
        network = Network(
            name=name,
            look=looks[name],
            architecture=architecture,
            score=scores[name],
            confusion=counts[name],
            curves=curves[name],
            record=records.get(name),
            replicates=attempt(_find, studied.recipe, name, paths.answers / "recipe.json"),
            tuned=it if isinstance(it := studied.tuned, AbsentError) else it.get(name),
            collapse=attempt(_read_collapse, paths.collapse, name, architecture),
            reading=reading if isinstance(reading, AbsentError) else reading.networks[name],
        )
        networks.append(network)
    return networks


def _parse_score(rows: pd.DataFrame) -> Score:
    return TypeAdapter(Score).validate_python(rows.to_dict("records")[0])


def _read_table(
    path: Path, names: Sequence[str], parse: Callable[[pd.DataFrame], T]
) -> dict[str, T]:
    """Read each network's rows of a table of the stage `plot`."""
    try:
        table = pd.read_csv(path, dtype={"network": str}, keep_default_na=False)
        if missing := set(names) - set(table["network"]):
            raise ValueError(f"network: expected {', '.join(sorted(missing))}")
        return {name: parse(table[table["network"] == name]) for name in names}
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except KeyError as error:
        reason = f"no column {error}"
    except ValueError as error:
        reason = str(error)
    raise DataError(f"{path}: {reason}. Run `dvc repro plot`, which writes it.")


def _require_match(
    tables: Path, name: str, score: Score, counts: NDArray[np.int64], labels: Labels
) -> None:
    """Require that a network's tables belong to each other and to the test images."""
    images = np.bincount(labels, minlength=NUM_CLASSES)
    right = round(float(np.trace(counts) / len(labels)), 6)
    if not np.array_equal(counts.sum(axis=1), images) or score.accuracy != right:
        raise DataError(
            f"{tables}: {name}: expected answers for the {len(labels)} test images and the "
            f"accuracy {right:g}, found {counts.sum()} answers and {score.accuracy:g}. "
            "Run `dvc repro plot`."
        )


def _read(path: Path, kind: type[T], command: str) -> T:
    _require_file(path, command)
    return read_result(path, kind, command)


def _read_bytes(path: Path, command: str) -> bytes:
    _require_file(path, command)
    return path.read_bytes()


def _require_file(path: Path, command: str) -> None:
    if not path.exists():
        raise AbsentError(f"{path}: no such file. Run `{command}`, which writes it.")


def _read_collapse(folder: Path, name: str, architecture: Architecture) -> Collapse:
    path, command = folder / f"{name}.json", f"{STUDIES}:collapse@{name}"
    collapse = _read(path, Collapse, command)
    blocks, signal = [*architecture.blocks, HEAD], collapse.points[0].runs[0].signal
    _require(path, "points.0.runs.0.signal", blocks, signal, command, DataError)
    return collapse


def _read_reading(path: Path, names: Sequence[str], num_images: int) -> schemas.Reading:
    command = f"{STUDIES}:examine"
    reading = _read(path, schemas.Reading, command)
    _require(path, "networks", names, reading.networks, command)
    indices = [hard.index for hard in reading.hardest]
    if not all(0 <= index < num_images for index in indices):
        raise DataError(
            f"{path}: hardest: expected indices from 0 to {num_images - 1}, "
            f"found {max(indices, key=abs)}. Run `{command}`."
        )
    return reading


def _read_answer(folder: Path, question: str) -> schemas.Answer:
    path, command = folder / f"{question}.json", f"{STUDIES}:{question}"
    answer = _read(path, schemas.Answer, command)
    if answer.planned and not answer.trained:
        raise AbsentError(f"{path}: groups: expected a training, found none. Run `{command}`.")
    return answer


def _read_replicates(answer: schemas.Answer | AbsentError, folder: Path) -> dict[str, Replicates]:
    return read_replicates(require(answer), folder)


def _find(found: Mapping[str, T] | AbsentError, name: str, path: Path) -> T:
    known = require(found)
    _require(path, "groups", [name], known, f"{STUDIES}:{path.stem}")
    return known[name]


def _require(
    path: Path,
    key: str,
    expected: Sequence[Any],
    found: Collection[Any],
    command: str,
    error: type[DataError] = AbsentError,
) -> None:
    missing = [each for each in expected if each not in found]
    if missing:
        raise error(
            f"{path}: {key}: expected {', '.join(map(str, missing))}, "
            f"found {', '.join(map(str, found)) or 'none'}. Run `{command}`."
        )

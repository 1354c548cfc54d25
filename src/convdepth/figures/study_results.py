"""The inputs of the figures about the studies: all trainings of each network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, TypeVar

from convdepth.config.params import read_params
from convdepth.evaluation.notebook_record import Record, read_notebook
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import STUDIES, Collapse, Cost, Replicates, TunedNetworks
from convdepth.figures.palette import assign_colors

RECIPE, TUNED = "by the recipe", "tuned"
FILLS = {RECIPE: "none", TUNED: "full"}
"""How Matplotlib fills a marker."""

T = TypeVar("T")


class Training(NamedTuple):
    """All seeds of one network, `RECIPE` or `TUNED`."""

    settings: str
    found: Replicates
    cost: Cost


@dataclass(frozen=True)
class StudyResult:
    """The studies of one network; the record is None if the notebook lacks it."""

    name: str
    num_blocks: int
    color: str
    trainings: Sequence[Training]
    collapse: Collapse
    record: Record | None


def read_study_results(paths: SimpleNamespace) -> list[StudyResult]:
    """Read the networks in the parameters; `paths` are arguments of `plot_studies.main`."""

    def read(path: Path, kind: type[T]) -> T:
        return read_result(path, kind, STUDIES)

    architectures = read_params(paths.params).architectures
    tuned = read(paths.tuned / "summary.json", TunedNetworks).networks
    records, colors = read_notebook(paths.notebook), assign_colors(architectures)
    networks = []
    for name, architecture in architectures.items():
        size = {"parameters": architecture.num_parameters, "flop": architecture.flop}
        recipe = read(paths.replicates / f"{name}.json", Replicates)
        trainings = [Training(RECIPE, recipe, Cost(**size, images=0))]
        trainings += [Training(TUNED, it, it.cost) for it in [tuned.get(name)] if it]
        collapse = read(paths.collapse / f"{name}.json", Collapse)
        networks.append(
            StudyResult(
                name, len(architecture.blocks), colors[name], trainings, collapse, records.get(name)
            )
        )
    return networks

"""The inputs of the figures about the studies: all trainings of each network."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

from convdepth.config.params import read_params
from convdepth.evaluation.notebook_record import Record, read_notebook
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import STUDIES, Answer, Collapse, Replicates, read_replicates
from convdepth.figures.palette import assign_colors

RECIPE, TUNED = "by the recipe", "tuned"
FILLS = {RECIPE: "none", TUNED: "full"}
"""How Matplotlib fills a marker."""


class Training(NamedTuple):
    """All seeds of one network, `RECIPE` or `TUNED`."""

    settings: str
    found: Replicates


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
    architectures = read_params(paths.params).architectures
    found = {
        settings: read_replicates(read_result(paths.answers / file, Answer, STUDIES), folder)
        for settings, file, folder in (
            (RECIPE, "recipe.json", paths.recipe),
            (TUNED, "tuned.json", paths.tuned),
        )
    }
    records, colors = read_notebook(paths.notebook), assign_colors(architectures)
    return [
        StudyResult(
            name,
            len(architecture.blocks),
            colors[name],
            [Training(settings, it[name]) for settings, it in found.items() if name in it],
            read_result(paths.collapse / f"{name}.json", Collapse, STUDIES),
            records.get(name),
        )
        for name, architecture in architectures.items()
    ]

"""The stage `depth`: does depth alone change accuracy?

Each number of blocks is compared with the smallest one, in each arm. All comparisons are one family
for each of the two tests, see ``studies/PLAN.md``. Without all planned seeds there is none.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convdepth.config.depth import Depth, depth_architecture
from convdepth.config.recipe import read_section
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.data.arrays import Labels, read_split
from convdepth.evaluation import results
from convdepth.evaluation.metrics import Scores
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.significance import difference_over_seeds
from convdepth.studies.contrast import Compared, judge
from convdepth.studies.runs import average, spread


class DepthRuns(NamedTuple):
    """The trainings of one arm and depth so far; right answers are ``(seeds, images)``."""

    right: NDArray[np.bool_]
    scores: Sequence[Scores]


def main(
    normalized: Path, runs: Path, summary: Path, studies: Path = Path("studies/params.yaml")
) -> None:
    """Summarize the trainings in ``runs``, ``<arm>/<blocks>/<seed>``; write `DepthStudy`."""
    study = read_section(studies, ("depth",), Depth)
    _, labels = read_split(normalized, "test")
    first, *others = sorted(study.blocks)
    found = {
        arm: {
            blocks: _read(runs / arm / f"{blocks}", study.seeds, labels)
            for blocks in (first, *others)
        }
        for arm in study.arms
    }
    counts = [len(each.scores) for points in found.values() for each in points.values()]
    compared: Compared = {}
    if min(counts) == len(study.seeds):
        compared = {
            f"{arm}: {blocks} / {first}": (
                f"depth {first}",
                f"depth {blocks}",
                difference_over_seeds(points[first].right, points[blocks].right),
            )
            for arm, points in found.items()
            for blocks in others
        }
    arms: dict[str, list[results.DepthPoint]] = {
        arm: [
            _summarize(study, arm, blocks, each) for blocks, each in points.items() if each.scores
        ]
        for arm, points in found.items()
    }
    result = results.DepthStudy(seeds=len(study.seeds), arms=arms, comparisons=judge(compared))
    write_json(summary, result.model_dump())
    print(f"depth: {sum(counts)} of {len(study.seeds) * len(counts)} trainings", flush=True)


def _read(folder: Path, seeds: Sequence[int], labels: Labels) -> DepthRuns:
    known = [seed for seed in seeds if (folder / f"{seed}.scores.json").exists()]
    right, scores = np.ones((len(known), len(labels)), dtype=bool), []
    for row, seed in zip(right, known, strict=True):
        row[results.read_mistakes(folder / f"{seed}.mistakes.csv", labels)] = False
        path = folder / f"{seed}.scores.json"
        scores.append(read_result(path, Scores, results.STUDIES))
        if scores[-1].accuracy != round(float(row.mean()), 6):
            raise DataError(
                f"{path}: accuracy: expected {row.mean():g} by {seed}.mistakes.csv, got "
                f"{scores[-1].accuracy:g}. Run `{results.STUDIES}`, which writes both."
            )
    return DepthRuns(right, scores)


def _summarize(study: Depth, arm: str, blocks: int, found: DepthRuns) -> results.DepthPoint:
    architecture = depth_architecture(study.design, arm, blocks)
    right, scores = found
    return results.DepthPoint(
        blocks=blocks,
        filters=architecture.blocks["block1"].convolutions["conv1"].filters,
        parameters=architecture.num_parameters,
        seeds=len(scores),
        failed=sum(each.status != "ok" for each in scores),
        accuracy=spread(right),
        loss=average([each.loss for each in scores]),
        calibration_error=average([each.calibration_error for each in scores]),
    )

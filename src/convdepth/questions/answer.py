"""The stages `depth`, `fresh` and so on: answer a question of ``studies/PLAN.md``.

All comparisons of a question are one family for each of the two tests. They are made when all
planned trainings are there.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convdepth.config.architecture import Architecture
from convdepth.config.questions import AnsweredQuestion, Depth, Question, read_question, read_recipe
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.core.text import counted
from convdepth.data.arrays import Labels, read_split
from convdepth.data.corruptions import CORRUPTIONS
from convdepth.evaluation import results
from convdepth.evaluation.metrics import Scores
from convdepth.evaluation.question_scores import CorruptedScores
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.significance import difference_over_seeds
from convdepth.studies.contrast import judge, summarize
from convdepth.studies.runs import average, rightness, spread
from convdepth.studies.votes import mean_agreement, vote


class Runs(NamedTuple):
    """The trainings so far of one group and network.

    `right` is ``(seeds, images)``: 1 for each right answer, or the share of the right ones.
    """

    right: NDArray[Any]
    scores: Sequence[Scores]
    answers: pd.DataFrame | None
    """From `runs.tabulate_answers`; None for corrupted images."""


def main(
    question: AnsweredQuestion,
    normalized: Path,
    runs: Path,
    summary: Path,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Summarize the trainings in ``runs``, ``<group>/<network>/<seed>``; write `Answer`."""
    planned = read_question(question, studies)
    read = _read_corrupted if question == "corrupted" else _read
    _, labels = read_split(normalized, "test")
    found = {
        str(group): {
            str(network): read(runs / str(group) / str(network), planned.seeds, labels)
            for network in _in_order(planned)
        }
        for group in planned.groups
    }
    counts = [len(each.scores) for networks in found.values() for each in networks.values()]
    result = results.Answer(
        seeds=len(planned.seeds),
        trained=sum(counts),
        planned=len(counts) * len(planned.seeds),
        groups={
            group: [
                _summarize(network, each, read_recipe(question, group, network, params, studies)[0])
                for network, each in networks.items()
                if each.scores
            ]
            for group, networks in found.items()
        },
        votes={group: _vote_of_all(list(networks.values())) for group, networks in found.items()},
        comparisons=_compare(planned, found) if min(counts) == len(planned.seeds) else [],
    )
    write_json(summary, result.model_dump())
    print(f"{question}: {result.trained} of {counted(result.planned, 'training')}", flush=True)


def _in_order(planned: Question[Any, Any]) -> list[str | int]:
    return sorted(planned.networks) if isinstance(planned, Depth) else list(planned.networks)


def _read(folder: Path, seeds: Sequence[int], labels: Labels) -> Runs:
    answers, scores = {"label": labels}, []
    for seed in _trained(folder, seeds):
        mistakes = results.read_mistakes(folder / f"{seed}.mistakes.csv", labels)
        predicted = labels.copy()
        predicted[mistakes["index"]] = mistakes["predicted"]
        answers[f"seed_{seed}"] = predicted
        scores.append(_read_scores(folder, seed, Scores, 1 - len(mistakes) / len(labels)))
    table = pd.DataFrame(answers)
    return Runs(rightness(table), scores, table)


def _read_corrupted(folder: Path, seeds: Sequence[int], labels: Labels) -> Runs:
    right, scores = [], []
    for seed in _trained(folder, seeds):
        counts = results.read_wrong_corruptions(folder / f"{seed}.mistakes.csv", len(labels))
        right.append(1 - counts / len(CORRUPTIONS))
        accuracy = float(right[-1].mean())
        scores.append(_read_scores(folder, seed, CorruptedScores, accuracy))
    return Runs(np.array(right), scores, None)


def _trained(folder: Path, seeds: Sequence[int]) -> list[int]:
    return [seed for seed in seeds if (folder / f"{seed}.scores.json").exists()]


def _read_scores(folder: Path, seed: int, kind: type[Scores], accuracy: float) -> Scores:
    path = folder / f"{seed}.scores.json"
    scores = read_result(path, kind, results.STUDIES)
    if scores.accuracy != round(accuracy, 6):
        raise DataError(
            f"{path}: accuracy: expected {accuracy:g} by {seed}.mistakes.csv, got "
            f"{scores.accuracy:g}. Run `{results.STUDIES}`, which writes both."
        )
    return scores


def _summarize(network: str, found: Runs, architecture: Architecture) -> results.NetworkAnswer:
    right, scores, answers = found
    return results.NetworkAnswer(
        network=network,
        parameters=architecture.num_parameters,
        seeds=len(scores),
        failed=sum(each.status != "ok" for each in scores),
        accuracy=spread(right),
        loss=average([each.loss for each in scores]),
        calibration_error=average([each.calibration_error for each in scores]),
        over_seeds=None if answers is None else summarize(answers),
        by_corruption=_by_corruption(scores),
    )


def _by_corruption(scores: Sequence[Scores]) -> dict[str, float]:
    known = [each.by_corruption for each in scores if isinstance(each, CorruptedScores)]
    names = known[0] if known else ()
    return {name: average([each[name] for each in known]).mean for name in names}


def _vote_of_all(networks: Sequence[Runs]) -> float | None:
    tables = [each.answers for each in networks if each.answers is not None and each.scores]
    return vote(tables) if tables else None


def _compare(
    planned: Question[Any, Any], found: Mapping[str, Mapping[str, Runs]]
) -> list[results.Comparison]:
    """Compare each depth with the smallest one, or else each pair of networks, in each group."""
    prefix = "depth " if isinstance(planned, Depth) else ""
    compared = {}
    for group, networks in found.items():
        for first, second in itertools.combinations(networks, 2):
            if not isinstance(planned, Depth) or first == next(iter(networks)):
                difference = difference_over_seeds(networks[first].right, networks[second].right)
                compared[group, first, second] = (prefix + first, prefix + second, difference)
    return [
        results.Comparison(
            group=group,
            first=first,
            second=second,
            agreement=_agreement(found[group][first], found[group][second]),
            **dict(each),
        )
        for (group, first, second), each in judge(compared).items()
    ]


def _agreement(first: Runs, second: Runs) -> float | None:
    if first.answers is None or second.answers is None:
        return None
    return mean_agreement(first.answers, second.answers)

"""The stages `recipe`, `tuned`, `depth` and so on: answer a question of ``studies/PLAN.md``.

All comparisons of a question are one family for each of the two tests. They are made when all
planned trainings are there.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convdepth.config.architecture import Architecture
from convdepth.config.questions import AnsweredQuestion, read_plan, read_recipe
from convdepth.core.errors import DataError
from convdepth.core.files import write_json
from convdepth.core.text import counted
from convdepth.data.arrays import Labels, read_split
from convdepth.data.corruptions import CORRUPTIONS
from convdepth.evaluation import results
from convdepth.evaluation.doubtful_labels import DOUBTFUL
from convdepth.evaluation.metrics import Scores
from convdepth.evaluation.question_scores import CorruptedScores
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.significance import difference_over_seeds, mean_over_seeds
from convdepth.questions.verdicts import compare_first_seeds, judge
from convdepth.questions.votes import Answers, mean_agreement, vote


class Runs(NamedTuple):
    """The trainings so far of one group and network.

    `right` is ``(seeds, images)``: whether each answer is right, or with corrupted images the share
    of the right ones. `answers` have the same shape; None for corrupted images.
    """

    seeds: Sequence[int]
    right: NDArray[Any]
    scores: Sequence[Scores]
    answers: Answers | None


Found = Mapping[str, Mapping[str, Runs]]
"""By group and network."""


def main(
    question: AnsweredQuestion,
    normalized: Path,
    runs: Path,
    summary: Path,
    recipe: Path | None = None,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Summarize the trainings in ``runs``, ``<group>/<network>/<seed>``; write `Answer`.

    With the trainings of the question ``recipe``, each network is compared with itself there.
    """
    plan = read_plan(question, studies, params)
    _, labels = read_split(normalized, "test")
    read = _read_corrupted if question == "corrupted" else _read
    found = {
        group: {name: read(runs / group / name, plan.seeds, labels) for name in plan.networks}
        for group in plan.groups
    }
    gains = {}
    counts = [len(each.seeds) for networks in found.values() for each in networks.values()]
    is_whole = min(counts, default=0) == len(plan.seeds)
    if recipe and is_whole:
        seeds = read_plan("recipe", studies, params).seeds
        gains = _compare_with_recipe(recipe, seeds, found[plan.groups[0]], labels)

    def summarize(group: str, name: str, each: Runs) -> results.NetworkAnswer:
        architecture, _ = read_recipe(question, group, name, params, studies)
        return _summarize(name, each, labels, architecture)

    result = results.Answer(
        seeds=len(plan.seeds),
        trained=sum(counts),
        planned=len(counts) * len(plan.seeds),
        groups={
            group: [summarize(group, name, each) for name, each in networks.items() if each.seeds]
            for group, networks in found.items()
        },
        votes={group: _vote_of_all(networks, labels) for group, networks in found.items()},
        comparisons=compare_pairs(found, is_depth=question == "depth") if is_whole else [],
        gains=gains,
    )
    write_json(summary, result.model_dump())
    print(f"{question}: {result.trained} of {counted(result.planned, 'training')}", flush=True)


def _read(folder: Path, seeds: Sequence[int], labels: Labels) -> Runs:
    trained = _trained(folder, seeds)
    answers, scores = [], []
    for seed in trained:
        mistakes = results.read_mistakes(folder / f"{seed}.mistakes.csv", labels)
        predicted = labels.astype(np.int64)
        predicted[mistakes["index"]] = mistakes["predicted"]
        answers.append(predicted)
        scores.append(_read_scores(folder, seed, Scores, 1 - len(mistakes) / len(labels)))
    table = np.array(answers, np.int64).reshape(-1, len(labels))
    return Runs(trained, table == labels, scores, table)


def _read_corrupted(folder: Path, seeds: Sequence[int], labels: Labels) -> Runs:
    trained = _trained(folder, seeds)
    right, scores = [], []
    for seed in trained:
        counts = results.read_wrong_corruptions(folder / f"{seed}.mistakes.csv", len(labels))
        right.append(1 - counts / len(CORRUPTIONS))
        accuracy = float(right[-1].mean())
        scores.append(_read_scores(folder, seed, CorruptedScores, accuracy))
    return Runs(trained, np.array(right), scores, None)


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


def _summarize(
    network: str, found: Runs, labels: Labels, architecture: Architecture
) -> results.NetworkAnswer:
    seeds, right, scores, answers = found
    return results.NetworkAnswer(
        network=network,
        parameters=architecture.num_parameters,
        flop=architecture.flop,
        seeds=list(seeds),
        failed=sum(each.status != "ok" for each in scores),
        accuracy=_spread(right),
        loss=_average([each.loss for each in scores]),
        calibration_error=_average([each.calibration_error for each in scores]),
        over_seeds=None if answers is None else summarize_answers(answers, labels),
        by_corruption=_by_corruption(scores),
    )


def summarize_answers(answers: Answers, labels: Labels) -> results.OverSeeds:
    """Summarize the answers of one network, ``(seeds, images)``, beyond their accuracy."""
    certain = ~np.isin(np.arange(len(labels)), DOUBTFUL)
    right = answers[:, certain] == labels[certain]
    return results.OverSeeds(
        accuracy_without_doubtful=_average([float(each.mean()) for each in right]),
        agreement=mean_agreement(answers) if len(answers) > 1 else None,
        vote=vote(answers, labels),
    )


def _by_corruption(scores: Sequence[Scores]) -> dict[str, float]:
    known = [each.by_corruption for each in scores if isinstance(each, CorruptedScores)]
    names = known[0] if known else ()
    return {name: _average([each[name] for each in known]).mean for name in names}


def _spread(right: NDArray[Any]) -> results.Spread:
    """Return the mean accuracy over seeds with its interval."""
    low, high = np.clip(mean_over_seeds(right).interval, 0, 1)
    mean = _average([float(each.mean()) for each in right])
    return results.Spread(**dict(mean), low=round(float(low), 6), high=round(float(high), 6))


def _average(values: Sequence[float]) -> results.Mean:
    """Return mean and sample standard deviation, six digits."""
    deviation = round(float(np.std(values, ddof=1)), 6) if len(values) > 1 else None
    return results.Mean(mean=round(float(np.mean(values)), 6), standard_deviation=deviation)


def _vote_of_all(networks: Mapping[str, Runs], labels: Labels) -> float | None:
    tables = [it for each in networks.values() if (it := each.answers) is not None and len(it)]
    return vote(np.concatenate(tables), labels) if tables else None


def compare_pairs(found: Found, *, is_depth: bool) -> list[results.Comparison]:
    """Compare each depth with the smallest one, or else each pair of networks, in each group."""
    pairs = [
        (group, first, second)
        for group, networks in found.items()
        for first, second in itertools.combinations(networks, 2)
        if not is_depth or first == next(iter(networks))
    ]
    runs = {each: (found[each[0]][each[1]], found[each[0]][each[2]]) for each in pairs}
    prefix = "depth " if is_depth else ""
    judged = judge(
        {
            each: (
                prefix + each[1],
                prefix + each[2],
                difference_over_seeds(one.right, other.right),
            )
            for each, (one, other) in runs.items()
        }
    )
    known = {each: both for each, both in runs.items() if both[0].answers is not None}
    single = compare_first_seeds(
        {each: (one.right[0], other.right[0]) for each, (one, other) in known.items()}
    )
    return [
        results.Comparison(
            group=group,
            first=first,
            second=second,
            agreement=_agreement(*runs[group, first, second]),
            first_seed=single.get((group, first, second)),
            **dict(verdict),
        )
        for (group, first, second), verdict in judged.items()
    ]


def _agreement(first: Runs, second: Runs) -> float | None:
    if first.answers is None or second.answers is None:
        return None
    return mean_agreement(first.answers, second.answers)


def _compare_with_recipe(
    recipe: Path, seeds: Sequence[int], found: Mapping[str, Runs], labels: Labels
) -> dict[str, results.Difference]:
    before = {name: _read(recipe / "recipe" / name, seeds, labels) for name in found}
    is_whole = all(len(each.seeds) == len(seeds) for each in before.values())
    return compare_gains(before, found) if is_whole else {}


def compare_gains(
    before: Mapping[str, Runs], found: Mapping[str, Runs]
) -> dict[str, results.Difference]:
    """Compare each network with the same network by the recipe."""
    return judge(
        {
            name: ("the recipe", "tuned", difference_over_seeds(each.right, found[name].right))
            for name, each in before.items()
        }
    )

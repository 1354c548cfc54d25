"""Facts that the report states: counts, names and ranges; templates put them into words."""

import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from convdepth.evaluation.results import EQUIVALENT, NOT_SETTLED, Point, Trial
from convdepth.figures.collapse import HEAD
from convdepth.report.absent import AbsentError, attempt
from convdepth.report.load import Network, Results
from convdepth.report.verdicts import compare, count_depth, find_best, find_dominated

SAME = 0.00005
"""Accuracies that differ by less are equal as percentages with two decimals."""


class Band(NamedTuple):
    """Consecutive dropout scales at which equally many trainings learned."""

    low: float
    high: float
    learned: int
    trainings: int

    @property
    def is_whole(self) -> bool:
        """Whether each training learned."""
        return self.learned == self.trainings


class Extremes(NamedTuple):
    """The networks with the lowest and the highest value.

    `separates` tells whether the value is lower in each network with a failed training than in
    each other network; None if all learned or all failed.
    """

    lowest: str
    low: float
    highest: str
    high: float
    separates: bool | None = None


class Mistake(NamedTuple):
    """The most frequent mistake of a network."""

    network: str
    label: int
    answer: int
    images: int


def differ_in_depth_alone(networks: Iterable[Network]) -> bool:
    """Return whether each network begins with all blocks of the next shallower one."""
    ordered = [each.architecture for each in sorted(networks, key=lambda it: it.num_blocks)]
    return all(
        list(deep.blocks.values())[: len(shallow.blocks)] == list(shallow.blocks.values())
        and deep.head == shallow.head
        for shallow, deep in itertools.pairwise(ordered)
    )


def find_extremes(values: Mapping[str, float], failed: Iterable[str] = ()) -> Extremes | None:
    """Find the networks with the lowest and the highest value; None without values."""
    if not values:
        return None
    low, high = (choose(values, key=lambda name: values[name]) for choose in (min, max))
    bad = [values[name] for name in failed]
    good = [value for name, value in values.items() if name not in failed]
    separates = max(bad) < min(good) if bad and good else None
    return Extremes(low, values[low], high, values[high], separates)


def mean_curve(network: Network, curve: str) -> list[float]:
    """Average a curve over the seeds, epoch by epoch, such as ``val_loss``."""
    curves = [getattr(run.curves, curve) for run in network.replicates.runs]
    return [statistics.fmean(values) for values in zip(*curves, strict=False)]


def is_whole(point: Point) -> bool:
    """Return whether each training at this dropout scale learned."""
    return point.learned == len(point.runs)


def learned_bands(network: Network) -> list[Band]:
    """Group consecutive dropout scales by the number of trainings that learned."""
    counts = itertools.groupby(network.collapse.points, lambda point: point.learned)
    groups = [(learned, list(points)) for learned, points in counts]
    return [
        Band(points[0].scale, points[-1].scale, learned, len(points[0].runs))
        for learned, points in groups
    ]


def loss_ratio(run: Trial) -> float:
    """Return a training's last loss divided by the loss of the class prior."""
    return run.loss[-1] / run.prior_loss


def block_medians(network: Network, kind: str) -> dict[str, float]:
    """Return the median over the seeds of ``signal``, ``gradient_norm`` or ``agreement``.

    It is by block, at the network's own dropout scale; ``signal`` also of the head, last.
    """
    found = [getattr(run, kind) for run in network.own_point.runs]
    return {
        block: statistics.median([values[block] for values in found])
        for block in [*network.architecture.blocks, HEAD]
        if block in found[0]
    }


def compare_first_blocks(results: Results, kind: str) -> Extremes | None:
    """Compare a measurement of the first block between the networks."""
    failed = [each.name for each in results.networks if not is_whole(each.own_point)]
    medians = {each.name: block_medians(each, kind) for each in results.networks}
    return find_extremes({name: next(iter(it.values())) for name, it in medians.items()}, failed)


def find_mistake(network: Network) -> Mistake | None:
    """Find the most frequent mistake of the pipeline's run; None without any mistake."""
    counts = np.where(np.eye(len(network.confusion), dtype=bool), 0, network.confusion)
    label, answer = divmod(int(counts.argmax()), len(counts))
    images = int(counts[label, answer])
    return Mistake(network.name, label, answer, images) if images else None


def _seed_facts(results: Results) -> dict[str, Any]:
    networks, learners = results.networks, results.learners
    seeds = {each.name: [run.accuracy for run in each.replicates.runs] for each in learners}
    curves = {each.name: mean_curve(each, "val_loss") for each in learners}
    lowest = {name: 1 + curve.index(min(curve)) for name, curve in curves.items()}
    first_seeds = {each.name: each.replicates.runs[0].curves for each in networks}
    return {
        "learners": [each.name for each in learners],
        "failed": [each for each in networks if each not in learners],
        "spans": find_extremes({name: max(it) - min(it) for name, it in seeds.items()}),
        "calibration": find_extremes(
            {each.name: each.replicates.calibration_error.mean for each in learners}
        ),
        "means": find_extremes({each.name: each.replicates.accuracy.mean for each in learners}),
        "early": {name: epoch for name, epoch in lowest.items() if epoch < len(curves[name])},
        "other_first": [each.name for each in networks if each.curves != first_seeds[each.name]],
    }


def _pair_facts(results: Results) -> dict[str, Any]:
    networks, learners = results.networks, results.learners
    verdicts = compare(networks, results.by_recipe)
    return {
        "verdicts": verdicts,
        "differing": [each.name for each in verdicts if each.winner],
        "misled": [each.name for each in verdicts if each.misleads],
        "depth": count_depth(verdicts),
        "depth_of_learners": count_depth(compare(learners, results.by_recipe)),
        "best": find_best(networks, verdicts),
        "agreement": find_extremes(
            {
                f"{each.first.name} and {each.second.name}": each.pair.agreement
                for each in compare(learners, results.by_recipe)
                if each.pair.agreement is not None
            }
        ),
        "within": find_extremes(
            {
                each.name: it.agreement
                for each in learners
                if (it := each.replicates.over_seeds) and it.agreement is not None
            }
        ),
        "dominated": find_dominated(verdicts, {each.name: each.replicates for each in networks}),
    }


def _depth_facts(results: Results) -> dict[str, Any]:
    networks = results.networks
    most = max(each.num_blocks for each in networks)
    return {
        "alone": differ_in_depth_alone(networks),
        "deepest": [each for each in networks if each.num_blocks == most],
    }


def _notebook_facts(results: Results) -> dict[str, Any]:
    recorded = [(each, each.record) for each in results.networks if each.record]
    gaps = {each.name: it.claimed_accuracy - it.test_accuracy for each, it in recorded}
    return {
        "recorded": [each for each, _ in recorded],
        "inside": [
            each.name
            for each, record in recorded
            if each.score.accuracy_low - SAME <= record.test_accuracy
            and record.test_accuracy <= each.score.accuracy_high + SAME
        ],
        "contradictions": {name: gap for name, gap in gaps.items() if abs(gap) >= SAME},
    }


def _collapse_facts(results: Results) -> dict[str, Any]:
    networks = results.networks
    bands = {each.name: learned_bands(each) for each in networks}
    runs = [run for each in networks for point in each.collapse.points for run in point.runs]
    failed = [run for run in runs if run.epochs_to_learn is None]
    ratios = [loss_ratio(run) for run in failed]
    return {
        "bands": bands,
        "robust": [name for name, own in bands.items() if len(own) == 1 and own[0].is_whole],
        "learned_signals": [run.signal[HEAD] for run in runs if run.epochs_to_learn],
        "failed_signals": [run.signal[HEAD] for run in failed],
        "failed_losses": ratios,
        "at_prior": all(abs(ratio - 1) < 0.01 for ratio in ratios),
        "gradient_norm": compare_first_blocks(results, "gradient_norm"),
        "label_agreement": compare_first_blocks(results, "agreement"),
    }


def _depth_alone_facts(results: Results) -> dict[str, Any]:
    comparisons = results.depth.comparisons
    verdicts = [each.verdict for each in comparisons]
    decided = [each for each in comparisons if each.verdict not in (EQUIVALENT, NOT_SETTLED)]
    better = dict.fromkeys((each.second for each in comparisons), 0)
    for each in decided:
        better[each.second] += each.difference > 0
    groups = [group for group in results.depth.groups.values() if group]
    points = [point for group in groups for point in group]
    highest = [max(group, key=lambda point: point.accuracy.mean).network for group in groups]
    return {
        "better": better,
        "comparisons": len(comparisons),
        "groups": len(groups),
        "highest": Counter(highest).most_common(),
        "deeper": sum(better.values()),
        "shallower": len(decided) - sum(better.values()),
        "equivalent": verdicts.count(EQUIVALENT),
        "unclear": verdicts.count(NOT_SETTLED),
        "first": min(int(point.network) for point in points),
        "least": min(len(point.seeds) for point in points),
        "failed": sum(point.failed for point in points),
    }


def _answer_facts(results: Results) -> dict[str, Any]:
    """Return what the first screen can tell; an absent or incomplete study does not spoil it."""
    study = attempt(lambda: results.depth)
    is_whole = not isinstance(study, AbsentError) and study.comparisons
    return {"depth_alone": _depth_alone_facts(results) if is_whole else None}


def _tuning_facts(results: Results) -> dict[str, Any]:
    verdicts = compare([network for network, _ in results.tuned], results.by_tuning)
    kinds: dict[str, Any] = {"better": [], "equivalent": [], "unclear": [], "worse": []}
    names = {"tuned is better": "better", EQUIVALENT: "equivalent", NOT_SETTLED: "unclear"}
    for network, _ in results.tuned:
        kinds[names.get(results.gain(network).verdict, "worse")].append(network.name)
    return kinds | {
        "verdicts": verdicts,
        "depth": count_depth(verdicts),
        "best": max(results.tuned, key=lambda both: both[1].accuracy.mean, default=None),
        "failed": [each.name for each, found in results.tuned if not found.has_learned],
        "higher_loss": [
            each.name
            for each, found in results.tuned
            if found.loss.mean > each.replicates.loss.mean
        ],
        "dominated": find_dominated(
            verdicts, {network.name: found for network, found in results.tuned}
        ),
    }


def _reading_facts(results: Results) -> dict[str, Any]:
    able = [each for each in results.networks if each.score.status == "ok"]
    layers = {each.name: each.reading.layers for each in results.networks}
    dead = {name: [it.layer for it in own if not it.active] for name, own in layers.items()}
    dead = {name: found for name, found in dead.items() if found}
    alive = [name for name in layers if name not in dead]
    return {
        "able": [each.name for each in able],
        "unable": [each.name for each in results.networks if each not in able],
        "mistakes": [found for each in able if (found := find_mistake(each))],
        "dead": dead,
        "alive": alive,
        "least_active": min((it.share for name in alive for it in layers[name]), default=None),
    }


FINDERS: Mapping[str, Callable[[Results], dict[str, Any]]] = {
    "answer": _answer_facts,
    "depths": _depth_facts,
    "notebook": _notebook_facts,
    "seeds": _seed_facts,
    "pairs": _pair_facts,
    "depth_alone": _depth_alone_facts,
    "tuning": _tuning_facts,
    "collapse": _collapse_facts,
    "reading": _reading_facts,
}
"""By the name that the templates use; each needs other results."""

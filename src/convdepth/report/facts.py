"""Facts that the report states: counts, names and ranges; templates put them into words."""

import itertools
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from convdepth.evaluation.results import Point, Trial
from convdepth.evaluation.significance import LEVEL, NO_EVIDENCE
from convdepth.report.load import HEAD, Network, Results
from convdepth.report.verdicts import compare, count_depth, find_best, find_dominated

SAME = 0.00005
"""Accuracies that differ by less are equal as percentages with two decimals."""

TUNED_IS_BETTER = "tuned is better"


class Band(NamedTuple):
    """Consecutive dropout scales at which equally many trainings learned."""

    low: float
    high: float
    learned: int
    trainings: int


class Extremes(NamedTuple):
    """The networks with the lowest and the highest value.

    Attributes:
        lowest: Name.
        low: Value.
        highest: Name.
        high: Value.
        separates: Whether the value is lower in each network with a failed training than in each
            other network; None if all learned or all failed.
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
    ordered = [
        each.architecture for each in sorted(networks, key=lambda network: network.num_blocks)
    ]
    return all(
        list(deep.blocks.values())[: len(shallow.blocks)] == list(shallow.blocks.values())
        and deep.head == shallow.head
        for shallow, deep in itertools.pairwise(ordered)
    )


def contains_record(network: Network) -> bool:
    """Return whether the interval of the pipeline's run contains the notebook's accuracy."""
    found, record = network.score, network.record
    return record is not None and (
        found.accuracy_low - SAME <= record.test_accuracy <= found.accuracy_high + SAME
    )


def contradictions(networks: Iterable[Network]) -> dict[str, float]:
    """Return claimed less recorded accuracy, by network, where the notebook contradicts itself."""
    gaps = {
        each.name: each.record.claimed_accuracy - each.record.test_accuracy
        for each in networks
        if each.record
    }
    return {name: gap for name, gap in gaps.items() if abs(gap) >= SAME}


def find_extremes(values: Mapping[str, float], failed: Iterable[str] = ()) -> Extremes | None:
    """Find the lowest and the highest value; None without values.

    Args:
        values: By network.
        failed: Networks with a training that did not learn.
    """
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


def lowest_losses(networks: Iterable[Network]) -> dict[str, int]:
    """Return the epoch of the lowest mean loss, by network, where it is not the last epoch."""
    curves = {each.name: mean_curve(each, "val_loss") for each in networks}
    epochs = {name: 1 + curve.index(min(curve)) for name, curve in curves.items()}
    return {name: epoch for name, epoch in epochs.items() if epoch < len(curves[name])}


def is_whole(point: Point) -> bool:
    """Return whether each training at this dropout scale learned."""
    return point.learned == len(point.runs)


def learns_up_to(network: Network) -> Point | None:
    """Return the point up to which each training at each dropout scale learned, if any."""
    points = list(itertools.takewhile(is_whole, network.collapse.points))
    return points[-1] if points else None


def learned_bands(network: Network) -> list[Band]:
    """Group consecutive dropout scales by the number of trainings that learned."""
    counts = itertools.groupby(network.collapse.points, lambda point: point.learned)
    groups = (list(points) for _, points in counts)
    return [
        Band(group[0].scale, group[-1].scale, group[0].learned, len(group[0].runs))
        for group in groups
    ]


def trials(results: Results, *, learned: bool) -> list[Trial]:
    """Return the trainings of the collapse study that learned, or all others."""
    return [
        run
        for network in results.networks
        for point in network.collapse.points
        for run in point.runs
        if (run.epochs_to_learn is not None) == learned
    ]


def loss_ratios(runs: Iterable[Trial]) -> list[float]:
    """Return each training's last loss divided by the loss of the class prior."""
    return [run.loss[-1] / run.prior_loss for run in runs]


def block_medians(network: Network, kind: str) -> dict[str, float]:
    """Return the median of a measurement over the seeds, at the network's own dropout scale.

    Args:
        network: With its collapse study.
        kind: ``signal``, ``gradient_norm`` or ``agreement``.

    Returns:
        By block in the order of params.yaml; ``signal`` also of the head, last.
    """
    found = [getattr(run, kind) for run in network.own_point.runs]
    return {
        block: statistics.median([values[block] for values in found])
        for block in [*network.architecture.blocks, HEAD]
        if block in found[0]
    }


def compare_blocks(results: Results, kind: str) -> Extremes | None:
    """Compare a measurement of the first block between the networks."""
    medians = {each.name: block_medians(each, kind) for each in results.networks}
    failed = [each.name for each in results.networks if not is_whole(each.own_point)]
    return find_extremes(
        {name: next(iter(values.values())) for name, values in medians.items()}, failed
    )


def dead_layers(networks: Iterable[Network]) -> dict[str, list[str]]:
    """Return the layers without any active channel, by network, if there is one."""
    layers = {
        each.name: [it.layer for it in each.reading.layers if not it.active] for each in networks
    }
    return {name: dead for name, dead in layers.items() if dead}


def find_mistake(network: Network) -> Mistake | None:
    """Find the most frequent mistake of the pipeline's run; None without any mistake."""
    counts = network.confusion.copy()
    for digit in range(len(counts)):
        counts[digit, digit] = 0
    label, answer = divmod(int(counts.argmax()), len(counts))
    images = int(counts[label, answer])
    return Mistake(network.name, label, answer, images) if images else None


def gather_facts(results: Results) -> dict[str, Any]:
    """Return all facts of the page, by the names that the templates use."""
    return {
        **_accuracy_facts(results),
        **_collapse_facts(results),
        **_tuning_facts(results),
        **_reading_facts(results),
    }


def _accuracy_facts(results: Results) -> dict[str, Any]:
    networks, learners = results.networks, results.learners
    verdicts = compare(networks, results.contrasts)
    seeds = {each.name: [run.accuracy for run in each.replicates.runs] for each in learners}
    return {
        "level": LEVEL,
        "verdicts": verdicts,
        "differing": [each.name for each in verdicts if each.winner],
        "misled": [each.name for each in verdicts if each.winner != each.first_seed_winner],
        "depth": count_depth(verdicts),
        "depth_of_learners": count_depth(compare(learners, results.contrasts)),
        "depth_alone": differ_in_depth_alone(networks),
        "best": find_best(networks, verdicts),
        "dominated": find_dominated(verdicts, results.costs),
        "learners": [each.name for each in learners],
        "failed": [each for each in networks if not each.has_learned],
        "recorded": [each for each in networks if each.record],
        "inside": [each.name for each in networks if contains_record(each)],
        "contradictions": contradictions(networks),
        "seed_spans": find_extremes({name: max(it) - min(it) for name, it in seeds.items()}),
        "means": find_extremes({each.name: each.replicates.accuracy.mean for each in learners}),
        "early": lowest_losses(learners),
    }


def _collapse_facts(results: Results) -> dict[str, Any]:
    learned, failed = (trials(results, learned=learned) for learned in (True, False))
    networks, dead = results.networks, dead_layers(results.networks)
    alive = [each for each in networks if each.name not in dead]
    shares = [layer.share for each in alive for layer in each.reading.layers]
    return {
        "robust": [each.name for each in networks if all(map(is_whole, each.collapse.points))],
        "bands": {each.name: learned_bands(each) for each in networks},
        "learns_up_to": {each.name: learns_up_to(each) for each in networks},
        "learned_signals": [run.signal[HEAD] for run in learned],
        "failed_signals": [run.signal[HEAD] for run in failed],
        "failed_losses": loss_ratios(failed),
        "at_prior": all(abs(ratio - 1) < 0.01 for ratio in loss_ratios(failed)),
        "gradient_norm": compare_blocks(results, "gradient_norm"),
        "label_agreement": compare_blocks(results, "agreement"),
        "dead": dead,
        "alive": [each.name for each in alive],
        "least_active": min(shares, default=None),
    }


def _tuning_facts(results: Results) -> dict[str, Any]:
    verdicts = compare([network for network, _ in results.tuned], results.contrasts.tuned)
    gains = {
        network.name: results.contrasts.gains.networks[network.name].verdict
        for network, _ in results.tuned
    }
    return {
        "tuned_verdicts": verdicts,
        "depth_tuned": count_depth(verdicts),
        "better": [name for name, verdict in gains.items() if verdict == TUNED_IS_BETTER],
        "unchanged": [name for name, verdict in gains.items() if verdict == NO_EVIDENCE],
        "worse": [
            name for name, verdict in gains.items() if verdict not in (TUNED_IS_BETTER, NO_EVIDENCE)
        ],
        "tuned_best": max(results.tuned, key=lambda both: both[1].accuracy.mean, default=None),
        "tuned_failed": [each.name for each, found in results.tuned if not found.has_learned],
        "tuned_dominated": find_dominated(
            verdicts, {network.name: found.cost for network, found in results.tuned}
        ),
        "tuned_precisions": sorted({found.precision for _, found in results.tuned}),
    }


def _reading_facts(results: Results) -> dict[str, Any]:
    able = [each for each in results.networks if each.score.status == "ok"]
    pairs = compare(results.networks, results.contrasts)
    shares = {
        f"{each.first.name} and {each.second.name}": results.reading.agreement[each.key]
        for each in pairs
    }
    return {
        "able": [each.name for each in able],
        "unable": [each.name for each in results.networks if each not in able],
        "calibration": find_extremes({each.name: each.reading.calibration_error for each in able}),
        "agreement": find_extremes(shares),
        "mistakes": [found for each in able if (found := find_mistake(each))],
        "broken_rules": sum(bool(rule.num_broken) for rule in results.validation.rules),
        "other_first_seeds": [each.name for each in results.networks if not each.is_first_seed],
    }

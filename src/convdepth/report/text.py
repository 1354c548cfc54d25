"""What the report says about the results: sentences that follow from the data, and turn with them.

A difference between networks is stated only where the stage `contrast` found evidence of one; all
else is said to be what was measured.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from convdepth.core.text import counted
from convdepth.evaluation.results import Contrasts, Curves, Pair, Spread
from convdepth.evaluation.significance import LEVEL, NO_EVIDENCE
from convdepth.report.load import Network, Results

SAME = 0.00005
"""Accuracies that differ by less are the same in percent with two decimals."""


@dataclass(frozen=True)
class Verdict:
    """What was found about two networks; the first has fewer blocks, or comes first."""

    first: Network
    second: Network
    pair: Pair

    @property
    def winner(self) -> str | None:
        """The one that is better, if there is evidence of that."""
        verdict = self.pair.verdict
        return None if verdict == NO_EVIDENCE else verdict.removesuffix(" is better")

    @property
    def first_seed_winner(self) -> str | None:
        """The one that a single training of each would have called better."""
        test = self.pair.first_seed
        if test.corrected_p >= LEVEL:
            return None
        return (self.first if test.only_first > test.only_second else self.second).name


def percent(share: float) -> str:
    """Write a share in percent, such as ``99.17 %``."""
    return f"{100 * share:.2f} %"


def points(difference: float) -> str:
    """Write a difference of shares in percentage points, without a sign, such as ``0.42``."""
    return f"{100 * abs(difference):.2f}"


def short(value: float) -> str:
    """Write a number with three digits that count, such as ``0.00432`` or ``7.1e-09``."""
    return "0" if value == 0 else f"{value:.3g}"


def with_interval(spread: Spread) -> str:
    """Write a mean share with its interval, both in percent."""
    return f"{percent(spread.mean)} (95 % interval {percent(spread.low)} to {percent(spread.high)})"


def listed(names: Sequence[str]) -> str:
    """Name several things, such as ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def multiple(number: int, noun: str) -> str:
    """Say how many there are, with thousands separators, such as ``10,000 images``."""
    return counted(number, noun).replace(str(number), f"{number:,}", 1)


def extremes(values: dict[str, float]) -> tuple[str, str]:
    """Name what has the lowest value, and what has the highest one."""
    return min(values, key=lambda name: values[name]), max(values, key=lambda name: values[name])


def verdicts(results: Results) -> list[Verdict]:
    """Give the verdict about each pair of networks, in the order of the parameters."""
    return pair_up(results.networks, results.contrasts)


def pair_up(networks: Sequence[Network], contrasts: Contrasts) -> list[Verdict]:
    """Give what was found about each pair of some networks, in their order."""
    return [
        Verdict(first, second, contrasts.pairs[f"{first.name} / {second.name}"])
        for first, second in itertools.combinations(networks, 2)
    ]


def of_different_depth(pairs: Sequence[Verdict]) -> list[Verdict]:
    """Give those pairs whose networks have another number of blocks."""
    return [each for each in pairs if each.first.num_blocks != each.second.num_blocks]


def learners(results: Results) -> list[Network]:
    """Give the networks that have learned something with every seed."""
    return [network for network in results.networks if network.replicates.has_learned]


def say_depth(results: Results) -> str:
    """Answer whether depth helps, from the pairs of networks of different depth."""
    pairs = of_different_depth(verdicts(results))
    if not pairs:
        return "There are no two networks of different depth, so nothing is said about it."
    text = weigh_depth(pairs)
    able = _names(learners(results))
    rest = [each for each in pairs if {each.first.name, each.second.name} <= set(able)]
    if 0 < len(rest) < len(pairs):
        text += (
            f" Among the networks that learned with every seed ({listed(able)}), "
            f"{_depth_counts(_count_sides(rest))}."
        )
    return text


def weigh_depth(pairs: Sequence[Verdict]) -> str:
    """Say what pairs of networks of different depth tell of it.

    Args:
        pairs: At least one.
    """
    sides = _count_sides(pairs)
    return f"{_depth_lead(sides)}: {_depth_counts(sides)}."


def say_best(results: Results) -> str:
    """Name the network with the highest mean, and the ones that it is better than."""
    if len(results.networks) == 1:
        (only,) = results.networks
        return f"{only.name} is right on {with_interval(only.replicates.accuracy)}."
    best = max(results.networks, key=lambda network: network.replicates.accuracy.mean)
    others = [
        each for each in verdicts(results) if best.name in (each.first.name, each.second.name)
    ]
    beaten = [_other(each, best) for each in others if each.winner == best.name]
    equal = [_other(each, best) for each in others if each.winner is None]
    text = f"{best.name} has the highest mean accuracy, {with_interval(best.replicates.accuracy)}"
    if beaten:
        text += f", and is better than {listed(beaten)}"
    if equal:
        text += f"; there is no evidence that it differs from {listed(equal)}"
    return text + "."


def say_certainty(results: Results) -> str:
    """Say what the statements rest on, and what a verdict is."""
    seeds, images = results.contrasts.seeds, results.num_images
    basis = (
        f"Each network was trained with {multiple(seeds, 'seed')} and answered "
        f"{multiple(images, 'test image')}."
    )
    number = len(verdicts(results))
    if not number:
        return basis
    text = (
        f"{basis} Two networks are said to differ only where their p, over other seeds and other "
        f"images, is below {LEVEL:g}"
    )
    if number == 1:
        return f"{text}, as chance makes it in one of {1 / LEVEL:.0f} studies of equal networks."
    return (
        f"{text} after a correction for {number} pairs: if all were equal, chance would tell any "
        f"of them apart in at most one of {1 / LEVEL:.0f} such studies."
    )


def say_confounding(results: Results) -> str:
    """Say whether the networks differ in depth alone; empty for a single one."""
    networks = sorted(results.networks, key=lambda network: network.num_blocks)
    if len(networks) < 2:
        return ""
    if all(_continues(*both) for both in itertools.pairwise(networks)):
        return "Each network continues the one before it, so they differ in depth alone."
    return (
        "The networks differ in more than their depth, also in kernels, poolings and dropouts, so "
        "a difference between two of them is not the effect of depth alone."
    )


def say_collapse(results: Results) -> str:
    """Say which networks have learned nothing, with how many of their seeds."""
    failed = [network for network in results.networks if not network.replicates.has_learned]
    seeds = results.contrasts.seeds
    if not failed:
        return f"None: each network learned with each of its {multiple(seeds, 'seed')}."
    sentences = [_failure(network) for network in failed]
    if able := _names(learners(results)):
        sentences.append(f"{listed(able)} learned with every seed.")
    else:
        sentences.append("No network learned with every seed.")
    return " ".join(sentences)


def say_notebook(results: Results) -> str:
    """Hold the notebook's closing text against the outputs that it recorded."""
    known = [(each.name, each.record) for each in results.networks if each.record is not None]
    if not known:
        return "The notebook has none of these networks."
    claimed = listed([percent(record.claimed_accuracy) for _, record in known])
    recorded = listed([percent(record.test_accuracy) for _, record in known])
    text = (
        f"Its closing text claims {claimed} for {listed([name for name, _ in known])}; its own "
        f"recorded outputs say {recorded}."
    )
    gaps = {name: abs(each.claimed_accuracy - each.test_accuracy) for name, each in known}
    wrong = [name for name, gap in gaps.items() if gap >= SAME]
    if not wrong:
        return text + " The two agree."
    worst = max(wrong, key=lambda name: gaps[name])
    return text + (
        f" The two contradict each other for {listed(wrong)}, most for {worst}, by "
        f"{points(gaps[worst])} percentage points."
    )


def say_results(results: Results) -> str:
    """Set the pipeline's run beside the notebook's record."""
    known = [each for each in results.networks if each.record is not None]
    if not known:
        return "The notebook has no record of these networks to set beside them."
    inside = [each.name for each in known if _contains_record(each)]
    outside = [each.name for each in known if not _contains_record(each)]
    within = "the 95 % interval of the pipeline's run"
    parts = [f"inside {within} for {listed(inside)}"] if inside else []
    parts += [f"outside {'it' if inside else within} for {listed(outside)}"] if outside else []
    return (
        f"The accuracy that the notebook recorded lies {', and '.join(parts)}. That interval is "
        "for other images, not for other seeds."
    )


def say_seeds(results: Results) -> str:
    """Compare the spread of seeds with that of the means, among the networks that learned."""
    able = learners(results)
    if not able:
        return "No network learned with every seed, so there is no spread of accuracies to compare."
    spans = {each.name: _span([run.accuracy for run in each.replicates.runs]) for each in able}
    widest = max(spans, key=lambda name: spans[name])
    within = (
        f"the seeds of one network spread over up to {points(spans[widest])} percentage points "
        f"({widest})"
    )
    if len(able) == 1:
        return f"Only {able[0].name} learned with every seed: {within}."
    between = _span([each.replicates.accuracy.mean for each in able])
    return (
        f"The means of {listed(_names(able))} spread over {points(between)} percentage points, and "
        f"{within}."
    )


def say_pairs(results: Results) -> str:
    """Count the verdicts, and say where one training of each would have led elsewhere."""
    pairs = verdicts(results)
    if not pairs:
        return "There is one network, and so no pair."
    differing = [each for each in pairs if each.winner]
    text = (
        f"There is evidence of a difference in {len(differing)} of {multiple(len(pairs), 'pair')}."
        if differing
        else f"There is no evidence of a difference in {_any_pair(len(pairs))}."
    )
    misled = [each for each in pairs if each.winner != each.first_seed_winner]
    if not misled:
        return text + " A single training of each, with the first seed, would have said the same."
    names = listed([f"{each.first.name} / {each.second.name}" for each in misled])
    return text + f" A single training of each would have led to another verdict on {names}."


def say_curves(results: Results) -> str:
    """Say in which epoch the mean validation loss was lowest."""
    able = learners(results)
    if not able:
        return "No network learned with every seed: the curves stay where they began, or vary."
    epochs = {each.name: (mean_curve(each, lambda curves: curves.val_loss)) for each in able}
    lowest = {name: 1 + curve.index(min(curve)) for name, curve in epochs.items()}
    last = {name: len(curve) for name, curve in epochs.items()}
    still = [name for name in lowest if lowest[name] == last[name]]
    past = [f"{name} (epoch {lowest[name]})" for name in lowest if lowest[name] < last[name]]
    set_name = curve_images(results)
    if not past:
        return f"The mean loss on the {set_name} is lowest in the last epoch for {listed(still)}."
    text = f"The mean loss on the {set_name} is lowest before the last epoch for {listed(past)}"
    return text + (f", and in the last one for {listed(still)}." if still else ".")


def curve_images(results: Results) -> str:
    """Name the images that the ``val_`` curves are of."""
    if results.recipe.validation_images:
        return f"{results.recipe.validation_images:,} held-out training images"
    return f"{multiple(results.num_images, 'test image')}"


def mean_curve(network: Network, choose: Callable[[Curves], Sequence[float]]) -> list[float]:
    """Average a curve over the seeds, epoch by epoch, as far as all seeds went.

    Args:
        network: With its seeds.
        choose: Takes one curve of a training.

    Returns:
        One mean per epoch.
    """
    curves = [choose(run.curves) for run in network.replicates.runs]
    return [sum(values) / len(values) for values in zip(*curves, strict=False)]


def say_pareto(results: Results, cost: str) -> str:
    """Say which networks are beaten by one that costs less.

    Args:
        results: With the verdicts.
        cost: ``flop`` or ``parameters``.

    Returns:
        A sentence. Only verdicts count, not the order of the means.
    """
    if len(results.networks) == 1:
        return "There is one network, and so none to compare its cost with."
    attribute = {"flop": "flop", "parameters": "num_parameters"}[cost]
    costs = {each.name: getattr(each.architecture, attribute) for each in results.networks}
    return say_beaten(weigh_costs(verdicts(results), costs), cost)


def weigh_costs(pairs: Sequence[Verdict], costs: Mapping[str, int]) -> dict[str, list[str]]:
    """List for each network the better ones that cost less.

    Args:
        pairs: What was found about each pair.
        costs: Of each network.

    Returns:
        Only networks for which there is one, in the order of the parameters.
    """
    beaten: dict[str, list[str]] = {
        network.name: [] for each in pairs for network in (each.first, each.second)
    }
    for each in pairs:
        names = [each.first.name, each.second.name]
        if each.winner is None:
            continue
        names.remove(each.winner)
        if costs[each.winner] < costs[names[0]]:
            beaten[names[0]].append(each.winner)
    return {name: winners for name, winners in beaten.items() if winners}


def say_beaten(beaten: Mapping[str, Sequence[str]], cost: str) -> str:
    """Say what `weigh_costs` gave for a cost, ``flop`` or ``parameters``."""
    words = {"flop": "FLOP per image", "parameters": "parameters"}[cost]
    if not beaten:
        return f"No network is beaten, by the verdicts, by one with fewer {words}."
    parts = [f"{loser} is beaten by {listed(winners)}" for loser, winners in beaten.items()]
    return f"With fewer {words} and better accuracy, by the verdicts: {'; '.join(parts)}."


def say_data(results: Results) -> str:
    """Say whether the data keep the rules."""
    found = results.validation
    images = f"{found.images.raw:,} raw and {found.images.normalized:,} normalized"
    broken = [rule for rule in found.rules if rule.num_broken]
    if found.success and not broken:
        return f"All {multiple(found.num_rules, 'rule')} hold, for {images} images."
    return (
        f"{multiple(len(broken), 'rule')} of {found.num_rules:,} found rows that break it, in "
        f"{images} images: what follows from these data is not to be trusted."
    )


def say_first_seeds(results: Results) -> str:
    """Say whether the pipeline's runs are the first of the seeds."""
    strange = [each.name for each in results.networks if not each.is_first_seed]
    if not strange:
        return "The pipeline's run of each network is the first of its seeds, epoch by epoch."
    return (
        f"The first seed of {listed(strange)} is not the pipeline's run: the studies are of "
        "another state. `make studies` renews them."
    )


def _names(networks: Iterable[Network]) -> list[str]:
    return [network.name for network in networks]


def _other(verdict: Verdict, network: Network) -> str:
    return (verdict.second if verdict.first is network else verdict.first).name


def _count_sides(pairs: Sequence[Verdict]) -> tuple[int, int, int]:
    """Count the pairs that the deeper network wins, the shallower one, and all of them."""
    deeper = shallower = 0
    for each in pairs:
        if each.winner is not None:
            ends = sorted((each.first, each.second), key=lambda network: network.num_blocks)
            deeper += each.winner == ends[1].name
            shallower += each.winner == ends[0].name
    return deeper, shallower, len(pairs)


def _depth_lead(sides: tuple[int, int, int]) -> str:
    deeper, shallower, number = sides
    if not deeper and not shallower:
        return "No effect of depth can be seen"
    if deeper and shallower:
        return "More depth is no steady gain"
    if shallower:
        return "More depth does not help here"
    return "More depth helps here" if deeper == number else "More depth helps in some pairs"


def _depth_counts(sides: tuple[int, int, int]) -> str:
    deeper, shallower, number = sides
    rest = number - deeper - shallower
    if rest == number:
        return f"there is no evidence of a difference in {_any_pair(number)}"
    named = [("the deeper network", deeper), ("the network with fewer blocks", shallower)]
    (more, many), (fewer, few) = sorted(named, key=lambda side: -side[1])
    if number == 1:
        return f"{more} is better in the only pair"
    text = f"{more} is better in {many} of {multiple(number, 'pair')}, {fewer} in {few or 'none'}"
    return text + (f", and {rest} without evidence of a difference" if rest else "")


def _any_pair(number: int) -> str:
    return "the only pair" if number == 1 else f"any of {number:,} pairs"


def _continues(shallow: Network, deep: Network) -> bool:
    """Say whether a network begins with another one's blocks, and has the same head."""
    both = (shallow.architecture, deep.architecture)
    blocks, longer = (list(each.blocks.values()) for each in both)
    return longer[: len(blocks)] == blocks and both[0].head == both[1].head


def _failure(network: Network) -> str:
    found, sentences = network.replicates, []
    count = multiple(found.count, "seed")
    if found.collapsed:
        sentences.append(
            f"{network.name} collapsed with {found.collapsed} of {count}: {_answer(network)}."
        )
    if found.near_chance:
        sentences.append(f"{network.name} stayed near chance with {found.near_chance} of {count}.")
    return " ".join(sentences)


def _answer(network: Network) -> str:
    found = network.score
    if found.status != "collapsed":
        return "it gives nearly every image the same answer"
    share = percent(found.answer_share)
    return f'the pipeline\'s run answers "{found.answer}" to {share} of the images'


def _contains_record(network: Network) -> bool:
    record, found = network.record, network.score
    return record is not None and (
        found.accuracy_low - SAME <= record.test_accuracy <= found.accuracy_high + SAME
    )


def _span(values: Sequence[float]) -> float:
    return max(values) - min(values)

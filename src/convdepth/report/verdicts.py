"""Verdicts on pairs of networks: who is better, the effect of depth, who costs more for less."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from convdepth.evaluation.results import EQUIVALENT, STUDIES, Answer, Comparison, Replicates
from convdepth.evaluation.significance import LEVEL
from convdepth.report.absent import AbsentError
from convdepth.report.load import Network


class Verdict(NamedTuple):
    """What a question found about two networks."""

    first: Network
    second: Network
    pair: Comparison

    @property
    def name(self) -> str:
        """Both names, such as ``cnn1 / cnn3``, without line breaks."""
        return f"{self.first.name}\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}{self.second.name}"

    @property
    def winner(self) -> Network | None:
        """The better network; None without one."""
        better = self.pair.verdict.removesuffix(" is better")
        return next((each for each in (self.first, self.second) if each.name == better), None)

    @property
    def is_equivalent(self) -> bool:
        """Whether the two differ by less than the margin."""
        return self.pair.verdict == EQUIVALENT

    @property
    def misleads(self) -> bool:
        """Whether McNemar's test of the first seed alone leads to another verdict."""
        test, winner = self.pair.first_seed, None
        if test and test.corrected_p < LEVEL:
            winner = self.first if test.only_first > test.only_second else self.second
        return winner is not self.winner

    def other(self, network: Network) -> Network:
        """Return the network that this one is compared with."""
        return self.second if network is self.first else self.first


class Depth(NamedTuple):
    """Verdicts on pairs of networks of different depth, counted by the winner."""

    deeper: int
    shallower: int
    equivalent: int
    pairs: int

    @property
    def unclear(self) -> int:
        """Pairs that are not settled."""
        return self.pairs - self.deeper - self.shallower - self.equivalent

    @property
    def effect(self) -> str:
        """The key of the finding, which the template puts into words."""
        if not self.pairs:
            return "untested"
        if self.shallower:
            return "mixed" if self.deeper else "hurts"
        if self.deeper:
            return "helps" if self.deeper == self.pairs else "helps some"
        return "unseen"


class Best(NamedTuple):
    """The network with the highest mean accuracy, and the others by the verdict on each pair."""

    network: Network
    beaten: list[str]
    equivalent: list[str]
    unclear: list[str]


def compare(networks: Sequence[Network], answer: Answer) -> list[Verdict]:
    """Return the verdict on each pair of networks, in the order of params.yaml."""
    (group,) = answer.groups
    verdicts = []
    for first, second in itertools.combinations(networks, 2):
        pair = answer.find(group, second.name, first.name)
        if pair is None:
            raise AbsentError(
                f"{group}.json: comparisons: expected {first.name} and {second.name}, found "
                f"{answer.trained} of {answer.planned} trainings. Run `{STUDIES}:{group}`."
            )
        verdicts.append(Verdict(first, second, pair))
    return verdicts


def count_depth(verdicts: Iterable[Verdict]) -> Depth:
    """Count the pairs that the deeper and the shallower network win; skip pairs of equal depth."""
    pairs = [each for each in verdicts if each.first.num_blocks != each.second.num_blocks]
    is_deeper = [
        each.winner.num_blocks > each.other(each.winner).num_blocks for each in pairs if each.winner
    ]
    equivalent = sum(each.is_equivalent for each in pairs)
    return Depth(is_deeper.count(True), is_deeper.count(False), equivalent, len(pairs))


def find_best(networks: Sequence[Network], verdicts: Iterable[Verdict]) -> Best:
    """Find the network with the highest mean accuracy by the recipe."""
    best = max(networks, key=lambda network: network.replicates.accuracy.mean)
    beaten, equivalent, unclear = list[str](), list[str](), list[str]()
    for each in verdicts:
        if best in (each.first, each.second):
            names = equivalent if each.is_equivalent else unclear if not each.winner else beaten
            names.append(each.other(best).name)
    return Best(best, beaten, equivalent, unclear)


def find_dominated(
    verdicts: Iterable[Verdict], costs: Mapping[str, Replicates]
) -> dict[str, dict[str, list[str]]]:
    """Return the better networks with lower cost, by kind of cost and by the worse network."""
    dominated: dict[str, dict[str, list[str]]] = {"flop": {}, "parameters": {}}
    decided = [(it.winner.name, it.other(it.winner).name) for it in verdicts if it.winner]
    for kind, losers in dominated.items():
        for better, worse in decided:
            if getattr(costs[better], kind) < getattr(costs[worse], kind):
                losers.setdefault(worse, []).append(better)
    return dominated

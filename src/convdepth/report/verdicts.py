"""Verdicts on pairs of networks: who is better, the effect of depth, who costs more for less.

Two networks differ only where the stage `contrast` found evidence of it.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from convdepth.evaluation.results import Contrasts, Cost, Pair
from convdepth.evaluation.significance import LEVEL, NO_EVIDENCE
from convdepth.report.load import Network

COSTS = ("flop", "parameters")


@dataclass(frozen=True)
class Verdict:
    """What the stage `contrast` found about two networks."""

    first: Network
    second: Network
    pair: Pair

    @property
    def key(self) -> str:
        """The pair's key in result files, such as ``cnn1 / cnn3``."""
        return f"{self.first.name} / {self.second.name}"

    @property
    def name(self) -> str:
        """The key, without line breaks."""
        return self.key.replace(" ", "\N{NO-BREAK SPACE}")

    @property
    def winner(self) -> str | None:
        """The better network; None without evidence."""
        verdict = self.pair.verdict
        return None if verdict == NO_EVIDENCE else verdict.removesuffix(" is better")

    @property
    def loser(self) -> str | None:
        """The worse network; None without evidence."""
        if self.winner is None:
            return None
        return (self.second if self.winner == self.first.name else self.first).name

    @property
    def first_seed_winner(self) -> str | None:
        """The better network according to McNemar's test of the first seed alone."""
        test = self.pair.first_seed
        if test.corrected_p >= LEVEL:
            return None
        return (self.first if test.only_first > test.only_second else self.second).name


class Effect(StrEnum):
    """The effect of depth, according to the verdicts."""

    UNTESTED = "untested"  # no two networks differ in depth
    UNSEEN = "unseen"
    HELPS = "helps"
    HELPS_SOME = "helps some"
    HURTS = "hurts"
    MIXED = "mixed"


@dataclass(frozen=True)
class Depth:
    """Verdicts on pairs of networks of different depth, counted by the winner."""

    deeper: int
    shallower: int
    pairs: int

    @property
    def unclear(self) -> int:
        """Pairs without evidence of a difference."""
        return self.pairs - self.deeper - self.shallower

    @property
    def effect(self) -> Effect:
        """The effect of depth."""
        if not self.pairs:
            return Effect.UNTESTED
        if self.deeper and self.shallower:
            return Effect.MIXED
        if self.shallower:
            return Effect.HURTS
        if self.deeper:
            return Effect.HELPS if self.deeper == self.pairs else Effect.HELPS_SOME
        return Effect.UNSEEN


class Best(NamedTuple):
    """The network with the highest mean accuracy, and the others by the verdict on each pair."""

    network: Network
    beaten: list[str]
    not_different: list[str]


def compare(networks: Sequence[Network], contrasts: Contrasts) -> list[Verdict]:
    """Return the verdict on each pair of networks, in the order of params.yaml."""
    return [
        Verdict(first, second, contrasts.pairs[f"{first.name} / {second.name}"])
        for first, second in itertools.combinations(networks, 2)
    ]


def count_depth(verdicts: Iterable[Verdict]) -> Depth:
    """Count the pairs that the deeper and the shallower network win; skip pairs of equal depth."""
    winners = [
        each.winner
        and max(each.first, each.second, key=lambda it: it.num_blocks).name == each.winner
        for each in verdicts
        if each.first.num_blocks != each.second.num_blocks
    ]
    return Depth(winners.count(True), winners.count(False), len(winners))


def find_best(networks: Sequence[Network], verdicts: Iterable[Verdict]) -> Best:
    """Find the network with the highest mean accuracy by the recipe."""
    best = max(networks, key=lambda network: network.replicates.accuracy.mean)
    own = [each for each in verdicts if best in (each.first, each.second)]
    return Best(
        best,
        [each.loser for each in own if each.loser and each.winner == best.name],
        [
            other.name
            for each in own
            for other in (each.first, each.second)
            if each.winner is None and other is not best
        ],
    )


def find_dominated(
    verdicts: Sequence[Verdict], costs: Mapping[str, Cost]
) -> dict[str, dict[str, list[str]]]:
    """Return the better networks with lower cost, by kind of cost and by the worse network."""
    dominated: dict[str, dict[str, list[str]]] = {kind: {} for kind in COSTS}
    for each in verdicts:
        for kind in COSTS:
            if each.winner and each.loser:
                better, worse = (getattr(costs[it], kind) for it in (each.winner, each.loser))
                if better < worse:
                    dominated[kind].setdefault(each.loser, []).append(each.winner)
    return dominated

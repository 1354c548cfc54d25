"""Facts of the report on made-up results, and on results that turn them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from report_inputs import make_architecture, make_collapse, make_depth, make_network, make_results

from convdepth.evaluation.results import EQUIVALENT, Answer
from convdepth.report import facts
from convdepth.report.facts import FINDERS
from convdepth.report.load import Network
from convdepth.report.verdicts import compare, count_depth, find_dominated

ONE = make_network("one", 0, 1, [0.99, 0.992, 0.991])
THREE = make_network("three", 1, 3, [0.985, 0.987, 0.986])
FIVE = make_network("five", 2, 5)
DEAD = make_network("seven", 2, 7, [0.1135] * 3, collapsed=True)


def study(network: Network, learned: dict[float, int], **values: float) -> Network:
    return replace(network, collapse=make_collapse(network.architecture, learned, **values))


def find(facts: str, *networks: Network, **changes: Any) -> dict[str, Any]:
    return FINDERS[facts](make_results(networks, **changes))


ALL = {"one / five": "five", "one / three": "three", "three / five": "five"}


@pytest.mark.parametrize(
    ("winners", "effect", "counts"),
    [
        ({}, "unseen", (0, 0, 0, 3)),
        ({"one / five": "five"}, "helps some", (1, 0, 0, 3)),
        (ALL | {"one / five": EQUIVALENT}, "helps some", (2, 0, 1, 3)),
        ({"one / five": "one"}, "hurts", (0, 1, 0, 3)),
        ({"one / five": "one", "one / three": "three"}, "mixed", (1, 1, 0, 3)),
        (ALL, "helps", (3, 0, 0, 3)),
    ],
)
def test_the_effect_of_depth_follows_the_verdicts(
    winners: dict[str, str], effect: str, counts: tuple[int, int, int, int]
) -> None:
    depth = find("pairs", ONE, THREE, FIVE, winners=winners)["depth"]
    assert (depth.effect, depth) == (effect, counts)


def test_the_deeper_network_is_known_by_its_blocks_not_by_its_position() -> None:
    assert find("pairs", THREE, ONE, winners={"three / one": "three"})["depth"].effect == "helps"
    twins = [ONE, make_network("two", 1, 1)]
    assert count_depth(compare(twins, make_results(twins).by_recipe)).effect == "untested"


def test_the_best_network_beats_others_only_by_verdict_and_a_misleading_seed_is_named() -> None:
    first_seed = {"one / three": (30, 5, 0.001), "one / seven": (5, 900, 0.0)}
    winners = {"one / seven": "one", "one / five": EQUIVALENT}
    found = find("pairs", ONE, THREE, FIVE, DEAD, winners=winners, first_seed=first_seed)
    assert found["best"] == (ONE, ["seven"], ["five"], ["three"])
    misled = [name.replace("\N{NO-BREAK SPACE}", " ") for name in found["misled"]]
    assert misled == ["one / three", "one / seven"]


def test_a_cheaper_network_counts_only_if_the_verdict_is_for_it() -> None:
    winners = {"one / five": "one", "three / five": "five"}
    networks = [ONE, THREE, FIVE]
    verdicts = compare(networks, make_results(networks, winners).by_recipe)
    costs = {
        name: ONE.replicates.model_copy(update={"flop": flop, "parameters": parameters})
        for name, flop, parameters in [("one", 1, 3), ("three", 3, 1), ("five", 2, 3)]
    }
    assert find_dominated(verdicts, costs) == {
        "flop": {"three": ["five"], "five": ["one"]},
        "parameters": {},
    }


def test_depth_alone_differs_only_if_blocks_continue() -> None:
    assert facts.differ_in_depth_alone([THREE, ONE])
    other = make_network("five", 2, make_architecture(5, kernel_size=2))
    assert not facts.differ_in_depth_alone([ONE, other])
    assert find("depths", FIVE, ONE, DEAD)["deepest"] == [DEAD]
    assert find("depths", FIVE, ONE, other)["deepest"] == [FIVE, other]


def test_the_notebook_is_compared_with_itself_and_with_the_run() -> None:
    a = make_network("a", 0, 1, record=(0.9919, 0.9919))
    b = make_network("b", 1, 2, record=(0.1135, 0.5656))
    found = find("notebook", a, b, THREE)
    assert found["contradictions"] == {"b": pytest.approx(0.4521)}
    assert (found["inside"], found["recorded"]) == (["a"], [a, b])


def test_networks_that_did_not_learn_are_left_out_of_spans_and_curves() -> None:
    found = find("seeds", ONE, DEAD)
    assert (found["learners"], found["failed"]) == (["one"], [DEAD])
    assert found["spans"].high == pytest.approx(0.002)
    assert found["early"] == {"one": 2}  # of three epochs
    calibration = find("seeds", ONE, THREE, DEAD)["calibration"]
    assert (calibration.lowest, calibration.highest) == ("one", "three")
    stuck = replace(ONE, replicates=ONE.replicates.model_copy(update={"failed": 2}))
    assert find("seeds", stuck)["learners"] == []


@pytest.mark.parametrize(
    ("learned", "bands", "is_whole"),
    [
        ({0: 2, 0.5: 2, 1: 2}, [(0, 1, 2, 2)], True),
        ({0: 2, 0.5: 1, 1: 0}, [(0, 0, 2, 2), (0.5, 0.5, 1, 2), (1, 1, 0, 2)], True),
        ({0: 0, 1: 0}, [(0, 1, 0, 2)], False),
        ({0: 1, 1: 2}, [(0, 0, 1, 2), (1, 1, 2, 2)], False),
    ],
)
def test_scales_are_grouped_by_how_many_trainings_learned(
    learned: dict[float, int], bands: list[tuple[float, ...]], is_whole: bool
) -> None:
    found = find("collapse", study(ONE, learned))
    assert found["bands"] == {"one": bands}
    assert found["bands"]["one"][0].is_whole == is_whole
    assert found["robust"] == (["one"] if is_whole and len(bands) == 1 else [])


def test_signals_and_losses_are_split_by_who_learned() -> None:
    found = find("collapse", study(ONE, {0: 2, 1: 0}), study(THREE, {0: 2}, signal=0.02))
    assert found["learned_signals"] == [0.3, 0.3, 0.02, 0.02]
    assert found["failed_signals"] == [0.03] * 2
    assert (found["failed_losses"], found["at_prior"]) == ([1.0, 1.0], True)


@pytest.mark.parametrize(
    ("learned", "agreement", "separates"), [(0, 0.001, True), (0, 0.5, False), (2, 0.001, None)]
)
def test_gradients_and_who_learned(learned: int, agreement: float, separates: bool | None) -> None:
    found = find("collapse", ONE, study(THREE, {1: learned}, agreement=agreement))[
        "label_agreement"
    ]
    assert {found.low, found.high} == {0.125, agreement}
    assert found.separates == separates


def test_dead_layers_and_mistakes_are_told_apart_by_who_learned() -> None:
    counts = np.diag([100] * 10)
    counts[4, 9], counts[9, 4] = 7, 3
    found = find("reading", replace(ONE, confusion=counts), THREE, DEAD)
    assert (found["dead"], found["alive"]) == ({"seven": ["head_dense"]}, ["one", "three"])
    assert found["least_active"] == 0.75
    assert found["mistakes"] == [("one", 4, 9, 7)]
    assert found["unable"] == ["seven"]


def test_depths_are_counted_by_verdict_and_direction() -> None:
    found = find("depth_alone", ONE)
    assert (found["deeper"], found["shallower"], found["unclear"], found["equivalent"]) == (
        1,
        0,
        1,
        0,
    )
    assert (found["first"], found["least"]) == (1, 2)
    assert (found["better"], found["groups"], found["highest"]) == ({"3": 1}, 2, [("3", 2)])
    results = make_results([ONE])
    study = make_depth(("depth 1 is better", EQUIVALENT))
    study["comparisons"][0] |= {"difference": -0.004}
    turned = FINDERS["depth_alone"](replace(results, depth=Answer.model_validate(study)))
    assert (turned["deeper"], turned["shallower"], turned["equivalent"]) == (0, 1, 1)


def test_tuning_is_judged_by_its_verdicts() -> None:
    networks = [
        make_network(name, i, i + 1, tuned=0.99 + i / 1000) for i, name in enumerate("abcd")
    ]
    gains = {"b": None, "c": "the recipe", "d": EQUIVALENT}
    found = find("tuning", *networks, tuned_winners={"a / c": "a"}, gains=gains)
    kinds = [found[kind] for kind in ("better", "unclear", "worse", "equivalent")]
    assert kinds == [["a"], ["b"], ["c"], ["d"]]
    assert found["best"][0].name == "d"
    assert (found["depth"].effect, found["depth"].pairs) == ("hurts", 6)

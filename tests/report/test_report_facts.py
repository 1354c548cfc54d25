"""Facts of the report on made-up results, and on results that turn them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from report_inputs import make_architecture, make_collapse, make_network, make_results

from convdepth.evaluation.results import Cost
from convdepth.report import facts, formats
from convdepth.report.facts import gather_facts
from convdepth.report.load import Network
from convdepth.report.verdicts import Effect, compare, count_depth, find_best, find_dominated


@pytest.fixture
def one() -> Network:
    return make_network("one", 0, 1, [0.99, 0.992, 0.991])


@pytest.fixture
def three() -> Network:
    return make_network("three", 1, 3, [0.985, 0.987, 0.986])


@pytest.fixture
def dead() -> Network:
    return make_network("seven", 2, 7, [0.1135] * 3, collapsed=True)


def study(network: Network, learned: Mapping[float, int], **values: float) -> Network:
    return replace(network, collapse=make_collapse(network.architecture, learned, **values))


def test_numbers_and_names_are_written_alike() -> None:
    assert formats.percent(0.99164) == "99.16%"
    assert formats.points(-0.00421) == "0.42"
    assert [formats.signed(value) for value in (0.0042, -0.0042, -1e-9)] == [
        "+0.42", "\N{MINUS SIGN}0.42", "+0.00"
    ]  # fmt: skip
    assert [formats.short(value) for value in (0, 0.004321, 7.1e-9)] == ["0", "0.00432", "7.1e-09"]
    assert [formats.count(number, "image") for number in (1, 10_000)] == [
        "1 image",
        "10,000 images",
    ]
    assert [formats.join_names(list(names)) for names in ("", "a", "ab", "abc")] == [
        "none", "a", "a and b", "a, b and c"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("winners", "effect", "counts"),
    [
        ({}, Effect.UNSEEN, (0, 0, 3)),
        ({"one / five": "five"}, Effect.HELPS_SOME, (1, 0, 3)),
        ({"one / five": "one"}, Effect.HURTS, (0, 1, 3)),
        ({"one / five": "one", "one / three": "three"}, Effect.MIXED, (1, 1, 3)),
        (
            {"one / five": "five", "one / three": "three", "three / five": "five"},
            Effect.HELPS,
            (3, 0, 3),
        ),
    ],
)
def test_the_effect_of_depth_follows_the_verdicts(
    winners: dict[str, str],
    effect: Effect,
    counts: tuple[int, int, int],
    one: Network,
    three: Network,
) -> None:
    five = make_network("five", 2, 5)
    depth = gather_facts(make_results([one, three, five], winners))["depth"]
    assert (depth.effect, (depth.deeper, depth.shallower, depth.pairs)) == (effect, counts)


def test_the_deeper_network_is_known_by_its_blocks_not_by_its_position(
    one: Network, three: Network
) -> None:
    results = make_results([three, one], {"three / one": "three"})
    assert gather_facts(results)["depth"].effect == Effect.HELPS
    twin = make_network("two", 1, 1)
    assert count_depth(compare([one, twin], make_results([one, twin]).contrasts)).pairs == 0


def test_the_best_network_beats_others_only_by_verdict(
    one: Network, three: Network, dead: Network
) -> None:
    results = make_results([three, one, dead], {"one / seven": "one"})
    best = find_best(results.networks, compare(results.networks, results.contrasts))
    assert (best.network.name, best.beaten, best.not_different) == ("one", ["seven"], ["three"])


def test_a_misleading_first_seed_is_named(one: Network, three: Network, dead: Network) -> None:
    first_seed = {"one / three": (30, 5, 0.001), "one / seven": (5, 900, 0.0)}
    found = gather_facts(
        make_results([one, three, dead], {"one / seven": "one"}, first_seed=first_seed)
    )
    misled = [name.replace("\N{NO-BREAK SPACE}", " ") for name in found["misled"]]
    assert misled == ["one / three", "one / seven"]


def test_a_cheaper_network_counts_only_if_the_verdict_is_for_it(
    one: Network, three: Network
) -> None:
    five = make_network("five", 2, 5)
    winners = {"one / five": "one", "three / five": "five"}
    results = make_results([one, three, five], winners)
    verdicts = compare(results.networks, results.contrasts)
    sizes = {"one": (1, 3), "three": (3, 1), "five": (2, 3)}
    costs = {
        name: Cost(flop=flop, parameters=parameters, images=1)
        for name, (flop, parameters) in sizes.items()
    }
    assert find_dominated(verdicts, costs) == {
        "flop": {"three": ["five"], "five": ["one"]},
        "parameters": {},
    }


def test_depth_alone_differs_only_if_blocks_continue(one: Network, three: Network) -> None:
    assert facts.differ_in_depth_alone([three, one])
    other = make_network("five", 2, make_architecture(5, kernel_size=2))
    assert not facts.differ_in_depth_alone([one, other])


def test_the_notebook_is_compared_with_itself_and_with_the_run() -> None:
    a = make_network("a", 0, 1, record=(0.9919, 0.9919))
    b = make_network("b", 1, 2, record=(0.1135, 0.5656))
    assert facts.contradictions([a, b]) == {"b": pytest.approx(0.4521)}
    found = gather_facts(make_results([a, b, make_network("c", 2, 3)]))
    assert found["inside"] == ["a"]
    assert [each.name for each in found["recorded"]] == ["a", "b"]


def test_networks_that_did_not_learn_are_left_out_of_spans_and_curves(
    one: Network, dead: Network
) -> None:
    found = gather_facts(make_results([one, dead]))
    assert found["learners"] == ["one"]
    assert [each.name for each in found["failed"]] == ["seven"]
    assert found["seed_spans"].high == pytest.approx(0.002)
    assert found["early"] == {"one": 2}  # of three epochs
    stuck = replace(one, replicates=one.replicates.model_copy(update={"near_chance": 2}))
    assert gather_facts(make_results([stuck]))["learners"] == []


@pytest.mark.parametrize(
    ("learned", "bands", "up_to"),
    [
        ({0: 2, 0.5: 2, 1: 2}, [(0, 1, 2, 2)], 1),
        ({0: 2, 0.5: 1, 1: 0}, [(0, 0, 2, 2), (0.5, 0.5, 1, 2), (1, 1, 0, 2)], 0),
        ({0: 0, 1: 0}, [(0, 1, 0, 2)], None),
        ({0: 1, 1: 2}, [(0, 0, 1, 2), (1, 1, 2, 2)], None),
    ],
)
def test_scales_are_grouped_by_how_many_trainings_learned(
    learned: dict[float, int], bands: list[tuple[float, ...]], up_to: float | None, one: Network
) -> None:
    network = study(one, learned)
    assert facts.learned_bands(network) == bands
    point = facts.learns_up_to(network)
    assert (point and point.scale) == up_to


def test_signals_and_losses_are_split_by_who_learned(one: Network, three: Network) -> None:
    networks = [study(one, {0: 2, 1: 0}), study(three, {0: 2}, signal=0.02)]
    found = gather_facts(make_results(networks))
    assert (found["learned_signals"], found["failed_signals"]) == (
        [0.3, 0.3, 0.02, 0.02],
        [0.03] * 2,
    )
    assert (found["failed_losses"], found["at_prior"]) == ([1.0, 1.0], True)
    assert found["robust"] == ["three"]


@pytest.mark.parametrize(
    ("learned", "agreement", "separates"),
    [({1: 0}, 0.001, True), ({1: 0}, 0.5, False), ({1: 2}, 0.001, None)],
)
def test_gradients_are_held_against_who_learned(
    learned: dict[float, int],
    agreement: float,
    separates: bool | None,
    one: Network,
    three: Network,
) -> None:
    results = make_results([one, study(three, learned, agreement=agreement)])
    found = facts.compare_blocks(results, "agreement")
    assert found is not None
    assert {found.low, found.high} == {0.125, agreement}
    assert found.separates == separates


def test_dead_layers_are_named(one: Network, dead: Network) -> None:
    found = gather_facts(make_results([one, dead]))
    assert (found["dead"], found["alive"]) == ({"seven": ["head_dense"]}, ["one"])
    assert found["least_active"] == 0.75


def test_calibration_and_mistakes_leave_out_who_collapsed(
    one: Network, three: Network, dead: Network
) -> None:
    counts = np.diag([100] * 10)
    counts[4, 9], counts[9, 4] = 7, 3
    found = gather_facts(make_results([replace(one, confusion=counts), three, dead]))
    assert (found["calibration"].lowest, found["calibration"].highest) == ("one", "three")
    assert found["mistakes"] == [("one", 4, 9, 7)]
    assert found["unable"] == ["seven"]


def test_tuning_is_judged_by_its_verdicts() -> None:
    networks = [make_network(name, i, i + 1, tuned=0.99 + i / 1000) for i, name in enumerate("abc")]
    gains: dict[str, str | None] = {"b": None, "c": "the recipe"}
    found = gather_facts(make_results(networks, tuned_winners={"a / c": "a"}, gains=gains))
    assert (found["better"], found["unchanged"], found["worse"]) == (["a"], ["b"], ["c"])
    assert found["tuned_best"][0].name == "c"
    assert (found["depth_tuned"].effect, found["depth_tuned"].pairs) == (Effect.HURTS, 3)

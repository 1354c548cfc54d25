"""The report's sentences: each on made-up data with a known answer, and on data that turn it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conftest import PROJECT
from convdepth.config.architecture import Architecture
from convdepth.config.params import read_params
from convdepth.evaluation.metrics import Score
from convdepth.evaluation.notebook_record import Record
from convdepth.evaluation.results import (
    AllContrasts,
    Collapse,
    Contrasts,
    Gains,
    NetworkReading,
    Reading,
    Replicates,
    TunedNetwork,
    Validation,
)
from convdepth.evaluation.significance import NO_EVIDENCE
from convdepth.report import text
from convdepth.report import text_reading as study
from convdepth.report import text_tuning as tuning
from convdepth.report.load import Network, Results

IMAGES = 10_000
RECIPE = read_params(PROJECT / "params.yaml").train
NOT_TUNED = {"tuned": {"seeds": 0, "pairs": {}}, "gains": {"networks": {}}}


def architecture(blocks: int, kernel_size: int = 3) -> Architecture:
    block = {"conv1": {"filters": 2, "kernel_size": kernel_size}, "pool_size": 1}
    numbered = {f"block{number}": block for number in range(1, blocks + 1)}
    return Architecture.model_validate({**numbered, "head": {"units": 4}})


def make_network(
    name: str,
    place: int,
    blocks: int,
    accuracies: Sequence[float],
    collapsed: int = 0,
    kernel_size: int = 3,
) -> Network:
    """Give a network whose last seeds have collapsed."""
    learned = len(accuracies) - collapsed
    statuses = ["ok"] * learned + ["collapsed"] * collapsed
    mean = sum(accuracies) / len(accuracies)
    runs = [
        {
            "seed": seed,
            "accuracy": accuracy,
            "loss": 0.1,
            "status": status,
            "curves": {key: [0.5, 0.4] for key in ("loss", "accuracy", "val_accuracy")}
            | {"val_loss": [0.3, 0.2]},
        }
        for seed, (accuracy, status) in enumerate(zip(accuracies, statuses, strict=True), 1)
    ]
    spread = {"mean": mean, "standard_deviation": 0.001, "low": mean - 0.001, "high": mean + 0.001}
    status = statuses[0]
    return Network(
        name=name,
        place=place,
        architecture=architecture(blocks, kernel_size),
        score=Score(
            images=IMAGES,
            accuracy=accuracies[0],
            accuracy_low=accuracies[0] - 0.002,
            accuracy_high=accuracies[0] + 0.002,
            loss=0.1,
            status=status,
            answer=1,
            answer_share=0.1 if status == "ok" else 0.998,
            top2_accuracy=accuracies[0] + 0.001,
        ),
        replicates=Replicates.model_validate(
            {
                "runs": runs,
                "collapsed": collapsed,
                "near_chance": 0,
                "accuracy": spread,
                "loss": {"mean": 0.1, "standard_deviation": 0.001},
            }
        ),
        tuned=None,
        is_first_seed=True,
        confusion=np.diag([10] * 10),
        collapse=make_collapse({0: 2, 1: 2}),
        reading=NetworkReading.model_validate(
            {
                "calibration_error": 0.01,
                "reliability": [{"images": 10, "probability": 0.9, "accuracy": 0.95}],
                "layers": [
                    {"layer": "block1_conv1", "channels": 32, "active": 24},
                    {"layer": "head_dense", "channels": 128, "active": 128},
                ],
            }
        ),
        record=None,
        model_md5="0" * 32,
    )


def make_collapse(
    learned: Mapping[float, int], signal: float = 0.3, last_loss: float = 2.3, seeds: int = 2
) -> Collapse:
    """Give a study: by scale, how many of the seeds learned; who did not has a tenth of signal."""
    points = []
    for scale, count in learned.items():
        runs = [
            {
                "seed": seed,
                "prior_loss": 2.3,
                "loss": [1.0] if seed < count else [2.4, last_loss],
                "epochs_to_learn": 1 if seed < count else None,
                "signal": {"block1": 0.5, "head_dense": signal if seed < count else signal / 10},
                "gradient_norm": {"block1": 0.25},
                "agreement": {"block1": 0.125},
            }
            for seed in range(seeds)
        ]
        points.append(
            {
                "scale": scale,
                "keep_share": 0.5,
                "learned": count,
                "runs": runs,
                "signal": runs[0]["signal"],
            }
        )
    return Collapse.model_validate({"points": points, "learned": 0.9, "epochs": 2})


def make_results(
    networks: Sequence[Network],
    winners: Mapping[str, str] | None = None,
    first_seed: Mapping[str, tuple[int, int, float]] | None = None,
    **reading: Any,
) -> Results:
    """Give results in which the winners of pairs, such as ``a / b``, are better."""
    pairs = {}
    for place, first in enumerate(networks):
        for second in networks[place + 1 :]:
            name = f"{first.name} / {second.name}"
            winner = (winners or {}).get(name)
            only_first, only_second, p = (first_seed or {}).get(name, (5, 5, 1.0))
            pairs[name] = {
                "difference": 0.0,
                "low": -0.1,
                "high": 0.1,
                "standard_deviation": 0.001,
                "p": 0.01 if winner else 0.5,
                "corrected_p": 0.03 if winner else 1.0,
                "verdict": f"{winner} is better" if winner else NO_EVIDENCE,
                "first_seed": {
                    "only_first": only_first,
                    "only_second": only_second,
                    "p": p,
                    "corrected_p": p,
                },
            }
    defaults: dict[str, Any] = {
        "networks": {network.name: network.reading for network in networks},
        "agreement": {},
        "hardest": [],
        "all_fail": {"images": 0, "networks": [network.name for network in networks]},
    }
    seeds = networks[0].replicates.count
    return Results(
        networks=list(networks),
        contrasts=AllContrasts.model_validate({"seeds": seeds, "pairs": pairs, **NOT_TUNED}),
        reading=Reading.model_validate(defaults | reading),
        validation=make_validation(),
        train_images=60_000,
        recipe=RECIPE,
        hardest=np.zeros((0, 28, 28), np.float32),
        pictures={},
    )


def make_validation(broken: int = 0) -> Validation:
    rules = [
        {"rule": "a", "table": "raw", "num_broken": broken},
        {"rule": "b", "table": "raw", "observed": 70_000},
    ]
    return Validation.model_validate(
        {
            "images": {"raw": 70_000, "normalized": 1_200},
            "num_rules": 2,
            "success": not broken,
            "rules": rules,
        }
    )


def change(network: Network, **changes: Any) -> Network:
    return Network(**(vars(network) | changes))


def record(recorded: float, claimed: float) -> Record:
    epoch = {"epoch": 1, "loss": 0.4, "accuracy": 0.9, "val_loss": 0.2, "val_accuracy": 0.95}
    return Record.model_validate(
        {
            "parameters": 1,
            "test_accuracy": recorded,
            "test_loss": 0.1,
            "claimed_accuracy": claimed,
            "claimed_loss": 0.1,
            "epochs": [epoch],
        }
    )


@pytest.fixture
def shallow() -> Network:
    return make_network("one", 0, 1, [0.99, 0.992, 0.991])


@pytest.fixture
def deep() -> Network:
    return make_network("three", 1, 3, [0.985, 0.987, 0.986])


@pytest.fixture
def dead() -> Network:
    return make_network("seven", 2, 7, [0.1135, 0.1135, 0.1135], collapsed=3)


def test_numbers_are_written_alike() -> None:
    assert text.percent(0.99164) == "99.16 %"
    assert text.percent(1) == "100.00 %"
    assert text.points(-0.00421) == "0.42"
    assert text.multiple(10_000, "image") == "10,000 images"
    assert text.multiple(1, "seed") == "1 seed"
    assert [text.short(value) for value in (0, 0.004321, 7.1e-9)] == ["0", "0.00432", "7.1e-09"]
    assert [text.listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]


def test_depth_does_not_help_where_the_shallower_is_better(shallow: Network, deep: Network) -> None:
    results = make_results([shallow, deep], {"one / three": "one"})
    assert text.say_depth(results) == (
        "More depth does not help here: the network with fewer blocks is better in the only pair."
    )


def test_depth_helps_where_the_deeper_is_better(shallow: Network, deep: Network) -> None:
    results = make_results([shallow, deep], {"one / three": "three"})
    assert text.say_depth(results) == (
        "More depth helps here: the deeper network is better in the only pair."
    )


def test_nothing_is_said_of_depth_without_a_verdict(shallow: Network, deep: Network) -> None:
    assert text.say_depth(make_results([shallow, deep])) == (
        "No effect of depth can be seen: there is no evidence of a difference in the only pair."
    )


def test_the_deeper_one_is_told_by_its_blocks_not_by_its_place(
    shallow: Network, deep: Network
) -> None:
    results = make_results([deep, shallow], {"three / one": "three"})
    assert text.say_depth(results).startswith("More depth helps here: the deeper network")


def test_collapsed_networks_are_also_left_aside(
    shallow: Network, deep: Network, dead: Network
) -> None:
    winners = {"one / three": "three", "one / seven": "one", "three / seven": "three"}
    assert text.say_depth(make_results([shallow, deep, dead], winners)) == (
        "More depth is no steady gain: the network with fewer blocks is better in 2 of 3 pairs, "
        "the deeper network in 1. Among the networks that learned with every seed (one and three), "
        "the deeper network is better in the only pair."
    )


def test_depth_helps_in_some_pairs(shallow: Network, deep: Network) -> None:
    other = make_network("five", 2, 5, [0.99] * 3)
    results = make_results([shallow, deep, other], {"one / five": "five"})
    assert text.say_depth(results) == (
        "More depth helps in some pairs: the deeper network is better in 1 of 3 pairs, the network "
        "with fewer blocks in none, and 2 without evidence of a difference."
    )


def test_one_depth_has_no_effect_to_speak_of(shallow: Network) -> None:
    twin = make_network("two", 1, 1, [0.98] * 3)
    for networks in ([shallow], [shallow, twin]):
        assert text.say_depth(make_results(networks)).startswith(
            "There are no two networks of diff"
        )


def test_the_best_is_better_only_by_verdict(shallow: Network, deep: Network, dead: Network) -> None:
    results = make_results([shallow, deep, dead], {"one / seven": "one"})
    assert text.say_best(results) == (
        "one has the highest mean accuracy, 99.10 % (95 % interval 99.00 % to 99.20 %), and is "
        "better than seven; there is no evidence that it differs from three."
    )
    results = make_results([shallow, deep], {"one / three": "one"})
    assert text.say_best(results).endswith("99.20 %), and is better than three.")
    assert text.say_best(make_results([deep])) == (
        "three is right on 98.60 % (95 % interval 98.50 % to 98.70 %)."
    )


def test_certainty_names_seeds_images_and_level(
    shallow: Network, deep: Network, dead: Network
) -> None:
    said = text.say_certainty(make_results([shallow, deep]))
    assert said.startswith("Each network was trained with 3 seeds and answered 10,000 test images.")
    assert said.endswith(
        "their p, over other seeds and other images, is below 0.05, as chance makes it in one of "
        "20 studies of equal networks."
    )
    assert text.say_certainty(make_results([shallow, deep, dead])).endswith(
        "is below 0.05 after a correction for 3 pairs: if all were equal, chance would tell any of "
        "them apart in at most one of 20 such studies."
    )
    assert "differ" not in text.say_certainty(make_results([shallow]))


def test_networks_that_only_continue_each_other_differ_in_depth_alone(
    shallow: Network, deep: Network
) -> None:
    assert "in depth alone" in text.say_confounding(make_results([deep, shallow]))
    other = make_network("five", 2, 5, [0.99], kernel_size=2)
    assert "in more than their depth" in text.say_confounding(make_results([shallow, other]))
    assert text.say_confounding(make_results([shallow])) == ""


def test_who_collapsed_is_said_with_the_number_of_seeds(
    shallow: Network, deep: Network, dead: Network
) -> None:
    partly = make_network("half", 1, 3, [0.99, 0.98, 0.1135], collapsed=1)
    assert text.say_collapse(make_results([shallow, partly, dead])) == (
        "half collapsed with 1 of 3 seeds: it gives nearly every image the same answer. seven "
        'collapsed with 3 of 3 seeds: the pipeline\'s run answers "1" to 99.80 % of the images. '
        "one learned with every seed."
    )
    assert text.say_collapse(make_results([shallow, deep])) == (
        "None: each network learned with each of its 3 seeds."
    )
    assert text.say_collapse(make_results([dead])).endswith("No network learned with every seed.")


def test_near_chance_is_no_collapse(shallow: Network) -> None:
    stuck = change(shallow, replicates=shallow.replicates.model_copy(update={"near_chance": 2}))
    assert text.say_collapse(make_results([stuck])) == (
        "one stayed near chance with 2 of 3 seeds. No network learned with every seed."
    )


def test_the_notebook_contradicts_itself_where_it_does(shallow: Network, dead: Network) -> None:
    networks = [
        change(shallow, record=record(0.9916, 0.9906)),
        change(dead, record=record(0.1135, 0.5656)),
    ]
    assert text.say_notebook(make_results(networks)) == (
        "Its closing text claims 99.06 % and 56.56 % for one and seven; its own recorded outputs "
        "say 99.16 % and 11.35 %. The two contradict each other for one and seven, most for seven, "
        "by 45.21 percentage points."
    )
    honest = change(shallow, record=record(0.9906, 0.9906))
    assert text.say_notebook(make_results([honest, dead])).endswith("The two agree.")
    assert text.say_notebook(make_results([dead])) == "The notebook has none of these networks."


def test_the_record_is_inside_the_interval_or_outside(shallow: Network, deep: Network) -> None:
    networks = [change(shallow, record=record(0.9919, 0.9)), change(deep, record=record(0.99, 0.9))]
    said = text.say_results(make_results(networks))
    within = "the 95 % interval of the pipeline's run"
    assert f"lies inside {within} for one, and outside it for three." in said
    assert f"lies outside {within} for three." in text.say_results(make_results(networks[1:]))
    assert text.say_results(make_results([shallow])).startswith("The notebook has no record")


def test_the_spread_of_seeds_is_set_beside_that_of_means(
    shallow: Network, deep: Network, dead: Network
) -> None:
    wide = make_network("three", 1, 3, [0.98, 0.99, 0.985])
    assert text.say_seeds(make_results([shallow, wide, dead])) == (
        "The means of one and three spread over 0.60 percentage points, and the seeds of one "
        "network spread over up to 1.00 percentage points (three)."
    )
    assert text.say_seeds(make_results([deep, dead])).startswith("Only three learned with every")
    assert text.say_seeds(make_results([dead])).startswith("No network learned with every seed")


def test_pairs_are_counted_and_misleading_single_trainings_named(
    shallow: Network, deep: Network, dead: Network
) -> None:
    first_seed = {"one / three": (30, 5, 0.001), "one / seven": (900, 1, 0.0)}
    results = make_results([shallow, deep, dead], {"one / seven": "one"}, first_seed)
    assert text.say_pairs(results) == (
        "There is evidence of a difference in 1 of 3 pairs. A single training of each would have "
        "led to another verdict on one / three."
    )
    assert text.say_pairs(make_results([shallow, deep])) == (
        "There is no evidence of a difference in the only pair. A single training of each, with "
        "the first seed, would have said the same."
    )
    assert text.say_pairs(make_results([shallow])) == "There is one network, and so no pair."


def test_a_single_training_that_favors_the_other_one_is_misleading(
    shallow: Network, deep: Network
) -> None:
    first_seed = {"one / three": (5, 30, 0.001)}
    results = make_results([shallow, deep], {"one / three": "one"}, first_seed)
    assert "led to another verdict on one / three" in text.say_pairs(results)


def test_the_lowest_loss_is_in_the_last_epoch_or_before(shallow: Network, dead: Network) -> None:
    assert text.say_curves(make_results([shallow])) == (
        "The mean loss on the 10,000 test images is lowest in the last epoch for one."
    )
    runs = [
        run.model_copy(update={"curves": run.curves.model_copy(update={"val_loss": [0.1, 0.2]})})
        for run in shallow.replicates.runs
    ]
    past = change(shallow, replicates=shallow.replicates.model_copy(update={"runs": runs}))
    said = text.say_curves(make_results([past]))
    assert said.endswith("is lowest before the last epoch for one (epoch 1).")
    assert text.say_curves(make_results([dead])).startswith("No network learned")


def test_costs_count_only_by_verdict(shallow: Network, deep: Network) -> None:
    # The deeper one has fewer parameters here, since its last image is smaller.
    assert deep.architecture.num_parameters < shallow.architecture.num_parameters
    assert deep.architecture.flop > shallow.architecture.flop
    results = make_results([shallow, deep], {"one / three": "one"})
    assert text.say_pareto(results, "flop") == (
        "With fewer FLOP per image and better accuracy, by the verdicts: three is beaten by one."
    )
    for winners in ({"one / three": "one"}, {}):
        said = text.say_pareto(make_results([shallow, deep], winners), "parameters")
        assert said == "No network is beaten, by the verdicts, by one with fewer parameters."
    results = make_results([shallow, deep], {"one / three": "three"})
    assert "one is beaten by three" in text.say_pareto(results, "parameters")
    assert text.say_pareto(make_results([shallow]), "flop").startswith("There is one network")


def test_costs_are_weighed_in_the_order_of_the_networks(shallow: Network, deep: Network) -> None:
    other = make_network("five", 2, 5, [0.99] * 3)
    results = make_results([shallow, deep, other], {"one / five": "one", "three / five": "five"})
    beaten = text.weigh_costs(text.verdicts(results), {"one": 1, "three": 3, "five": 2})
    assert list(beaten.items()) == [("three", ["five"]), ("five", ["one"])]


def test_broken_rules_are_not_hidden(shallow: Network) -> None:
    results = make_results([shallow])
    assert text.say_data(results) == (
        "All 2 rules hold, for 70,000 raw and 1,200 normalized images."
    )
    broken = Results(**(vars(results) | {"validation": make_validation(broken=3)}))
    assert text.say_data(broken).startswith("1 rule of 2 found rows that break it")


def test_studies_of_another_state_are_said_to_be(shallow: Network, deep: Network) -> None:
    assert "is the first of its seeds" in text.say_first_seeds(make_results([shallow, deep]))
    results = make_results([shallow, change(deep, is_first_seed=False)])
    assert text.say_first_seeds(results).startswith("The first seed of three is not the pipeline's")


@pytest.mark.parametrize(
    ("learned", "said"),
    [
        ({0: 2, 0.5: 2, 1: 2}, "one learned with every seed at all scales, up to 1."),
        (
            {0: 2, 0.5: 1, 1: 0},
            "one learned with every seed up to scale 0, and with none from 1 on. With the dropouts "
            "that it has, 0 of 2 trainings learned.",
        ),
        (
            {0: 2, 1: 1},
            "one learned with every seed up to scale 0, and with some beyond. With the dropouts "
            "that it has, 1 of 2 trainings learned.",
        ),
        (
            {0: 0, 1: 0},
            "one learned with no seed at any scale, also not at 0. With the dropouts that it has, "
            "0 of 2 trainings learned.",
        ),
        ({0: 1, 1: 2}, "one learned with 1 of 2 seeds at 0 and 2 of 2 seeds at 1."),
    ],
)
def test_who_learned_at_which_scale(
    learned: Mapping[float, int], said: str, shallow: Network
) -> None:
    assert (
        study.say_learned(make_results([change(shallow, collapse=make_collapse(learned))])) == said
    )


@pytest.mark.parametrize(
    ("learned", "said"),
    [
        (
            {0: 2, 0.5: 2, 1: 0},
            "With its dropouts multiplied with 0.5 or less, seven learned with each of 2 seeds "
            "that were tried.",
        ),
        (
            {0: 2, 0.5: 1, 1: 0},
            "Without any dropout, seven learned with each of 2 seeds that were tried.",
        ),
        ({0: 0, 1: 0}, ""),
    ],
)
def test_less_dropout_is_named_as_the_cause_only_where_it_is(
    learned: Mapping[float, int], said: str, shallow: Network, dead: Network
) -> None:
    network = change(dead, collapse=make_collapse(learned))
    assert study.say_cause(make_results([shallow, network])) == said


def test_networks_that_learned_alike_share_a_sentence(shallow: Network, deep: Network) -> None:
    assert study.say_learned(make_results([shallow, deep])) == (
        "one and three learned with every seed at all scales, up to 1."
    )


def test_the_signal_tells_apart_unless_it_overlaps(shallow: Network, deep: Network) -> None:
    apart = change(deep, collapse=make_collapse({0: 2, 1: 0}))
    assert study.say_signal(make_results([shallow, apart])) == (
        "In each training that learned, at least 0.3 of the variance that reaches the head came "
        "from the image; in each that did not, at most 0.03. So in these 8 trainings the share "
        "tells them apart."
    )
    overlapping = change(deep, collapse=make_collapse({0: 2, 1: 0}, signal=0.02))
    clear = change(shallow, collapse=make_collapse({0: 2, 1: 0}, signal=0.3))
    assert study.say_signal(make_results([clear, overlapping])).endswith(
        "The two overlap, so the share alone does not tell them apart."
    )
    assert "All of these 4 trainings learned" in study.say_signal(make_results([shallow]))
    never = change(shallow, collapse=make_collapse({0: 0, 1: 0}))
    assert "None of these 4 trainings learned" in study.say_signal(make_results([never]))


def test_who_did_not_learn_knows_the_prior_or_less(shallow: Network) -> None:
    dead = change(shallow, collapse=make_collapse({0: 2, 1: 0}, last_loss=2.3023))
    assert study.say_loss(make_results([dead])) == (
        "The 2 trainings that did not learn ended at 1.001 times the loss of the class "
        "prior: they know how frequent each digit is, and nothing of the images."
    )
    slow = change(shallow, collapse=make_collapse({0: 2, 1: 0}, last_loss=2.2))
    assert study.say_loss(make_results([slow])).endswith("0.957 times the loss of the class prior.")
    assert study.say_loss(make_results([shallow])).startswith("Every training came below")


def test_gradients_are_held_against_who_learned(shallow: Network, dead: Network) -> None:
    failed = change(dead, collapse=make_collapse({0: 2, 1: 0}))
    assert study.say_norms(make_results([shallow, failed])) == (
        "The norm of the first block's gradient is 0.25 in each network."
    )
    for run in failed.collapse.points[1].runs:
        run.agreement["block1"], run.gradient_norm["block1"] = 0.001, 0.5
    results = make_results([shallow, failed])
    assert study.say_gradients(results).endswith(
        "on 0.125. It is lower wherever a training did not learn than wherever each did."
    )
    assert study.say_norms(results).endswith(
        "in seven, 0.5. It does not tell who learns from who does not."
    )


def test_gradients_are_named_from_least_to_most(shallow: Network, deep: Network) -> None:
    quiet = make_collapse({0: 2, 1: 2})
    for point in quiet.points:
        for run in point.runs:
            run.agreement["block1"], run.gradient_norm["block1"] = 0.001, 0.5
    results = make_results([shallow, change(deep, collapse=quiet)])
    assert "agree least in three, on 0.001, and most in one, on 0.125" in study.say_gradients(
        results
    )
    assert study.say_norms(results) == (
        "The gradient of the first block is smallest in one, 0.25, and largest in three, 0.5."
    )
    assert study.say_norms(make_results([shallow, deep])) == (
        "The norm of the first block's gradient is 0.25 in each network."
    )
    assert study.say_gradients(make_results([shallow])) == (
        "Gradients of the first block agree by 0.125 in each network."
    )


def test_layers_that_are_dead_are_named(shallow: Network, deep: Network) -> None:
    assert study.say_dead(make_results([shallow, deep])) == (
        "In each layer of one and three, at least 75.00 % of the channels answer to some image."
    )
    layers = [layer.model_copy(update={"active": 0}) for layer in deep.reading.layers]
    one = change(deep, reading=deep.reading.model_copy(update={"layers": layers[1:]}))
    assert study.say_dead(make_results([one])) == (
        "In three, head_dense is zero for each of 10,000 test images: what follows knows nothing "
        "of the image, and for these images no gradient comes back."
    )
    both = change(deep, reading=deep.reading.model_copy(update={"layers": layers}))
    text = study.say_dead(make_results([shallow, both]))
    assert text.startswith("In three, block1_conv1 and head_dense are zero for each of ")
    assert text.endswith(
        "In each layer of one, at least 75.00 % of the channels answer to some image."
    )


def test_calibration_leaves_the_collapsed_out(
    shallow: Network, deep: Network, dead: Network
) -> None:
    worse = change(deep, reading=deep.reading.model_copy(update={"calibration_error": 0.02}))
    perfect = change(dead, reading=dead.reading.model_copy(update={"calibration_error": 0.0}))
    assert study.say_calibration(make_results([shallow, worse, perfect])) == (
        "Of those that learned, one has the smallest expected calibration error, 1.00 %, and three "
        "the largest, 2.00 %: it says 90.00 % on average, less than the 98.50 % that it is right."
    )
    assert study.say_calibration(make_results([dead])).startswith("No network has learned")
    humble = change(shallow, score=replace(shallow.score, accuracy=0.8))
    assert "more than the 80.00 %" in study.say_calibration(make_results([humble]))


def test_agreement_names_the_ends(shallow: Network, deep: Network) -> None:
    networks = [shallow, deep]
    both = {"one / three": 0.98, "one / seven": 0.11}
    assert study.say_agreement(make_results(networks, agreement=both)) == (
        "one and three give the same answer to 98.00 % of the images, the most of all pairs; one "
        "and seven to 11.00 %, the fewest."
    )
    single = study.say_agreement(make_results(networks, agreement={"one / three": 0.98}))
    assert single == "one and three give the same answer to 98.00 % of the images."
    assert study.say_agreement(make_results(networks)).startswith("There is one network")


@pytest.mark.parametrize(
    ("images", "names", "said"),
    [
        (
            23,
            ["one", "three"],
            "On 23 of 10,000 test images (0.23 %), one and three all fail: no vote among them "
            "would be right there.",
        ),
        (
            0,
            ["one", "three"],
            "There is no image on which one and three all fail, of 10,000 test images.",
        ),
        (80, ["one"], "one, the only one that learned, fails on 80 of 10,000 test images."),
    ],
)
def test_where_all_fail(images: int, names: list[str], said: str, shallow: Network) -> None:
    found = {"images": images, "networks": names}
    assert study.say_hardest(make_results([shallow], all_fail=found)) == said


def test_the_most_frequent_mistake_is_found(shallow: Network, dead: Network) -> None:
    counts = np.diag([100] * 10)
    counts[4, 9], counts[9, 4] = 7, 3
    results = make_results([change(shallow, confusion=counts), dead])
    assert study.say_confusion(results) == (
        "The most frequent mistakes: one takes 7 of the 4s for a 9."
    )
    assert study.say_confusion(make_results([shallow])).startswith("There is no network")


def test_kernels_of_what_learned_nothing_are_said_to_be(shallow: Network, dead: Network) -> None:
    assert study.say_kernels(make_results([shallow])) == (
        "The kernels of the first convolution of one."
    )
    assert study.say_kernels(make_results([shallow, dead])) == (
        "The kernels of the first convolution of one and seven. seven learned nothing that shows "
        "in the answers."
    )


def tune(
    results: Results,
    accuracies: Mapping[str, float],
    verdicts: Mapping[str, str],
    winners: Mapping[str, str],
    collapsed: int = 0,
) -> Results:
    """Give results in which networks are tuned, with these means and verdicts."""
    networks = [
        change(network, tuned=make_tuned(network, accuracies[network.name], collapsed))
        if network.name in accuracies
        else network
        for network in results.networks
    ]
    tuned = make_results(
        [network for network in networks if network.tuned], winners
    ).contrasts.model_dump(include={"seeds", "pairs"})
    plain = {"difference": 0.01, "low": 0.0, "high": 0.02, "standard_deviation": 0.001}
    plain |= {"p": 0.04, "corrected_p": 0.04}
    gains = {name: plain | {"verdict": verdict} for name, verdict in verdicts.items()}
    contrasts = results.contrasts.model_copy(
        update={
            "tuned": Contrasts.model_validate(tuned),
            "gains": Gains.model_validate({"networks": gains}),
        }
    )
    return replace(results, networks=networks, contrasts=contrasts)


def make_tuned(network: Network, accuracy: float, collapsed: int) -> TunedNetwork:
    spread = {"mean": accuracy, "standard_deviation": 0.001}
    spread |= {"low": accuracy - 0.001, "high": accuracy + 0.001}
    return TunedNetwork.model_validate(
        network.replicates.model_dump()
        | {"settings": {}, "precision": "mixed_bfloat16"}
        | {"cost": {"parameters": network.num_blocks, "flop": 1, "images": 1}}
        | {"accuracy": spread, "collapsed": collapsed}
    )


def test_tuning_is_told_by_its_verdicts() -> None:
    names = ("a", "b", "c")
    plain = make_results(
        [make_network(name, place, place + 1, [0.99]) for place, name in enumerate(names)]
    )
    results = tune(
        plain,
        {"a": 0.995, "b": 0.991, "c": 0.98},
        {"a": "tuned is better", "b": NO_EVIDENCE, "c": "the recipe is better"},
        {"a / c": "a"},
    )
    assert tuning.say_tuning(results) == (
        "Tuning makes a better; there is no evidence that tuning changes b; tuning makes c worse. "
        "Tuned, a has the highest mean accuracy, 99.50 % (95 % interval 99.40 % to 99.60 %). All "
        "of them learned with every seed."
    )
    assert tuning.say_tuned_depth(results) == (
        "Among the tuned networks: more depth does not help here: the network with fewer blocks is "
        "better in 1 of 3 pairs, the deeper network in none, and 2 without evidence of a "
        "difference."
    )


def test_what_tuned_networks_cost_is_weighed_by_their_own_verdicts() -> None:
    names = ("a", "b")
    plain = make_results(
        [make_network(name, place, place + 1, [0.99]) for place, name in enumerate(names)]
    )
    accuracies = {"a": 0.995, "b": 0.991}
    same = dict.fromkeys(names, NO_EVIDENCE)
    assert tuning.say_tuned_costs(tune(plain, accuracies, same, {"a / b": "a"})) == (
        "Among the tuned networks: no network is beaten, by the verdicts, by one with fewer FLOP "
        "per image. With fewer parameters and better accuracy, by the verdicts: b is beaten by a."
    )
    assert tuning.say_tuned_costs(tune(plain, {"a": 0.995}, {"a": NO_EVIDENCE}, {})) == ""
    assert tuning.say_tuned_costs(plain) == ""


def test_another_precision_is_told(shallow: Network) -> None:
    results = tune(make_results([shallow]), {"one": 0.99}, {"one": NO_EVIDENCE}, {})
    assert tuning.say_precision(results) == ", in mixed_bfloat16 instead of float32"
    recipe = results.recipe.model_copy(update={"precision": "mixed_bfloat16"})
    assert tuning.say_precision(replace(results, recipe=recipe)) == ""


def test_tuning_that_changes_nothing_is_told() -> None:
    plain = make_results([make_network("a", 0, 1, [0.99]), make_network("b", 1, 2, [0.99])])
    results = tune(plain, {"b": 0.99}, {"b": NO_EVIDENCE}, {}, collapsed=1)
    assert tuning.say_tuning(results) == (
        "There is no evidence that tuning changes b. Tuned, b has the highest mean accuracy, "
        "99.00 % (95 % interval 98.90 % to 99.10 %). Not every seed of b learned."
    )
    assert tuning.say_tuned_depth(results).startswith("There are no two tuned networks")


def test_no_tuning_is_told() -> None:
    results = make_results([make_network("a", 0, 1, [0.99])])
    assert tuning.say_tuning(results) == (
        "No tuning was confirmed: no network has settings in studies/params.yaml."
    )

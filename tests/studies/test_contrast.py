"""The stage `contrast`: networks compared over their seeds, in cases with a known answer."""

import numpy as np
import pandas as pd
import pytest
from study_inputs import Study

from convdepth.core.errors import DataError
from convdepth.core.files import write_csv, write_json
from convdepth.evaluation.doubtful_labels import DOUBTFUL
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import EQUIVALENT, NOT_SETTLED, AllContrasts
from convdepth.evaluation.significance import mcnemar
from convdepth.studies.contrast import contrast, gains, main
from convdepth.studies.votes import mean_agreement, vote

LABELS = np.arange(2000) % 10
ONE_SEED = {"a": 0.9, "b": 0.9, "c": 0.5}


def answers(*accuracies: float, generator: int = 0) -> pd.DataFrame:
    """Answers with these accuracies, wrong on other images for each seed."""
    draw = np.random.default_rng(generator).permuted
    columns = {}
    for seed, accuracy in enumerate(accuracies, start=1):
        right = draw(np.arange(2000) < accuracy * 2000)
        columns[f"seed_{seed}"] = np.where(right, LABELS, (LABELS + 1) % 10)
    return pd.DataFrame({"label": LABELS, **columns})


def test_a_clear_difference_is_told_with_its_size() -> None:
    result = contrast({"a": answers(0.8, 0.81, 0.79), "b": answers(*[0.9] * 3, generator=1)})
    pair = result.pairs["a / b"]
    assert pair.difference == pytest.approx(0.1, abs=1e-6)
    assert 0 < pair.low < 0.1 < pair.high
    assert pair.verdict == "b is better"
    assert pair.corrected_p == pair.p
    assert (pair.corrected_equivalence_p or 0) > 0.99
    assert result.seeds == 3


def test_a_lucky_first_seed_settles_nothing() -> None:
    a, b = answers(0.85, 0.9, 0.95), answers(0.95, 0.9, 0.85, generator=1)
    pair = contrast({"a": a, "b": b}).pairs["a / b"]
    assert pair.first_seed.difference == pytest.approx(0.1)
    assert pair.first_seed.corrected_p < 1e-6
    assert pair.low < 0 < pair.high
    assert pair.verdict == NOT_SETTLED


def test_which_seed_has_which_number_does_not_matter() -> None:
    a, b = answers(0.85, 0.9, 0.95), answers(0.95, 0.98, 0.91, generator=1)
    numbers = {"seed_1": "seed_3", "seed_3": "seed_1"}
    turned = b.rename(columns=numbers)[b.columns]
    pairs = [contrast({"a": a, "b": each}).pairs for each in (b, turned)]
    found = [pair["a / b"].model_dump(exclude={"first_seed"}) for pair in pairs]
    assert found[0] == found[1]


def test_networks_with_equal_answers_are_equivalent() -> None:
    alike = dict.fromkeys("ab", answers(0.99, 0.99, 0.99))
    pair = contrast(alike).pairs["a / b"]
    assert (pair.p, pair.verdict) == (1, EQUIVALENT)
    assert (pair.corrected_equivalence_p or 0) < 1e-6


def test_one_seed_tells_of_itself_alone_exactly_and_corrected_for_all_pairs() -> None:
    networks = {name: answers(each, generator=ord(name)) for name, each in ONE_SEED.items()}
    pairs = contrast(networks).pairs
    assert list(pairs) == ["a / b", "a / c", "b / c"]
    for pair in pairs.values():
        assert (pair.p, pair.corrected_p, pair.corrected_equivalence_p) == (None, None, None)
        assert pair.verdict == NOT_SETTLED
    firsts = [pair.first_seed for pair in pairs.values()]
    for first in firsts:
        assert first.p == pytest.approx(mcnemar(first.only_first, first.only_second), rel=1e-5)
    smallest = min(firsts, key=lambda first: first.p)
    assert smallest.corrected_p == pytest.approx(3 * smallest.p, rel=1e-5)
    alone = contrast({"a": answers(0.9)})
    assert (alone.pairs, alone.networks["a"].agreement) == ({}, None)


def test_several_pairs_need_surer_evidence_each() -> None:
    near = {"a": answers(*[0.9] * 3), "b": answers(0.92, 0.93, 0.94, generator=1)}
    alone = contrast(near).pairs["a / b"]
    assert (alone.verdict, alone.corrected_p) == ("b is better", alone.p)
    more = {name: answers(0.9, 0.9, 0.9, generator=ord(name)) for name in "cdef"}
    beside = contrast(near | more).pairs["a / b"]
    assert (beside.p, beside.low, beside.high) == (alone.p, alone.low, alone.high)
    assert (beside.corrected_p or 0) > 0.05
    assert beside.verdict == NOT_SETTLED


def test_tuning_is_compared_network_by_network() -> None:
    before = {"a": answers(0.8, 0.81, 0.79), "b": answers(0.9, 0.8, 0.85, generator=1)}
    after = {"a": answers(0.9, 0.9, 0.9, generator=2), "b": answers(0.85, 0.85, 0.85, generator=3)}
    found = gains(before, after).networks
    assert found["a"].difference == pytest.approx(0.1, abs=1e-6)
    assert found["a"].verdict == "tuned is better"
    assert found["b"].verdict == NOT_SETTLED
    worse = gains(after, {"a": before["a"]}).networks
    assert {name: each.verdict for name, each in worse.items()} == {"a": "the recipe is better"}


def test_seeds_of_a_network_agree_vote_and_are_scored_without_doubtful_labels() -> None:
    table = pd.DataFrame(
        {"label": LABELS, "seed_1": LABELS, "seed_2": LABELS, "seed_3": LABELS}, dtype=np.int64
    )
    table.loc[DOUBTFUL[0], ["seed_1", "seed_2"]] = (LABELS[DOUBTFUL[0]] + 1) % 10
    table.loc[5, "seed_3"] = 0
    found = contrast({"a": table}).networks["a"]
    assert found.accuracy_without_doubtful.mean == round(1 - 1 / 1997 / 3, 6)
    assert found.agreement == round(1 - (0 + 2 + 2) / 2000 / 3, 6)
    assert found.vote == 1 - 1 / 2000


def test_a_tied_vote_goes_to_the_smallest_digit() -> None:
    table = pd.DataFrame({"label": [3, 3, 3], "seed_1": [3, 3, 9], "seed_2": [5, 2, 9]})
    assert vote([table]) == round(1 / 3, 6)
    assert vote([table, table[["label", "seed_1"]]]) == round(2 / 3, 6)
    assert mean_agreement(table) == round(1 / 3, 6)
    assert mean_agreement(table, table[["label", "seed_1"]]) == round(4 / 6, 6)


def test_other_images_are_refused_and_other_numbers_of_seeds_are_not() -> None:
    two, three = answers(0.9, 0.89), answers(0.8, 0.79, 0.81, generator=1)
    other = three.assign(label=1)
    with pytest.raises(DataError, match=r"^b: "):
        contrast({"a": two, "b": other})
    with pytest.raises(DataError, match=r"^a tuned: "):
        gains({"a": two}, {"a": other})
    assert gains({"a": two}, {"a": three}).networks["a"].verdict == "the recipe is better"


def test_the_networks_are_those_of_the_parameters(study: Study) -> None:
    for name, each in {"tiny": answers(0.9, 0.8), "former": answers(0.9)}.items():
        write_csv(study.folder / f"{name}.csv", each)
    write_json(study.folder / "tuned" / "summary.json", {"networks": {}})
    study.run(main, replicates="", tuned="tuned", summary="contrasts.json")
    found = read_result(study.folder / "contrasts.json", AllContrasts, "")
    assert (found.seeds, found.pairs, found.gains.networks) == (2, {}, {})
    assert (list(found.networks), found.tuned.networks, found.tuned.vote) == (["tiny"], {}, None)

"""Networks compared over their seeds, in cases with a known answer."""

import numpy as np
import pytest

from convdepth.evaluation.doubtful_labels import DOUBTFUL
from convdepth.evaluation.results import EQUIVALENT, NOT_SETTLED, Comparison
from convdepth.evaluation.significance import mcnemar
from convdepth.questions.answer import Runs, compare_gains, compare_pairs, summarize_answers
from convdepth.questions.votes import Answers, mean_agreement, vote

LABELS = (np.arange(2000) % 10).astype(np.uint8)
ONE_SEED = {"a": 0.9, "b": 0.9, "c": 0.5}


def runs(*accuracies: float, generator: int = 0) -> Runs:
    """Trainings with these accuracies, wrong on other images for each seed."""
    draw = np.random.default_rng(generator).permuted
    right = np.array([draw(np.arange(2000) < each * 2000) for each in accuracies])
    answers = np.where(right, LABELS, (LABELS + 1) % 10).astype(np.int64)
    return Runs(range(1, 1 + len(accuracies)), right, [], answers)


def compare(networks: dict[str, Runs]) -> dict[str, Comparison]:
    found = compare_pairs({"recipe": networks}, is_depth=False)
    return {f"{each.first} / {each.second}": each for each in found}


def first_seed_p(pair: Comparison) -> tuple[float, float]:
    assert pair.first_seed is not None
    return pair.first_seed.p, pair.first_seed.corrected_p


def test_a_clear_difference_is_told_with_its_size() -> None:
    pair = compare({"a": runs(0.8, 0.81, 0.79), "b": runs(*[0.9] * 3, generator=1)})["a / b"]
    assert pair.difference == pytest.approx(0.1, abs=1e-6)
    assert 0 < pair.low < 0.1 < pair.high
    assert pair.verdict == "b is better"
    assert pair.corrected_p == pair.p
    assert (pair.corrected_equivalence_p or 0) > 0.99


def test_a_lucky_first_seed_settles_nothing() -> None:
    a, b = runs(0.85, 0.9, 0.95), runs(0.95, 0.9, 0.85, generator=1)
    pair = compare({"a": a, "b": b})["a / b"]
    assert pair.first_seed is not None
    assert pair.first_seed.difference == pytest.approx(0.1)
    assert pair.first_seed.corrected_p < 1e-6
    assert pair.low < 0 < pair.high
    assert pair.verdict == NOT_SETTLED


def test_which_seed_has_which_number_does_not_matter() -> None:
    a, b = runs(0.85, 0.9, 0.95), runs(0.95, 0.98, 0.91, generator=1)
    assert b.answers is not None
    turned = b._replace(right=b.right[::-1], answers=b.answers[::-1])
    pairs = [compare({"a": a, "b": each})["a / b"] for each in (b, turned)]
    found = [pair.model_dump(exclude={"first_seed"}) for pair in pairs]
    assert found[0] == found[1]


def test_networks_with_equal_answers_are_equivalent() -> None:
    pair = compare(dict.fromkeys("ab", runs(0.99, 0.99, 0.99)))["a / b"]
    assert (pair.p, pair.verdict) == (1, EQUIVALENT)
    assert (pair.corrected_equivalence_p or 0) < 1e-6


def test_one_seed_tells_of_itself_alone_exactly_and_corrected_for_all_pairs() -> None:
    pairs = compare({name: runs(each, generator=ord(name)) for name, each in ONE_SEED.items()})
    assert list(pairs) == ["a / b", "a / c", "b / c"]
    for pair in pairs.values():
        assert (pair.p, pair.corrected_p, pair.corrected_equivalence_p) == (None, None, None)
        assert pair.verdict == NOT_SETTLED
        first = pair.first_seed
        assert first is not None
        assert first.p == pytest.approx(mcnemar(first.only_first, first.only_second), rel=1e-5)
    smallest = min(map(first_seed_p, pairs.values()))
    assert smallest[1] == pytest.approx(3 * smallest[0], rel=1e-5)
    assert compare({"a": runs(0.9)}) == {}


def test_several_pairs_need_surer_evidence_each() -> None:
    near = {"a": runs(*[0.9] * 3), "b": runs(0.92, 0.93, 0.94, generator=1)}
    alone = compare(near)["a / b"]
    assert (alone.verdict, alone.corrected_p) == ("b is better", alone.p)
    more = {name: runs(0.9, 0.9, 0.9, generator=ord(name)) for name in "cdef"}
    beside = compare(near | more)["a / b"]
    assert (beside.p, beside.low, beside.high) == (alone.p, alone.low, alone.high)
    assert (beside.corrected_p or 0) > 0.05
    assert beside.verdict == NOT_SETTLED


def test_tuning_is_compared_network_by_network() -> None:
    before = {"a": runs(0.8, 0.81, 0.79), "b": runs(0.9, 0.8, 0.85, generator=1)}
    after = {"a": runs(0.9, 0.9, 0.9, generator=2), "b": runs(0.85, 0.85, 0.85, generator=3)}
    found = compare_gains(before, after)
    assert found["a"].difference == pytest.approx(0.1, abs=1e-6)
    assert found["a"].verdict == "tuned is better"
    assert found["b"].verdict == NOT_SETTLED
    worse = compare_gains({"a": after["a"]}, {"a": runs(0.8, 0.79)})
    assert worse["a"].verdict == "the recipe is better"


def test_seeds_of_a_network_agree_vote_and_are_scored_without_doubtful_labels() -> None:
    answers: Answers = np.tile(LABELS.astype(np.int64), (3, 1))
    answers[:2, DOUBTFUL[0]] = (LABELS[DOUBTFUL[0]] + 1) % 10
    answers[2, 5] = 0
    found = summarize_answers(answers, LABELS)
    assert found.accuracy_without_doubtful.mean == round(1 - 1 / 1997 / 3, 6)
    assert found.agreement == round(1 - (0 + 2 + 2) / 2000 / 3, 6)
    assert found.vote == 1 - 1 / 2000
    assert summarize_answers(answers[:1], LABELS).agreement is None


def test_a_tied_vote_goes_to_the_smallest_digit() -> None:
    labels = np.array([3, 3, 3], np.uint8)
    answers: Answers = np.array([[3, 3, 9], [5, 2, 9]])
    assert vote(answers, labels) == round(1 / 3, 6)
    assert vote(answers[[0, 1, 0]], labels) == round(2 / 3, 6)
    assert mean_agreement(answers) == round(1 / 3, 6)
    assert mean_agreement(answers, answers[:1]) == round(4 / 6, 6)

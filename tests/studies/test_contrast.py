"""The stage `contrast`: networks compared over their seeds, in cases with a known answer."""

import numpy as np
import pandas as pd
import pytest
from study_inputs import Study

from convdepth.core.errors import DataError
from convdepth.core.files import write_csv, write_json
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import AllContrasts
from convdepth.evaluation.significance import NO_EVIDENCE, mcnemar
from convdepth.studies.contrast import contrast, gains, main

LABELS = np.arange(2000) % 10


def answers(*accuracies: float, generator: int = 0) -> pd.DataFrame:
    """Answers with these accuracies, wrong on other images for each seed."""
    draw = np.random.default_rng(generator).permuted
    columns = {}
    for seed, accuracy in enumerate(accuracies, start=1):
        right = draw(np.arange(2000) < accuracy * 2000)
        columns[f"seed_{seed}"] = np.where(right, LABELS, (LABELS + 1) % 10)
    return pd.DataFrame({"label": LABELS, **columns})


def test_a_clear_difference_is_told_with_its_size() -> None:
    result = contrast({"a": answers(0.8, 0.81, 0.79), "b": answers(0.9, 0.9, 0.9, generator=1)})
    pair = result.pairs["a / b"]
    assert pair.difference == pytest.approx(0.1, abs=1e-6)
    assert 0 < pair.low < 0.1 < pair.high
    assert pair.verdict == "b is better"
    assert pair.standard_deviation == pytest.approx(0.01, abs=1e-6)
    assert pair.corrected_p == pair.p
    assert result.seeds == 3


def test_a_lucky_first_seed_is_no_evidence() -> None:
    lucky = {"a": answers(0.85, 0.9, 0.95), "b": answers(0.95, 0.9, 0.85, generator=1)}
    pair = contrast(lucky).pairs["a / b"]
    assert pair.first_seed.difference == pytest.approx(0.1)
    assert pair.first_seed.corrected_p < 1e-6
    assert pair.low < 0 < pair.high
    assert pair.verdict == NO_EVIDENCE


def test_one_seed_tells_of_itself_alone_exactly_and_corrected_for_all_pairs() -> None:
    tables = {"a": answers(0.9), "b": answers(0.9, generator=1), "c": answers(0.5, generator=2)}
    pairs = contrast(tables).pairs
    assert list(pairs) == ["a / b", "a / c", "b / c"]
    for pair in pairs.values():
        assert (pair.p, pair.corrected_p, pair.standard_deviation) == (None, None, None)
        assert pair.verdict == NO_EVIDENCE
    firsts = [pair.first_seed for pair in pairs.values()]
    for first in firsts:
        assert first.p == pytest.approx(mcnemar(first.only_first, first.only_second), rel=1e-5)
    smallest = min(firsts, key=lambda first: first.p)
    assert smallest.corrected_p == pytest.approx(3 * smallest.p, rel=1e-5)
    assert contrast({"a": answers(0.9)}).pairs == {}


def test_several_pairs_need_surer_evidence_each() -> None:
    near = {"a": answers(0.9, 0.9, 0.9), "b": answers(0.92, 0.93, 0.94, generator=1)}
    alone = contrast(near).pairs["a / b"]
    assert (alone.verdict, alone.corrected_p) == ("b is better", alone.p)
    more = {name: answers(0.9, 0.9, 0.9, generator=ord(name)) for name in "cdef"}
    beside = contrast(near | more).pairs["a / b"]
    assert (beside.p, beside.low, beside.high) == (alone.p, alone.low, alone.high)
    assert (beside.corrected_p or 0) > 0.05
    assert beside.verdict == NO_EVIDENCE


def test_tuning_is_compared_network_by_network() -> None:
    before = {"a": answers(0.8, 0.81, 0.79), "b": answers(0.9, 0.8, 0.85, generator=1)}
    after = {"a": answers(0.9, 0.9, 0.9, generator=2), "b": answers(0.85, 0.85, 0.85, generator=3)}
    found = gains(before, after).networks
    assert found["a"].difference == pytest.approx(0.1, abs=1e-6)
    assert found["a"].verdict == "tuned is better"
    assert found["b"].verdict == NO_EVIDENCE
    worse = gains(after, {"a": before["a"]}).networks
    assert {name: each.verdict for name, each in worse.items()} == {"a": "the recipe is better"}


def test_other_seeds_and_other_images_are_refused() -> None:
    two, one = answers(0.9, 0.9), answers(0.9)
    with pytest.raises(DataError, match=r"^b: .*seed_2"):
        contrast({"a": two, "b": one})
    with pytest.raises(DataError, match=r"^b: "):
        contrast({"a": one, "b": one.assign(label=1)})
    with pytest.raises(DataError, match=r"^a tuned: .*seed_2"):
        gains({"a": one}, {"a": two})


def test_the_networks_are_those_of_the_parameters(study: Study) -> None:
    write_csv(study.folder / "tiny.csv", answers(0.9, 0.8))
    write_csv(study.folder / "former.csv", answers(0.9))
    write_json(study.folder / "tuned" / "summary.json", {"networks": {}})
    study.run(main, replicates="", tuned="tuned", summary="contrasts.json")
    found = read_result(study.folder / "contrasts.json", AllContrasts, "")
    assert (found.seeds, found.pairs, found.gains.networks) == (2, {}, {})

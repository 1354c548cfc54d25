"""Networks compared over their seeds, against cases that are clear."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from convdepth.studies.tuned import SUMMARY, read_tuned_answers

from convdepth.core.errors import DataError
from convdepth.core.files import write_csv, write_json
from convdepth.evaluation.significance import NO_EVIDENCE, mcnemar
from convdepth.studies.contrast import contrast, gains, main

LABELS = np.arange(2000) % 10


def answers(*accuracies: float, generator: int = 0) -> pd.DataFrame:
    """Answers of which a share is right, on other images for each seed."""
    draw = np.random.default_rng(generator).permuted
    columns = {}
    for seed, accuracy in enumerate(accuracies, start=1):
        right = draw(np.arange(2000) < accuracy * 2000)
        columns[f"seed_{seed}"] = np.where(right, LABELS, (LABELS + 1) % 10)
    return pd.DataFrame({"label": LABELS, **columns})


def test_a_clear_difference_is_told_with_its_size() -> None:
    result = contrast({"a": answers(0.8, 0.81, 0.79), "b": answers(0.9, 0.9, 0.9, generator=1)})
    entry = result["pairs"]["a / b"]
    assert entry["difference"] == pytest.approx(0.1, abs=1e-6)
    assert entry["low"] < 0.1 < entry["high"]
    assert entry["verdict"] == "b is better"
    assert entry["standard_deviation"] == pytest.approx(0.01, abs=1e-6)
    assert result["seeds"] == 3
    assert entry["corrected_p"] == entry["p"] < 0.05


def test_a_lucky_first_seed_is_no_evidence() -> None:
    lucky = {"a": answers(0.85, 0.9, 0.95), "b": answers(0.95, 0.9, 0.85, generator=1)}
    entry = contrast(lucky)["pairs"]["a / b"]
    assert entry["first_seed"]["corrected_p"] < 1e-6
    assert entry["verdict"] == NO_EVIDENCE


def test_the_first_seed_is_tested_exactly_and_corrected_for_all_pairs() -> None:
    tables = {"a": answers(0.9), "b": answers(0.9, generator=1), "c": answers(0.5, generator=2)}
    pairs = contrast(tables)["pairs"]
    assert list(pairs) == ["a / b", "a / c", "b / c"]
    first = pairs["a / c"]["first_seed"]
    p = mcnemar(first["only_first"], first["only_second"])
    assert first["p"] == pytest.approx(p, rel=1e-5)
    assert first["corrected_p"] == pytest.approx(3 * first["p"], rel=1e-5) or (
        first["corrected_p"] == pytest.approx(2 * first["p"], rel=1e-5)
    )


def test_one_seed_tells_of_itself_alone() -> None:
    entry = contrast({"a": answers(0.9), "b": answers(0.5, generator=1)})["pairs"]["a / b"]
    assert entry["first_seed"]["corrected_p"] < 1e-6
    assert (entry["p"], entry["corrected_p"], entry["standard_deviation"]) == (None, None, None)
    assert entry["verdict"] == NO_EVIDENCE


def test_several_pairs_need_surer_evidence_each() -> None:
    near = {"a": answers(0.9, 0.9, 0.9), "b": answers(0.92, 0.93, 0.94, generator=1)}
    alone = contrast(near)["pairs"]["a / b"]
    assert (alone["verdict"], alone["corrected_p"]) == ("b is better", alone["p"])
    more = {name: answers(0.9, 0.9, 0.9, generator=ord(name)) for name in "cdef"}
    beside = contrast(near | more)["pairs"]["a / b"]
    assert beside["p"] == alone["p"]
    assert beside["corrected_p"] > 0.05
    assert beside["verdict"] == NO_EVIDENCE


def test_a_single_network_has_no_pair() -> None:
    assert contrast({"a": answers(0.9)})["pairs"] == {}


def test_other_seeds_and_other_images_are_refused() -> None:
    with pytest.raises(DataError, match=r"seed_2"):
        contrast({"a": answers(0.9, 0.9), "b": answers(0.9)})
    with pytest.raises(DataError, match=r"\ba\b.*\bb\b"):
        contrast({"a": answers(0.9), "b": answers(0.9).assign(label=1)})


def test_the_networks_are_those_of_the_parameters(tiny_params: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "tiny.csv", answers(0.9, 0.8))
    write_csv(tmp_path / "former.csv", answers(0.9))
    write_json(tmp_path / "tuned" / SUMMARY, {"networks": {}})
    main(tmp_path, tmp_path / "tuned", tmp_path / "contrasts.json", tiny_params)
    found = json.loads((tmp_path / "contrasts.json").read_text())
    assert found["seeds"] == 2
    assert found["tuned"] == {"seeds": 0, "pairs": {}}
    assert found["gains"] == {"networks": {}}


def test_what_tuning_gains_is_told_network_by_network() -> None:
    before = {"a": answers(0.8, 0.81, 0.79), "b": answers(0.9, 0.8, 0.85, generator=1)}
    after = {"a": answers(0.9, 0.9, 0.9, generator=2), "b": answers(0.85, 0.85, 0.85, generator=3)}
    found = gains(before, after)
    assert found["networks"]["a"]["difference"] == pytest.approx(0.1, abs=1e-6)
    assert found["networks"]["a"]["verdict"] == "tuned is better"
    assert found["networks"]["b"]["verdict"] == NO_EVIDENCE
    worse = gains(after, {"a": before["a"]})["networks"]
    assert list(worse) == ["a"]
    assert worse["a"]["verdict"] == "the recipe is better"


def test_a_tuned_network_has_the_seeds_that_it_had_before() -> None:
    with pytest.raises(DataError, match=r"seed_2"):
        gains({"a": answers(0.9)}, {"a": answers(0.9, 0.9)})


def test_tuned_networks_are_compared_too(tiny_params: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "tiny.csv", answers(0.9, 0.8))
    write_csv(tmp_path / "tuned" / "tiny.csv", answers(0.99, 0.99, generator=1))
    write_json(tmp_path / "tuned" / SUMMARY, {"networks": {"tiny": {"more": 1}}})
    main(tmp_path, tmp_path / "tuned", tmp_path / "contrasts.json", tiny_params)
    found = json.loads((tmp_path / "contrasts.json").read_text())
    assert found["tuned"]["seeds"] == 2
    assert found["gains"]["networks"]["tiny"]["difference"] == pytest.approx(0.14)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"summary\.json: "),
        ("{", r"summary\.json: "),
        ('{"networks": {"huge": {}}}', r"summary\.json: .*huge"),
        ('{"networks": {"tiny": {}}}', r"tiny\.csv: "),
    ],
)
def test_tuned_networks_that_cannot_be_read_are_told(
    tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / SUMMARY).write_text(content)
    with pytest.raises(DataError, match=said):
        read_tuned_answers(tmp_path, ["tiny"])

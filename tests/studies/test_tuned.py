"""The stage `tuned`: the trainings of each tuned network, with its settings and its cost."""

import json
from pathlib import Path
from typing import Any

import pytest
from convdepth.studies.tuned import SUMMARY, main, read_tuned_answers
from study_inputs import SETTINGS, TUNED, write_run, write_studies, wrong_from

from convdepth.config.params import read_architecture
from convdepth.core.errors import DataError
from convdepth.data.arrays import read_split


@pytest.fixture
def folder(normalized: Path, tmp_path: Path) -> Path:
    """A folder with the trainings of ``tiny`` with the seeds 1 and 2."""
    _, labels = read_split(normalized, "test")
    for seed in (1, 2):
        write_run(tmp_path / "seeds" / "tiny-tuned", seed, labels, wrong_from(900 * seed, labels))
    return tmp_path


def tuned(params: Path, normalized: Path, folder: Path, **changes: object) -> dict[str, Any]:
    main(
        normalized=normalized,
        seeds=folder / "seeds",
        tuned=folder / "tuned",
        params=params,
        studies=write_studies(folder, **changes),
    )
    found: dict[str, Any] = json.loads((folder / "tuned" / SUMMARY).read_text())["networks"]
    return found


def test_each_seed_is_read_from_the_folder_of_its_network(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    found = tuned(tiny_params, normalized, folder)
    assert list(found) == ["tiny"]
    runs = found["tiny"]["runs"]
    assert [(run["seed"], run["accuracy"]) for run in runs] == [(1, 0.45), (2, 0.9)]
    assert found["tiny"]["settings"] == SETTINGS | {"optimizer": "adam"}
    assert found["tiny"]["precision"] == TUNED["precision"]
    answers = read_tuned_answers(folder / "tuned", ["tiny"])["tiny"]
    assert list(answers.columns) == ["label", "seed_1", "seed_2"]


def test_the_cost_is_that_of_the_trained_network(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    plain = read_architecture("tiny", tiny_params).num_parameters
    _, labels = read_split(normalized, "train")
    costs = []
    for normalizes in (True, False):
        settings = {"tiny": SETTINGS | {"batch_normalization": normalizes}}
        found = tuned(tiny_params, normalized, folder, settings=settings, epochs=3)
        costs.append(found["tiny"]["cost"])
    assert [cost["images"] for cost in costs] == [3 * len(labels)] * 2
    assert costs[0]["parameters"] > costs[1]["parameters"] == plain


def test_without_settings_there_is_no_network(
    tiny_params: Path, normalized: Path, tmp_path: Path
) -> None:
    assert tuned(tiny_params, normalized, tmp_path, settings={}) == {}
    assert [path.name for path in (tmp_path / "tuned").iterdir()] == [SUMMARY]
    assert read_tuned_answers(tmp_path / "tuned", ["tiny"]) == {}


def test_a_missing_seed_is_named(tiny_params: Path, normalized: Path, folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        tuned(tiny_params, normalized, folder, seeds=[1, 3])
    assert str(caught.value).startswith(f"{folder / 'seeds' / 'tiny-tuned' / '3.csv'}: ")
    assert not (folder / "tuned").exists()

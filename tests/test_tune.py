"""The stage `tune`: the same search twice, also when it was interrupted, and never the test set."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import PROJECT, write_tiny_params
from convdepth import tune as tune_module
from convdepth.errors import ParameterError
from convdepth.images import SPLITS, array_paths, read_split, write_split
from convdepth.study_params import read_study_params
from convdepth.tune import main
from epochs import counted_epochs

pytestmark = pytest.mark.usefixtures("one_thread")

TRIALS, EPOCHS = 6, 4


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return write_studies(tmp_path)


def write_studies(folder: Path) -> Path:
    text = (PROJECT / "studies" / "params.yaml").read_text(encoding="utf-8")
    for old, new in {
        "trials: 9": f"trials: {TRIALS}",
        "startup_trials: 4": "startup_trials: 2",
        "epochs: 8": f"epochs: {EPOCHS}",
        "precision: mixed_bfloat16": "precision: float32",
    }.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "studies.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def searched(
    params_text: str, normalized: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """What a whole search found, and its folder."""
    folder = tmp_path_factory.mktemp("searched")
    params = write_tiny_params(folder, params_text)
    return tune(params, write_studies(folder), normalized, folder), folder


def tune(params: Path, studies: Path, normalized: Path, folder: Path) -> dict[str, Any]:
    main(
        name="tiny",
        normalized=normalized,
        summary=folder / "summary.json",
        checkpoints=folder / "checkpoints",
        code="of the tests",
        params=params,
        studies=studies,
    )
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_a_search_has_its_budget_and_names_the_best(
    searched: tuple[dict[str, Any], Path], studies: Path
) -> None:
    found, folder = searched
    assert [trial["trial"] for trial in found["trials"]] == list(range(TRIALS))
    assert found["notebook"] == found["trials"][0]
    assert found["notebook"]["settings"]["dropout_scale"] == 1
    assert found["notebook"]["settings"]["batch_normalization"] is False
    given = [each.model_dump() for each in read_study_params(studies).tuning.first]
    assert given
    assert [each["settings"] for each in found["trials"][1 : 1 + len(given)]] == given
    whole = [trial for trial in found["trials"] if not trial["ended_early"]]
    assert all(len(trial["accuracies"]) == EPOCHS for trial in whole)
    assert found["best"]["accuracy"] == max(trial["accuracy"] for trial in whole)
    assert found["best"] in found["trials"]
    assert not (folder / "checkpoints").exists()


def test_what_is_clearly_worse_than_most_ends_early(searched: tuple[dict[str, Any], Path]) -> None:
    found, _ = searched
    early = [trial for trial in found["trials"] if trial["ended_early"]]
    assert early, "the settings of this test no longer lead to a trial that is ended"
    for trial in early:
        done = len(trial["accuracies"])
        assert tune_module.GRACE <= done < EPOCHS
        # Those that were whole before it had more at the same epoch, in the median.
        before = [
            each["accuracies"][done - 1]
            for each in found["trials"][: trial["trial"]]
            if not each["ended_early"]
        ]
        assert max(trial["accuracies"]) < np.median(before)


def test_an_interrupted_search_trains_no_whole_trial_again_and_ends_the_same(
    searched: tuple[dict[str, Any], Path],
    tiny_params: Path,
    studies: Path,
    normalized: Path,
    tmp_path: Path,
) -> None:
    expected, _ = searched
    second_trial = EPOCHS + 3
    with counted_epochs(interrupted=second_trial), pytest.raises(KeyboardInterrupt):
        tune(tiny_params, studies, normalized, tmp_path / "torn")
    with counted_epochs() as count:
        assert tune(tiny_params, studies, normalized, tmp_path / "torn") == expected
    total = sum(len(trial["accuracies"]) for trial in expected["trials"])
    assert count.done == total - EPOCHS


def test_the_test_set_has_no_say(
    searched: tuple[dict[str, Any], Path],
    tiny_params: Path,
    studies: Path,
    normalized: Path,
    tmp_path: Path,
) -> None:
    expected, _ = searched
    other = tmp_path / "other"
    for split in SPLITS:
        images, labels = read_split(normalized, split)
        if split == "test":
            labels = (9 - labels).astype(np.uint8)
        write_split(other, split, np.asarray(images), labels)
    assert array_paths(other) != array_paths(normalized)
    assert tune(tiny_params, studies, other, tmp_path / "two") == expected


def test_a_scale_that_makes_a_rate_of_one_is_refused(
    tiny_params: Path, studies: Path, normalized: Path, tmp_path: Path
) -> None:
    text = studies.read_text()
    studies.write_text(text.replace("dropout_scale: {low: 0, high: 1}", SCALE))
    with pytest.raises(
        ParameterError, match=r"dropout_scale\.high: expected less than 5, .* got 5"
    ):
        tune(tiny_params, studies, normalized, tmp_path)


SCALE = "dropout_scale: {low: 0, high: 5}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{low: 0.0005, high: 0.01, log: true}", "{low: 0, high: 1, log: true}", "low above 0"),
        ("{low: 0, high: 0.15}", "{low: 0.2, high: 0.1}", "expected high above low"),
        ("startup_trials: 2", "startup_trials: 0", "expected at least 1, got 0"),
    ],
)
def test_a_space_that_is_none_is_refused(
    tiny_params: Path,
    studies: Path,
    normalized: Path,
    tmp_path: Path,
    old: str,
    new: str,
    said: str,
) -> None:
    assert old in studies.read_text()
    studies.write_text(studies.read_text().replace(old, new))
    with pytest.raises(ParameterError, match=said):
        tune(tiny_params, studies, normalized, tmp_path)

"""The stage `confirm`: the settled settings, all seeds, and nothing that is done twice."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import PROJECT
from convdepth import confirm as confirm_module
from convdepth.confirm import main
from convdepth.errors import ParameterError
from convdepth.tuned import SUMMARY, read_tuned_answers
from epochs import counted_epochs

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = (
    "{learning_rate: 0.01, schedule: one_cycle, weight_decay: 0.01, label_smoothing: 0.1, "
    "shift: 0.1, rotation: 0, zoom: 0, dropout_scale: 0.5, batch_normalization: true}"
)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return write_studies(tmp_path, f"{{tiny: {SETTINGS}}}")


def write_studies(folder: Path, settings: str) -> Path:
    text = (PROJECT / "studies" / "params.yaml").read_text(encoding="utf-8")
    head, _, _ = text.partition("\ntuned:")
    tuned = f"tuned:\n  epochs: 2\n  precision: float32\n  settings: {settings}\n"
    path = folder / "studies.yaml"
    path.write_text(f"{head.replace('seeds: 5', 'seeds: 2', 1)}\n{tuned}", encoding="utf-8")
    return path


def confirm(params: Path, studies: Path, normalized: Path, folder: Path) -> dict[str, bytes]:
    main(
        normalized=normalized,
        tuned=folder / "tuned",
        checkpoints=folder / "checkpoints",
        params=params,
        studies=studies,
    )
    return {path.name: path.read_bytes() for path in (folder / "tuned").iterdir()}


def test_each_seed_is_trained_with_the_settings(
    tiny_params: Path, studies: Path, normalized: Path, tmp_path: Path
) -> None:
    confirm(tiny_params, studies, normalized, tmp_path)
    found = json.loads((tmp_path / "tuned" / SUMMARY).read_text())["networks"]
    assert list(found) == ["tiny"]
    tiny = found["tiny"]
    assert [run["seed"] for run in tiny["runs"]] == [1, 2]
    assert all(len(run["curves"]["loss"]) == 2 for run in tiny["runs"])
    assert tiny["settings"]["dropout_scale"] == 0.5
    answers = read_tuned_answers(tmp_path / "tuned", ["tiny"])["tiny"]
    assert list(answers.columns) == ["label", "seed_1", "seed_2"]
    right = (answers["seed_1"] == answers["label"]).mean()
    assert tiny["runs"][0]["accuracy"] == pytest.approx(right, abs=1e-6)


def test_the_cost_is_that_of_the_network_as_it_is_trained(
    tiny_params: Path, studies: Path, normalized: Path, tmp_path: Path
) -> None:
    confirm(tiny_params, studies, normalized, tmp_path)
    with_normalization = json.loads((tmp_path / "tuned" / SUMMARY).read_text())["networks"]
    plain = write_studies(tmp_path, f"{{tiny: {SETTINGS.replace('true', 'false')}}}")
    confirm(tiny_params, plain, normalized, tmp_path)
    without = json.loads((tmp_path / "tuned" / SUMMARY).read_text())["networks"]
    costs = [each["tiny"]["cost"] for each in (with_normalization, without)]
    images = len(np.load(normalized / "train_labels.npy"))
    assert [cost["images"] for cost in costs] == [2 * images] * 2
    assert costs[0]["parameters"] > costs[1]["parameters"]
    # The settings are no more than said: other bytes, since the networks differ.
    assert with_normalization["tiny"]["runs"] != without["tiny"]["runs"]


def test_an_interrupted_stage_goes_on_where_it_was_and_ends_with_the_same_bytes(
    tiny_params: Path,
    studies: Path,
    normalized: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = confirm(tiny_params, studies, normalized, tmp_path / "whole")
    assert not list((tmp_path / "whole" / "checkpoints").glob("*/*/*"))  # nothing stays behind
    with counted_epochs(interrupted=4), pytest.raises(KeyboardInterrupt):
        confirm(tiny_params, studies, normalized, tmp_path / "torn")
    assert not (tmp_path / "torn" / "tuned").exists()
    capsys.readouterr()
    assert confirm(tiny_params, studies, normalized, tmp_path / "torn") == expected
    lines = capsys.readouterr().out.splitlines()
    assert "tiny tuned seed 1  was interrupted, and goes on after epoch 2" in lines
    assert sum("  epoch " in line for line in lines) == 1  # the one that was missing


def test_only_what_has_changed_is_trained_again(
    tiny_params: Path, studies: Path, normalized: Path, tmp_path: Path
) -> None:
    alone = confirm(tiny_params, studies, normalized, tmp_path)
    recipe, _, tiny = tiny_params.read_text().partition("\n  tiny:")
    tiny_params.write_text(f"{recipe}\n  tiny:{tiny}\n  other:{tiny}")
    slower = SETTINGS.replace("learning_rate: 0.01", "learning_rate: 0.001")
    both = write_studies(tmp_path, f"{{tiny: {SETTINGS}, other: {slower}}}")
    with counted_epochs() as count:
        written = confirm(tiny_params, both, normalized, tmp_path)
    assert count.done == 2 * 2  # two seeds of the other one, two epochs each
    assert set(written) == {SUMMARY, "tiny.csv", "other.csv"}
    assert written["tiny.csv"] == alone["tiny.csv"]
    entries = json.loads(written[SUMMARY])["networks"]
    assert entries["tiny"] == json.loads(alone[SUMMARY])["networks"]["tiny"]
    assert confirm(tiny_params, both, normalized, tmp_path / "anew") == written
    former = write_studies(tmp_path, f"{{tiny: {SETTINGS}}}")
    with counted_epochs() as count:
        assert confirm(tiny_params, former, normalized, tmp_path) == alone
    assert count.done == 0


def test_what_is_damaged_is_trained_again(
    tiny_params: Path, studies: Path, normalized: Path, tmp_path: Path
) -> None:
    whole = confirm(tiny_params, studies, normalized, tmp_path)
    path = tmp_path / "tuned" / "tiny.csv"
    path.write_bytes(whole["tiny.csv"].replace(b"1", b"2", 1))
    with counted_epochs() as count:
        assert confirm(tiny_params, studies, normalized, tmp_path) == whole
    assert count.done == 2 * 2


def test_without_settings_no_network_is_trained(
    tiny_params: Path, normalized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(confirm_module, "train_seeds")
    written = confirm(tiny_params, write_studies(tmp_path, "{}"), normalized, tmp_path)
    assert list(written) == [SUMMARY]
    assert read_tuned_answers(tmp_path / "tuned", ["tiny"]) == {}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            f"{{huge: {SETTINGS}}}",
            r"studies\.yaml: tuned\.settings\.huge: expected a network of .*, which has tiny\. ",
        ),
        (
            f"{{tiny: {SETTINGS.replace('dropout_scale: 0.5', 'dropout_scale: 9')}}}",
            r"tuned\.settings\.tiny\.dropout_scale: expected less than 5, .*, got 9",
        ),
        (
            f"{{tiny: {SETTINGS.replace('weight_decay: 0.01, ', '')}}}",
            r"tuned\.settings\.tiny\.weight_decay: expected a value, got none",
        ),
        (
            f"{{tiny: {SETTINGS.replace('rotation: 0', 'rotation: 0.7')}}}",
            r"tuned\.settings\.tiny\.rotation: expected at most 0\.5, got 0\.7",
        ),
    ],
)
def test_settings_that_are_none_are_refused_before_any_training(
    tiny_params: Path,
    normalized: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: str,
    said: str,
) -> None:
    monkeypatch.delattr(confirm_module, "train_seeds")
    with pytest.raises(ParameterError, match=said):
        confirm(tiny_params, write_studies(tmp_path, settings), normalized, tmp_path)
    assert not (tmp_path / "tuned").exists()

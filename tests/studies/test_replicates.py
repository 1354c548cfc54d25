"""The stage `replicates`: several trainings of one network, and statistics computed by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convdepth.studies.replicates import main, read_answers, rightness, summarize, tabulate_answers
from study_inputs import ACCURACIES, LABELS, tables, write_run, write_studies, wrong_from

from convdepth.core.errors import DataError
from convdepth.core.files import write_csv
from convdepth.data.arrays import read_split
from convdepth.studies.runs import Run, describe


def run(seed: int, predicted: np.ndarray, loss: float = 0.5) -> Run:
    history, predictions = tables(LABELS, predicted)
    return Run(seed, history, predictions, describe(predictions.assign(loss=loss)))


def test_mean_and_deviation_by_hand() -> None:
    summary = summarize([run(1, wrong_from(180), 0.3), run(2, wrong_from(190), 0.5)])
    accuracy, loss = summary["accuracy"], summary["loss"]
    assert (accuracy["mean"], accuracy["standard_deviation"]) == (0.925, 0.035355)
    assert (loss["mean"], loss["standard_deviation"]) == (0.4, 0.141421)
    assert accuracy["low"] < 0.9
    assert accuracy["high"] > 0.95
    assert [(each["seed"], each["accuracy"]) for each in summary["runs"]] == [(1, 0.9), (2, 0.95)]


def test_a_run_that_collapsed_counts() -> None:
    collapsed = run(2, np.ones_like(LABELS))
    summary = summarize([run(1, LABELS), collapsed, run(3, LABELS)])
    assert (summary["collapsed"], summary["near_chance"], summary["count"]) == (1, 0, 3)
    assert summary["accuracy"]["mean"] == pytest.approx(0.7, abs=1e-6)
    assert summary["runs"][1]["status"] == "collapsed"


def test_a_single_run_has_curves_and_calibration_and_no_deviation() -> None:
    summary = summarize([run(7, wrong_from(180))])
    (only,) = summary["runs"]
    assert only["curves"]["val_accuracy"] == ACCURACIES
    assert only["calibration_error"] == 0  # 0.9 is the probability, and the accuracy
    assert summary["accuracy"]["standard_deviation"] is None


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    table = tabulate_answers([run(4, LABELS), run(5, wrong_from(100))])
    write_csv(tmp_path / "answers.csv", table)
    read = read_answers(tmp_path / "answers.csv")
    assert list(read.columns) == ["label", "seed_4", "seed_5"]
    assert rightness(read).sum(axis=1).tolist() == [200, 100]


@pytest.mark.parametrize(
    "content", ["", "label\n1\n", "label,seed_1\n", "label,seed_1\n1,x\n", "label,other\n1,1\n"]
)
def test_other_tables_are_no_answers(tmp_path: Path, content: str) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=r"answers\.csv"):
        read_answers(path)


@pytest.fixture
def folder(normalized: Path, tmp_path: Path) -> Path:
    """A folder with ``own``, the pipeline's training, and ``seeds``, the trainings of a study."""
    _, labels = read_split(normalized, "test")
    history, predictions = tables(labels, wrong_from(1800, labels))
    write_csv(tmp_path / "own" / "history" / "tiny.csv", history.assign(val_accuracy=[0.1, 0.2]))
    write_csv(tmp_path / "own" / "predictions" / "tiny.csv", predictions)
    write_run(tmp_path / "seeds", 2, labels, wrong_from(1900, labels))
    write_run(tmp_path / "seeds", 3, labels, labels)  # of former parameters
    return tmp_path


def replicate(params: Path, normalized: Path, folder: Path) -> dict[str, Any]:
    main(
        name="tiny",
        normalized=normalized,
        histories=folder / "own" / "history",
        predictions=folder / "own" / "predictions",
        seeds=folder / "seeds",
        summary=folder / "summary.json",
        answers=folder / "answers.csv",
        params=params,
        studies=write_studies(folder),
    )
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_the_first_run_is_the_pipelines_and_the_others_are_of_the_studies(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    first, second = replicate(tiny_params, normalized, folder)["runs"]
    assert (first["seed"], first["accuracy"]) == (1, 0.9)
    assert (second["seed"], second["accuracy"]) == (2, 0.95)
    assert first["curves"]["val_accuracy"] == [0.1, 0.2]
    assert second["curves"]["val_accuracy"] == ACCURACIES
    answers = read_answers(folder / "answers.csv")
    assert list(answers.columns) == ["label", "seed_1", "seed_2"]
    assert rightness(answers).sum(axis=1).tolist() == [1800, 1900]


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def replace(old: bytes, new: bytes) -> Any:
    def damage(path: Path) -> None:
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new, 1))

    return damage


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, Path.unlink) for name in ("2.csv", "2.answers.csv", "2.scores.json")),
        ("2.csv", replace(b"val_loss", b"lost")),
        ("2.csv", replace(b"0.300000", b"x")),
        ("2.csv", replace(b"0.300000", b"")),
        ("2.csv", replace(b"0.300000", b"inf")),
        ("2.csv", lambda path: path.write_text(path.read_text().partition("\n")[0])),
        ("2.answers.csv", cut),
        ("2.answers.csv", replace(b"predicted\n6,6", b"predicted\n6,66")),
        ("2.answers.csv", replace(b"predicted\n6,6", b"predicted\n6,")),
        ("2.answers.csv", replace(b"predicted\n6,6", b"predicted\n7,6")),
        ("2.scores.json", cut),
        ("2.scores.json", replace(b'"loss"', b'"lost"')),
        ("2.scores.json", replace(b"0.95", b"NaN")),
        ("2.scores.json", replace(b'"ok"', b'"fine"')),
        ("2.scores.json", lambda path: path.write_bytes(b"[]")),
    ],
)
def test_a_damaged_file_is_named(
    tiny_params: Path, normalized: Path, folder: Path, name: str, damage: Any
) -> None:
    damage(folder / "seeds" / name)
    with pytest.raises(DataError) as caught:
        replicate(tiny_params, normalized, folder)
    assert str(caught.value).startswith(f"{folder / 'seeds' / name}: ")
    assert not (folder / "summary.json").exists()


@pytest.mark.parametrize("name", ["history", "predictions"])
def test_a_missing_file_of_the_pipeline_is_named(
    tiny_params: Path, normalized: Path, folder: Path, name: str
) -> None:
    path = folder / "own" / name / "tiny.csv"
    path.unlink()
    with pytest.raises(DataError) as caught:
        replicate(tiny_params, normalized, folder)
    assert str(caught.value).startswith(f"{path}: ")

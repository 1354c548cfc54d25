"""What several trainings say together: nothing is left out, and all figures are as by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convdepth.errors import DataError
from convdepth.files import write_csv
from convdepth.replicates import Run, read_answers, rightness, summarize, tabulate_answers

LABELS = np.tile(np.arange(10), 20)


def run(seed: int, predicted: np.ndarray, loss: float = 0.5) -> Run:
    history = pd.DataFrame(
        {"epoch": [1, 2], "loss": 0.3, "accuracy": 0.8, "val_loss": 0.2, "val_accuracy": [0.7, 0.9]}
    )
    answers = {"label": LABELS, "predicted": predicted, "probability": 0.9, "loss": loss}
    return Run(seed, history, pd.DataFrame(answers))


def wrong_from(first: int) -> np.ndarray:
    """Answers that are right up to some image."""
    return np.where(np.arange(len(LABELS)) < first, LABELS, (LABELS + 1) % 10)


def test_mean_and_deviation_by_hand() -> None:
    summary = summarize([run(1, wrong_from(180), 0.3), run(2, wrong_from(190), 0.5)])
    accuracy, loss = summary["accuracy"], summary["loss"]
    assert (accuracy["mean"], accuracy["standard_deviation"]) == (0.925, 0.035355)
    assert (loss["mean"], loss["standard_deviation"]) == (0.4, 0.141421)
    assert accuracy["low"] < 0.9
    assert accuracy["high"] > 0.95
    assert [each["accuracy"] for each in summary["runs"]] == [0.9, 0.95]
    assert [each["seed"] for each in summary["runs"]] == [1, 2]


def test_a_run_that_collapsed_is_counted_and_not_left_out() -> None:
    collapsed = run(2, np.ones_like(LABELS))
    summary = summarize([run(1, LABELS), collapsed, run(3, LABELS)])
    assert (summary["collapsed"], summary["near_chance"], summary["count"]) == (1, 0, 3)
    assert summary["accuracy"]["mean"] == pytest.approx(0.7, abs=1e-6)
    assert summary["runs"][1]["status"] == "collapsed"


def test_each_run_has_its_curves_and_its_calibration() -> None:
    (only,) = summarize([run(7, wrong_from(180))])["runs"]
    assert only["curves"]["val_accuracy"] == [0.7, 0.9]
    assert only["calibration_error"] == 0  # sure to 0.9, and right as often


def test_a_single_run_has_no_deviation() -> None:
    assert summarize([run(1, LABELS)])["accuracy"]["standard_deviation"] is None


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    table = tabulate_answers([run(4, LABELS), run(5, wrong_from(100))])
    write_csv(tmp_path / "answers.csv", table)
    read = read_answers(tmp_path / "answers.csv")
    assert list(read.columns) == ["label", "seed_4", "seed_5"]
    assert rightness(read).sum(axis=1).tolist() == [200, 100]


@pytest.mark.parametrize(
    "content", ["", "label\n1\n", "label,seed_1\n", "label,seed_1\n1,x\n", "label,other\n1,1\n"]
)
def test_what_are_no_answers_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=r"answers\.csv.*studies/dvc\.yaml"):
        read_answers(path)

"""The order of experiments by held-out images, and the averages over their seeds."""

from pathlib import Path
from typing import Any

import pytest

from convdepth.core.errors import MachineError
from pipelines.experiments.grid import Experiment, combine
from pipelines.experiments.ranking import Row, average_over_seeds, describe_fixed, rank, read_scores


def make(**changes: list[Any]) -> list[Experiment]:
    """Make an experiment for each combination, named e0, e1 and so on."""
    points = combine({f"train.{key}": values for key, values in changes.items()})
    return [Experiment(f"e{index}", "commit", point, "") for index, point in enumerate(points)]


def scores(**accuracies: float) -> dict[tuple[str, str], dict[str, float]]:
    """Give each experiment an accuracy for the network cnn3."""
    return {(name, "cnn3"): {"accuracy": value, "loss": 0.5} for name, value in accuracies.items()}


def test_the_best_one_comes_first_and_what_has_no_score_last() -> None:
    experiments = make(seed=[1, 2, 3], epochs=[5])
    states = {"e0": "failed", "e1": "ran", "e2": "known"}
    found = scores(e1=0.5, e2=0.75) | {("e1", "cnn1"): {"accuracy": 0.25, "loss": 2.0}}
    rows = rank(experiments, ["cnn3", "cnn1"], states, found)
    order = [(row["network"], row["experiment"], row["state"]) for row in rows]
    assert order[:3] == [("cnn3", "e2", "known"), ("cnn3", "e1", "ran"), ("cnn3", "e0", "failed")]
    assert order[3:] == [("cnn1", "e1", "ran"), ("cnn1", "e0", "failed"), ("cnn1", "e2", "known")]
    assert rows[0] == {
        "network": "cnn3",
        "experiment": "e2",
        "train.seed": 3,
        "validation accuracy": 0.75,
        "validation loss": 0.5,
        "state": "known",
    }
    assert rows[2]["validation accuracy"] is None
    assert "train.epochs = 5" in describe_fixed(experiments)
    assert describe_fixed(make(seed=[1, 2])) == ""


def test_seeds_are_averaged_for_each_combination_of_the_rest() -> None:
    def ranked(**changes: list[Any]) -> list[Row]:
        experiments = make(**changes)
        states = dict.fromkeys((each.name for each in experiments), "ran")
        return rank(experiments, ["cnn3"], states, scores(e0=0.5, e2=0.75, e3=0.8))

    rows = average_over_seeds(ranked(max_images=[None, 2], seed=[1, 2], batch_size=[32]))
    assert [tuple(row.values()) for row in rows] == [
        ("cnn3", 2, 2, 0.775, 0.035355),
        ("cnn3", None, 1, 0.5, None),
    ]
    assert list(rows[0]) == ["network", "train.max_images", "seeds", "mean", "standard deviation"]
    assert average_over_seeds(ranked(epochs=[1, 2], seed=[3])) == []


def test_where_dvc_does_not_answer_its_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"`dvc exp show` .*not inside of a DVC"):
        read_scores("HEAD", tmp_path)

"""The curves of running trainings in a terminal."""

import io
import os
import time
from pathlib import Path

import pytest
from command_line import loaded, run
from rich.console import Console

from convdepth.commands.watch import LEVELS, draw, spark
from convdepth.workspace.live_curves import Training

HEAVY = ("tensorflow", "dvc", "pandas")


def training(name: str, process: int, where: str = "") -> Training:
    rows = [
        {"epoch": epoch, "epochs": 12, "process": process}
        | {"loss": 1 / epoch, "accuracy": 0.5, "val_loss": 0.5 / epoch, "val_accuracy": 0.9}
        for epoch in (1.0, 2.0, 4.0)
    ]
    return Training(name, where, rows, time.time() - 7)


def test_a_curve_goes_from_the_lowest_to_the_highest_value() -> None:
    assert spark([0, 1, 2, 3, 4, 5, 6, 7]) == LEVELS
    assert spark([2.0, 2.0]) == LEVELS[0] * 2
    assert spark([9.0, *range(24)])[0] == LEVELS[0]


@pytest.mark.parametrize(("width", "curves"), [(80, 2), (160, 4)])
def test_each_training_has_a_row_that_fits(width: int, curves: int) -> None:
    trainings = [training("cnn3", os.getpid()), training("cnn7-seed-2", 2**30, "clones/1")]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(draw(trainings, width))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    for fact in ("cnn3", "clones/1", "4/12", "0.1250", "7 s ago", "interrupted"):
        assert fact in text
    assert text.count(LEVELS[0]) >= curves
    assert "…" not in text
    assert ("accuracy" in text.replace("val_accuracy", "")) is (curves == 4)


def test_the_command_prints_once_where_it_has_no_terminal(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    ended = run("watch", folder=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert ended.returncode == 0
    assert "No training" in ended.stdout
    assert not loaded(ended.stderr).intersection(HEAVY)

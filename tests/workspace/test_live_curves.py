"""Live curves: kept by a killed training, without repeated epochs, and never a reason to fail."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.training.progress import TrainingProgress
from convdepth.workspace.live_curves import LiveCurves, read_trainings
from convdepth.workspace.live_progress import live_progress
from project import start

LOGS = {"loss": 0.5, "accuracy": 0.75, "val_loss": 0.25, "val_accuracy": 0.875}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def epochs(project: Path) -> dict[str, list[float]]:
    return {each.name: [row["epoch"] for row in each.rows] for each in read_trainings(project)}


def test_a_resumed_training_repeats_no_epoch_and_a_finished_one_leaves_no_file(
    project: Path,
) -> None:
    maker = live_progress(project / "models" / "cnn3.keras")
    with contextlib.suppress(KeyboardInterrupt), maker("cnn3 seed 2", 5, 100) as report:
        for epoch in (1, 2, 3):
            report.epoch_done(LOGS)
            assert epochs(project) == {"cnn3-seed-2": [*range(1, epoch + 1)]}
        raise KeyboardInterrupt
    (interrupted,) = read_trainings(project)
    assert interrupted.rows[2] | LOGS == interrupted.rows[2]
    assert interrupted.rows[2]["epochs"] == 5
    with maker("cnn3 seed 2", 5, 100, done=2) as report:  # the newest checkpoint was damaged
        report.epoch_done(LOGS | {"loss": 0.125})
        (resumed,) = read_trainings(project)
        assert [row["loss"] for row in resumed.rows] == [0.5, 0.5, 0.125]
        assert epochs(project) == {"cnn3-seed-2": [1, 2, 3]}
        assert resumed.runs
    assert epochs(project) == {}
    with maker("cnn3 seed 2", 5, 100) as report:  # other parameters: it starts over
        report.epoch_done(LOGS)
        assert epochs(project) == {"cnn3-seed-2": [1]}


def test_a_killed_training_leaves_a_readable_file(project: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from convdepth.workspace.live_curves import LiveCurves\n"
        f"curves = LiveCurves(Path(sys.argv[1]), 'cnn1', 100000, 0)\n"
        f"while True: curves.add({LOGS}); print(flush=True)"
    )
    command = [sys.executable, "-c", code, str(project)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(20):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.stdout.close()
    (killed,) = read_trainings(project)
    assert [row["epoch"] for row in killed.rows] == [*range(1, len(killed.rows) + 1)]
    assert len(killed.rows) >= 20
    assert not killed.runs


def test_trainings_in_clones_are_found(project: Path) -> None:
    for folder in ("", ".dvc/tmp/clones/1", ".dvc/tmp/exps/standalone/tmp1"):
        LiveCurves(project / folder, "cnn1", 2, 0).add(LOGS)
    assert {each.where for each in read_trainings(project)} == {"", "clones/1", "standalone/tmp1"}


def test_a_file_that_cannot_be_written_ends_no_training(project: Path) -> None:
    (project / "live").write_text("in the way")
    with live_progress(project / "cnn1.keras")("cnn1", 2, 100) as report:
        report.epoch_done(LOGS)
    assert read_trainings(project) == []


def test_outside_a_project_nothing_is_written(tmp_path: Path) -> None:
    assert live_progress(tmp_path / "cnn1.keras") is TrainingProgress


def test_dvc_draws_running_trainings_and_misses_none(tmp_path: Path) -> None:
    """The extension of VS Code runs the same command after each change of the file."""
    files = {name: (PROJECT / name).read_text() for name in ("live/.gitignore", ".dvcignore")}
    project = start(tmp_path / "convdepth", tmp_path, files)
    plots = YAML(typ="safe").load(PROJECT / "dvc.yaml")["plots"]
    YAML().dump({"plots": [each for each in plots if "live" in each]}, project.folder / "dvc.yaml")
    project.commit("Nothing runs")
    show = ("dvc", "plots", "diff", "HEAD", "--json")
    assert json.loads(project.run(*show)) == {}
    curves = LiveCurves(project.folder, "cnn1", 3, 0)
    curves.add(LOGS)
    curves.add(LOGS)
    shown = json.loads(project.run(*show))
    values = shown["data"]["live/cnn1.csv"][0]["content"]["data"]["values"]
    assert "errors" not in shown
    drawn = {(value["epoch"], value["field"]) for value in values}
    assert drawn == {(epoch, field) for epoch in "12" for field in ("accuracy", "val_accuracy")}
    assert project.run("git", "status", "--porcelain") == ""

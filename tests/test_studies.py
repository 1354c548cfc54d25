"""The studies through DVC, with tiny networks: whole, apart from the pipeline, and cached."""

import json
from pathlib import Path

import pandas as pd
import pytest

from faults import Finished
from project import Project, stages_run

STUDIES = "studies/dvc.yaml"
NAMES = ("tiny", "small")
EACH = ("replicate", "collapse")
WHOLE = ("confirm", "contrast", "examine", "report")


@pytest.fixture(scope="module")
def studied(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project, and in it the studies with two seeds, committed."""
    project = finished.copy(tmp_path_factory.mktemp("studied") / "work space" / "convdepth")
    project.edit_params(SMALL, "studies/params.yaml")
    ran = stages_run(project.run("dvc", "repro", STUDIES))
    assert sorted(ran) == sorted(
        [f"{STUDIES}:{stage}" for stage in WHOLE]
        + [f"{STUDIES}:{stage}@{name}" for stage in EACH for name in NAMES]
    )
    project.commit("Studies")
    return project


SMALL = {
    "replicates.seeds": 2,
    "collapse.scales": [0, 1],
    "collapse.seeds": 2,
    "collapse.epochs": 1,
    "collapse.signal_images": 20,
    "collapse.masks": 3,
    "tuned.epochs": 1,
    "tuned.precision": "float32",
    "tuned.settings": {
        "tiny": {
            "learning_rate": 0.002,
            "schedule": "one_cycle",
            "weight_decay": 0.01,
            "label_smoothing": 0.02,
            "shift": 0.1,
            "rotation": 0.02,
            "zoom": 0.1,
            "dropout_scale": 0.5,
            "batch_normalization": True,
        }
    },
}


def test_the_pipeline_leaves_them_alone(studied: Project) -> None:
    assert studied.repro() == []
    assert "replicate" not in studied.run("dvc", "repro", "--dry", "--force")


def test_a_second_run_runs_nothing_and_git_is_clean(studied: Project) -> None:
    assert stages_run(studied.run("dvc", "repro", STUDIES)) == []
    assert studied.run("git", "status", "--porcelain") == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_first_run_is_that_of_the_pipeline(studied: Project, name: str) -> None:
    folder = studied.folder
    metrics = json.loads((folder / f"metrics/{name}.json").read_text())
    summary = json.loads((folder / f"metrics/replicates/{name}.json").read_text())
    answers = pd.read_csv(folder / f"metrics/replicates/{name}.csv")
    predictions = pd.read_csv(folder / f"data/predictions/{name}.csv")
    assert [run["seed"] for run in summary["runs"]] == [1, 2]
    assert summary["runs"][0]["accuracy"] == metrics["accuracy"]
    assert summary["runs"][0]["loss"] == metrics["loss"]
    assert answers["seed_1"].equals(predictions["predicted"])
    assert not answers["seed_2"].equals(predictions["predicted"])


def test_each_study_is_of_all_networks(studied: Project) -> None:
    found = json.loads((studied.folder / "metrics/studies/contrasts.json").read_text())
    assert list(found["pairs"]) == ["tiny / small"]
    assert list(found["gains"]["networks"]) == ["tiny"]
    folder = studied.folder / "metrics" / "studies" / "collapse"
    assert {path.stem for path in folder.glob("*.json")} == set(NAMES)
    assert (studied.folder / "metrics" / "report" / "index.html").is_file()


def test_a_changed_network_runs_its_own_study_alone(studied: Project, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    project = studied.copy(tmp_path / "copy" / "convdepth")
    project.environment = studied.environment | {"PYTHONPATH": str(project.folder / "src")}
    project.edit_params({"architectures.small.head.units": 8})
    planned = stages_run(project.run("dvc", "repro", "--dry", "train@small"))
    assert planned == ["train@small"]
    output = project.run("dvc", "repro", STUDIES)
    ran = stages_run(output)
    assert "tiny tuned: nothing has changed" in output
    assert set(ran) == {
        *("train@small", "evaluate@small", "plot"),
        *(f"{STUDIES}:{stage}@small" for stage in EACH),
        *(f"{STUDIES}:{stage}" for stage in WHOLE),
    }

"""The studies through DVC, with tiny networks: each training is a stage, and runs once."""

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from study_inputs import SETTINGS

import faults
from faults import Finished
from project import Project, stages_run

STUDIES = "studies/dvc.yaml"
NAMES = ("tiny", "small")

SMALL = {
    "replicates.seeds": [2],
    "collapse.scales": [0, 1],
    "collapse.seeds": 2,
    "collapse.epochs": 1,
    "collapse.signal_images": 20,
    "collapse.masks": 3,
    "tuned.epochs": 1,
    "tuned.precision": "float32",
    "tuned.seeds": [1, 2],
    "tuned.settings": {"tiny": SETTINGS},
}


def stages(*names: str) -> set[str]:
    return {f"{STUDIES}:{name}" for name in names}


def by_recipe(name: str, seed: int) -> set[str]:
    return stages(f"train_seed@{name}-{seed}", f"evaluate_seed@{name}-{seed}")


def with_settings(seed: int) -> set[str]:
    return stages(f"train_tuned@tiny-{seed}", f"evaluate_tuned@tiny-{seed}")


SUMMARIES = stages("tuned", "contrast", "report")


def repro(project: Project, *options: str) -> set[str]:
    ran = stages_run(project.run("dvc", "repro", *options, STUDIES))
    assert len(ran) == len(set(ran))
    return set(ran)


@pytest.fixture(scope="module")
def studied(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project with the studies in it, of two seeds, committed."""
    project = finished.copy(tmp_path_factory.mktemp("studied") / "work space" / "convdepth")
    project.edit_params(SMALL, "studies/params.yaml")
    assert repro(project) == {"check"} | SUMMARIES | stages("examine").union(
        *(by_recipe(name, 2) for name in NAMES),
        *(stages(f"replicates@{name}", f"collapse@{name}") for name in NAMES),
        *(with_settings(seed) for seed in (1, 2)),
    )
    project.commit("Studies")
    return project


@pytest.fixture
def copied(studied: Project, tmp_path: Path) -> Project:
    (tmp_path / "copy").mkdir()
    return faults.at_home(
        studied.copy(tmp_path / "copy" / "convdepth"), Path(studied.environment["HOME"])
    )


def test_the_pipeline_leaves_them_alone(studied: Project) -> None:
    assert studied.repro() == []
    assert STUDIES not in studied.run("dvc", "repro", "--dry", "--force")


def test_a_second_run_runs_nothing_and_git_is_clean(studied: Project) -> None:
    assert repro(studied) == set()
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
    metrics = studied.folder / "metrics"
    found = json.loads((metrics / "studies" / "contrasts.json").read_text())
    assert list(found["pairs"]) == ["tiny / small"]
    assert list(found["gains"]["networks"]) == ["tiny"]
    assert {path.stem for path in (metrics / "studies" / "collapse").glob("*")} == set(NAMES)
    kept = {str(path.relative_to(metrics / "seeds")) for path in metrics.glob("seeds/*/*")}
    trainings = ("tiny/2", "small/2", "tiny-tuned/1", "tiny-tuned/2")
    suffixes = (".csv", ".answers.csv", ".scores.json")
    assert kept == {f"{each}{suffix}" for each in trainings for suffix in suffixes}
    assert (metrics / "report" / "index.html").is_file()


def forget_models(project: Project) -> None:
    """Delete the models of the studies, also in DVC's cache."""
    folder = project.folder / "data" / "seeds"
    models = list(folder.glob("*/*.keras"))
    assert len(models) == 4
    for path in models:
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        (project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    shutil.rmtree(folder)


@pytest.mark.parametrize("missing", [False, True])
def test_another_seed_trains_each_network_once(copied: Project, missing: bool) -> None:
    options = ["--allow-missing"] if missing else []
    if missing:
        forget_models(copied)
        assert repro(copied, *options) == set()
    copied.edit_params(
        {"replicates.seeds": [2, 3], "tuned.seeds": [1, 2, 3]}, "studies/params.yaml"
    )
    assert repro(copied, *options) == {"check"} | SUMMARIES | with_settings(3).union(
        *(by_recipe(name, 3) | stages(f"replicates@{name}") for name in NAMES)
    )
    summary = json.loads((copied.folder / "metrics/replicates/tiny.json").read_text())
    assert [run["seed"] for run in summary["runs"]] == [1, 2, 3]


def test_a_changed_network_runs_its_own_stages(copied: Project) -> None:
    copied.edit_params({"architectures.small.head.units": 8})
    assert repro(copied) == {
        *("check", "train@small", "evaluate@small", "plot"),
        *by_recipe("small", 2),
        *stages("replicates@small", "collapse@small", "examine"),
        *SUMMARIES,
    }

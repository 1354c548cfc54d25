"""The studies through DVC: each training is a stage, and runs once."""

import json
import shutil
from pathlib import Path

import pytest
from study_inputs import SETTINGS

import faults
import project as projects
from conftest import PROJECT
from convdepth.workspace.dvc import changed_stages
from faults import Finished
from project import Project, stages_run

STUDIES = "studies/dvc.yaml"
NAMES = ("tiny", "small")

SMALL = {
    "recipe.seeds": [1, 2],
    "collapse.scales": [0, 1],
    "collapse.seeds": 2,
    "collapse.epochs": 1,
    "collapse.signal_images": 20,
    "collapse.masks": 3,
    "depth.groups": ["width"],
    "depth.networks": [1, 2],
    "depth.seeds": [1],
    "depth.design.epochs": 1,
    "fresh.networks": ["tiny", "small"],
    "fresh.seeds": [6],
    "epochs.groups": [1],
    "epochs.networks": ["tiny", "small"],
    "epochs.validation_images": 100,
    "shared.networks": ["tiny", "small"],
    "shared.seeds": [1],
    "shared.recipe.precision": "float32",
    "images.groups": [20],
    "images.networks": ["tiny", "small"],
    "images.seeds": [1],
    "tuned.epochs": 1,
    "tuned.precision": "float32",
    "tuned.seeds": [1, 2],
    "tuned.settings": {"tiny": SETTINGS},
}


def stages(*names: str) -> set[str]:
    return {f"{STUDIES}:{name}" for name in names}


def by_recipe(name: str, seed: int) -> set[str]:
    return stages(f"train_recipe@{name}-{seed}")


def with_settings(seed: int, name: str = "tiny") -> set[str]:
    return stages(f"train_tuned@{name}-{seed}")


QUESTIONS = stages(
    *(
        "train_depth@width-1-1",
        "train_depth@width-2-1",
        "depth",
        "fresh",
        "epochs",
        "shared",
        "images",
    ),
    *("corrupt", "corrupted", *(f"evaluate_corrupted@{name}-1" for name in NAMES)),
    *(f"train_fresh@recipe-{name}-6" for name in NAMES),
    *(f"train_epochs@1-{name}-1" for name in NAMES),
    *(f"train_shared@recipe-{name}-1" for name in NAMES),
    *(f"train_images@20-{name}-1" for name in NAMES),
)
SUMMARIES = stages("recipe", "tuned", "plot_studies", "report")


def repro(project: Project, *options: str) -> set[str]:
    ran = stages_run(project.run("dvc", "repro", *options, STUDIES))
    assert len(ran) == len(set(ran))
    return set(ran)


def test_a_change_makes_its_own_stages_stale(tmp_path: Path) -> None:
    project = projects.create(tmp_path / "convdepth", tmp_path, {})
    for lock in ("dvc.lock", "studies/dvc.lock"):
        shutil.copy(PROJECT / lock, project.folder / lock)
    before = changed_stages(project.folder)  # whose data and metrics are not here
    # The studies are of code before `train.portable`, see LOG.md.
    pipeline = [stage for stage in before if stage.startswith(("train@", "evaluate@"))]
    assert not [stage for stage in pipeline if "modified" in str(before[stage])]

    def changed() -> set[str]:
        found = changed_stages(project.folder)
        return {stage for stage in found if found[stage] != before.get(stage)}

    seeds = {"recipe.seeds": [2, 3, 4, 5, 6], "tuned.seeds": [1, 2, 3, 4, 5, 6]}
    project.edit_params(seeds, "studies/params.yaml")
    names = ("cnn1", "cnn3", "cnn5", "cnn7")
    assert changed() == {"check"} | stages("recipe", "tuned").union(
        *(by_recipe(name, 6) | with_settings(6, name) for name in names)
    )
    project.run("git", "checkout", "--quiet", "studies/params.yaml")
    project.edit_params({"architectures.cnn3.head.units": 8})
    trainings = {"train@cnn3", *stages("collapse@cnn3")}.union(
        *(by_recipe("cnn3", seed) for seed in range(2, 6)),
        *(with_settings(seed, "cnn3") for seed in range(1, 6)),
    )
    assert {stage for stage in changed() if "@cnn" in stage} == {"evaluate@cnn3"} | trainings


@pytest.fixture(scope="module")
def studied(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project with the studies in it, of two seeds, committed."""
    project = finished.copy(tmp_path_factory.mktemp("studied") / "work space" / "convdepth")
    project.edit_params(SMALL, "studies/params.yaml")
    assert repro(project) == {"check"} | SUMMARIES | QUESTIONS | stages("examine").union(
        *(by_recipe(name, seed) for name in NAMES for seed in (1, 2)),
        *(stages(f"collapse@{name}") for name in NAMES),
        *(with_settings(seed) for seed in (1, 2)),
    )
    project.commit("Studies")
    return project


def seeds_of_tiny(project: Project) -> list[int]:
    answer = json.loads((project.folder / "metrics/studies/recipe.json").read_text())
    seeds: list[int] = answer["groups"]["recipe"][0]["seeds"]
    return seeds


@pytest.mark.nightly
def test_a_second_run_runs_nothing_and_the_pipeline_leaves_the_studies_alone(
    studied: Project,
) -> None:
    assert studied.repro() == []
    assert STUDIES not in studied.run("dvc", "repro", "--dry", "--force")
    assert repro(studied) == set()
    assert studied.run("git", "status", "--porcelain") == ""
    assert seeds_of_tiny(studied) == [1, 2]
    metrics = studied.folder / "metrics"
    answers = [
        json.loads((metrics / "studies" / f"{name}.json").read_text())
        for name in ("recipe", "tuned")
    ]
    (pair,) = answers[0]["comparisons"]
    assert (pair["first"], pair["second"], *answers[1]["gains"]) == ("tiny", "small", "tiny")
    assert {path.stem for path in (metrics / "studies" / "collapse").glob("*")} == set(NAMES)
    assert (metrics / "report" / "index.html").is_file()


@pytest.mark.nightly
def test_another_seed_trains_each_network_once_and_needs_no_other_model(
    studied: Project, tmp_path: Path
) -> None:
    (tmp_path / "copy").mkdir()
    home = Path(studied.environment["HOME"])
    copied = faults.at_home(studied.copy(tmp_path / "copy" / "convdepth"), home)
    folder = copied.folder / "data" / "seeds"
    assert len(list(folder.rglob("*.keras"))) == 4 + 2 + 8 + 2
    shutil.rmtree(folder)
    assert repro(copied, "--allow-missing") == set()
    seeds = {"recipe.seeds": [1, 2, 3], "tuned.seeds": [1, 2, 3]}
    copied.edit_params(seeds, "studies/params.yaml")
    assert repro(copied, "--allow-missing") == {"check"} | SUMMARIES | with_settings(3).union(
        *(by_recipe(name, 3) for name in NAMES)
    )
    assert seeds_of_tiny(copied) == [1, 2, 3]

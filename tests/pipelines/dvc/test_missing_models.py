"""Trainings whose model is missing, by a real DVC: which of them run again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import toy
from ruamel.yaml import YAML

from convdepth.core.errors import MachineError
from pipelines.core.process_tree import Processes
from pipelines.dvc.graph import read_graph
from pipelines.dvc.missing_models import Models
from pipelines.dvc.stage import Options, Outcome, run_stage
from pipelines.flows import local as flows
from project import Project

# DVC 3.67 builds its graph with a call that its library pygtrie will drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")

DVC_YAML = """
stages:
  train_seed:
    matrix:
      network: [one]
      seed: ${seeds}
    wdir: ..
    cmd: sh train.sh ${item.network}-${item.seed}
    deps: [normalized.txt, train.sh]
    outs:
      - models/${item.network}-${item.seed}
      - kept/${item.network}-${item.seed}.csv:
          cache: false
  evaluate_seed:
    matrix:
      network: [one]
      seed: ${seeds}
    wdir: ..
    cmd: sh evaluate.sh ${item.network}-${item.seed}
    deps: [evaluate.sh, "models/${item.network}-${item.seed}"]
    outs:
      - kept/${item.network}-${item.seed}.json:
          cache: false
"""

TRAIN_SH = """
mkdir -p models kept
echo "train $1" >> log.txt
echo "weights of $1" > "models/$1"
echo history > "kept/$1.csv"
"""

EVALUATE_SH = """
echo "evaluate $1" >> log.txt
cp "models/$1" "kept/$1.json"
"""

ITEMS = ("one-2", "one-3")

TRAINING, EVALUATION = (
    f"studies/dvc.yaml:{group}@{ITEMS[0]}" for group in ("train_seed", "evaluate_seed")
)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after its studies."""
    project = toy.create(
        tmp_path_factory.mktemp("studied") / "toy", tmp_path_factory.mktemp("home")
    )
    (project.folder / "studies").mkdir()
    (project.folder / "studies" / "dvc.yaml").write_text(DVC_YAML)
    (project.folder / "studies" / "params.yaml").write_text("seeds: [2, 3]\n")
    (project.folder / "train.sh").write_text(TRAIN_SH)
    (project.folder / "evaluate.sh").write_text(EVALUATE_SH)
    project.run("dvc", "repro", "studies/dvc.yaml")
    project.commit("Results")
    return project


@pytest.fixture
def project(studied: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same as a fresh clone: only what git keeps is there."""
    project = studied.copy(tmp_path / "toy")
    for name in ("HOME", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, project.environment[name])
    monkeypatch.chdir(project.folder)
    shutil.rmtree(project.folder / ".dvc" / "cache")
    project.run("git", "clean", "-d", "-x", "--force", "--quiet", "--exclude=.dvc")
    assert not (project.folder / "models" / "one-2").exists()
    return project


def run_studies(project: Project) -> set[str]:
    """Run the studies; give what was trained and evaluated."""
    assert flows.studies(jobs=2, return_state=True).is_completed()
    return {line for line in toy.log(project) if line.startswith(("train ", "evaluate "))}


@pytest.mark.usefixtures("harness")
def test_only_a_new_seed_is_trained(project: Project) -> None:
    (project.folder / "studies" / "params.yaml").write_text("seeds: [2, 3, 4]\n")
    assert run_studies(project) == {"train one-4", "evaluate one-4"}
    assert (project.folder / "normalized.txt").exists()  # other stages make what is missing
    assert [path.name for path in (project.folder / "models").glob("one-*")] == ["one-4"]


@pytest.mark.usefixtures("harness")
def test_an_evaluation_that_must_run_has_its_model_trained(project: Project) -> None:
    (project.folder / "evaluate.sh").write_text(f"{EVALUATE_SH}echo more >> kept/$1.json\n")
    assert run_studies(project) == {f"{word} {i}" for word in ("train", "evaluate") for i in ITEMS}
    assert (project.folder / "kept" / "one-2.json").read_text() == "weights of one-2\nmore\n"


def forget_digests(project: Project) -> None:
    """Leave entries of results that are older than the decision to keep their models."""
    content = toy.locked(project, "studies/dvc.lock")
    for entry in content["stages"].values():
        for each in (*entry["deps"], *entry["outs"]):
            if each["path"].startswith("models/"):
                for key in ("hash", "md5", "size"):
                    del each[key]
    YAML().dump(content, project.folder / "studies" / "dvc.lock")


@pytest.mark.parametrize("prepare", [lambda _project: None, forget_digests])
def test_a_missing_model_alone_is_no_reason_to_run(
    project: Project, prepare: Callable[[Project], None]
) -> None:
    prepare(project)
    options = Options(folder=project.folder, allow_missing=True)
    for stage in (TRAINING, EVALUATION):
        assert run_stage(stage, Processes(), print, options) is Outcome.UNCHANGED
    assert toy.log(project) == []


@pytest.mark.parametrize(
    ("lost", "running"),
    [(None, set()), ("one-2.csv", {TRAINING}), ("one-2.json", {TRAINING, EVALUATION})],
)
def test_a_file_that_git_keeps_must_be_there(
    project: Project, lost: str | None, running: set[str]
) -> None:
    project.run("dvc", "repro", "normalize")
    if lost:
        (project.folder / "kept" / lost).unlink()
    graph = read_graph(project.folder, flows.STUDIES)
    models = Models(graph, project.folder)
    stages = graph.groups("train_seed", "evaluate_seed").stages
    assert {name for name in stages if not models.may_be_missing(name)} == running
    assert not any(map(models.may_be_missing, toy.STAGES))


def test_a_broken_project_is_told(project: Project) -> None:
    graph = read_graph(project.folder, flows.STUDIES)
    (project.folder / "dvc.yaml").write_text("stages: [")
    with pytest.raises(MachineError, match="dvc status"):
        Models(graph, project.folder).may_be_missing(TRAINING)

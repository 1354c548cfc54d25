"""Trainings whose model is missing, by a real DVC: which of them run again."""

import shutil
from pathlib import Path

import pytest
import toy
from ruamel.yaml import YAML

from convdepth.workspace.dvc import STUDIES
from convdepth.workspace.process_tree import Processes
from pipelines.dvc.graph import Models, is_up_to_date, read_graph
from pipelines.dvc.stage import Options, Outcome, run_stage
from pipelines.flows import local as flows
from project import Project

STAGE = """
  {group}:
    matrix: {{network: [one], seed: "${{seeds}}"}}
    wdir: ..
    cmd: sh {script} ${{item.network}}-${{item.seed}}
"""

DVC_YAML = f"""
stages:
{STAGE.format(group="train_recipe", script="train.sh")}
    deps: [normalized.txt, train.sh]
    outs:
      - models/${{item.network}}-${{item.seed}}: {{cache: false}}
      - kept/${{item.network}}-${{item.seed}}.csv: {{cache: false}}
{STAGE.format(group="evaluate_corrupted", script="evaluate.sh")}
    deps: [evaluate.sh, "models/${{item.network}}-${{item.seed}}"]
    outs:
      - kept/${{item.network}}-${{item.seed}}.json: {{cache: false}}
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
    f"studies/dvc.yaml:{group}@{ITEMS[0]}" for group in ("train_recipe", "evaluate_corrupted")
)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after its studies."""
    home = tmp_path_factory.mktemp("studied")
    project = toy.create(home / "toy", home)
    (project.folder / "studies").mkdir()
    (project.folder / "studies" / "dvc.yaml").write_text(DVC_YAML)
    (project.folder / "studies" / "params.yaml").write_text("seeds: [2, 3]\n")
    (project.folder / ".gitignore").write_text("/log.txt\n/models/\n")
    (project.folder / "train.sh").write_text(TRAIN_SH)
    (project.folder / "evaluate.sh").write_text(EVALUATE_SH)
    project.run("dvc", "repro", "studies/dvc.yaml")
    project.commit("Results")
    return project


@pytest.fixture
def project(studied: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same as a fresh clone: only what git keeps is there."""
    project = studied.entered_copy(tmp_path / "toy", monkeypatch)
    shutil.rmtree(project.folder / ".dvc" / "cache")
    project.run("git", "clean", "-d", "-x", "--force", "--quiet", "--exclude=.dvc")
    assert not (project.folder / "models" / "one-2").exists()
    return project


@pytest.mark.usefixtures("harness", "quick_dvc")
def test_only_a_new_seed_is_trained_or_what_an_evaluation_needs(project: Project) -> None:
    (project.folder / "studies" / "params.yaml").write_text("seeds: [2, 3, 4]\n")
    assert flows.studies(jobs=2, return_state=True).is_completed()
    log = toy.log(project)
    assert {"train one-4", "evaluate one-4"} <= set(log)
    assert not {f"{work} {item}" for work in ("train", "evaluate") for item in ITEMS} & set(log)
    assert (project.folder / "normalized.txt").exists()  # other stages make what is missing
    assert [path.name for path in (project.folder / "models").glob("one-*")] == ["one-4"]
    (project.folder / "evaluate.sh").write_text(f"{EVALUATE_SH}echo more >> kept/$1.json\n")
    assert flows.studies(jobs=2, return_state=True).is_completed()
    assert sorted(toy.log(project)[len(log) :]) == [
        *("evaluate one-2", "evaluate one-3", "evaluate one-4", "train one-2", "train one-3")
    ]
    assert (project.folder / "kept" / "one-2.json").read_text() == "weights of one-2\nmore\n"


@pytest.mark.parametrize("older", [False, True])
def test_a_missing_model_alone_is_no_reason_to_run(project: Project, older: bool) -> None:
    if older:  # than the decision to keep these models
        content = toy.locked(project, "studies/dvc.lock")
        for entry in content["stages"].values():
            for each in (*entry["deps"], *entry["outs"]):
                if each["path"].startswith("models/"):
                    for key in ("hash", "md5", "size"):
                        del each[key]
        YAML().dump(content, project.folder / "studies" / "dvc.lock")
    options = Options(folder=project.folder, allow_missing=True)
    for stage in (TRAINING, EVALUATION):
        assert run_stage(stage, Processes(), options, print) is Outcome.UNCHANGED
    assert toy.log(project) == []


def test_a_missing_model_is_left_to_the_flow(studied: Project, project: Project) -> None:
    assert is_up_to_date(STUDIES, studied.folder)
    assert not is_up_to_date(STUDIES, project.folder)


def test_a_file_that_git_keeps_must_be_there(project: Project) -> None:
    project.run("dvc", "repro", "normalize")
    graph = read_graph(project.folder, STUDIES)
    stages = graph.groups("train_recipe", "evaluate_corrupted").stages
    for lost, running in {
        "nothing": set(),
        "one-2.csv": {TRAINING},
        "one-2.json": {TRAINING, EVALUATION},
    }.items():
        path = project.folder / "kept" / lost
        content = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        models = Models(graph, project.folder)
        assert {name for name in stages if not models.may_be_missing(name)} == running
        assert not any(map(models.may_be_missing, toy.STAGES))
        path.write_bytes(content)

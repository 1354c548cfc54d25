"""The flow `sweep` on a made-up project: side by side, resumed, retried, interrupted, compared."""

import json
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import serving
import toy
from waiting import lives, wait_until

import faults
from conftest import PROJECT
from convdepth.workspace.process_tree import Processes
from pipelines.dvc.graph import read_graph
from pipelines.execution.runner import FlowError
from pipelines.experiments.grid import plan
from pipelines.flows.sweep import make_recipe, run_experiment, sweep
from project import Project

SHARED = ["download", "normalize"]

DVC_YAML = (
    toy.DVC_YAML.replace("outs: [raw.txt]", "outs: [raw.txt: {cache: false}]")
    .replace("deps: [raw.txt]", "deps: [raw.txt], params: [normalize]")
    .replace("architectures.${key}", "train")
)

SETTINGS = r"""
value() { sed -n "s/^ *$1: *\([^ ]*\).*/\1/p" params.yaml | head -1; }
seed=$(value seed)
"""

# The better one by the test set is the worse one by the held-out images.
EVALUATE = """*.model) echo "$1 $(value learning_rate) $seed" > "$2" ;;
  *.json)
  test=0.34$((9 - seed)) validation='{"images": 100, "accuracy": 0.9'$seed', "loss": 0.5}'
  echo "test accuracy $test"
  echo '{"accuracy": '$test', "loss": 0.5, "validation": '"$validation"'}' > "$2" ;;
"""


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a held-out set, whose trainings depend on the recipe, committed.

    The files that steer it lie outside, since each experiment has a clone, and name the seed.
    """
    work = SETTINGS + toy.WORK_SH.replace('-$1"', '-$1-$seed"')
    work = work.replace('echo "$1" >', 'echo "$1 $(value max_images)" >')
    work = re.sub(r"\*\.json\).*\n", lambda _: EVALUATE, work)
    (project.folder / "work.sh").write_text(work)
    (project.folder / "dvc.yaml").write_text(DVC_YAML)
    project.edit_params({"train.validation_images": 100})
    project.commit("Trainings")
    steering(project).mkdir()
    project.environment["TOY"] = str(steering(project))
    project.enter(monkeypatch)
    return project


def steering(project: Project) -> Path:
    return project.folder.parent / "steering"


def begun(project: Project, stage: str) -> int:
    """Count how often a stage began, in any experiment."""
    log = steering(project) / "log.txt"
    return log.read_text().count(f"begin {stage}") if log.exists() else 0


def experiments(project: Project) -> list[str]:
    return project.run("dvc", "exp", "list", "--name-only").split()


def artifact(state: Any, key: str) -> Any:
    (found,) = serving.records(
        "artifacts", flow_run_id=str(state.state_details.flow_run_id), key=key
    )
    return json.loads(found["data"])


@pytest.mark.usefixtures("harness", "quick_dvc")
def test_a_grid_runs_side_by_side_and_becomes_experiments_of_dvc(
    project: Project, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (steering(project) / "meet").touch()  # each training waits until another one has begun
    state = sweep({"train.seed": [1, 2], "train.learning_rate": [0.001]}, jobs=2, return_state=True)
    assert state.message == "2 ran"
    assert {begun(project, stage) for stage in SHARED} == {1}
    assert begun(project, "plot") == 2
    assert toy.clones(project) == []
    notes = Path(project.environment["DVC_SITE_CACHE_DIR"]) / "repo"
    assert len(list(notes.iterdir())) <= 3  # DVC's, of the project and of two clones
    assert project.run("git", "status", "--porcelain") == ""

    rows = artifact(state, "sweep")
    found = [(row["network"], row["train.seed"]) for row in rows]
    assert found == [("one", 2), ("one", 1), ("two", 2), ("two", 1)]
    assert rows[0]["validation accuracy"] == 0.92
    assert {row["experiment"] for row in rows} == set(experiments(project))
    assert [row["seeds"] for row in artifact(state, "sweep-seeds")] == [2, 2]
    printed = capsys.readouterr().out
    command = next(line for line in printed.splitlines() if "--only-changed" in line)
    table = project.run(*shlex.split(command))
    assert "validation.accuracy" in table
    assert "train.seed" in table
    for text in (printed, caplog.text, table):
        assert "0.34" not in text  # as all accuracies on the test set begin

    project.run("dvc", "exp", "apply", rows[0]["experiment"])
    assert "  seed: 2\n" in (project.folder / "params.yaml").read_text()
    assert (project.folder / "one.model").read_text().endswith(" 0.001 2\n")
    assert "up to date" in project.run("dvc", "status")


@pytest.mark.nightly
@pytest.mark.usefixtures("harness", "quick_dvc")
def test_a_failed_experiment_leaves_the_others_and_only_what_is_missing_runs(
    project: Project,
) -> None:
    project.repro()
    project.commit("Results")
    options = {"architectures": ["one"], "jobs": 4, "return_state": True}
    (steering(project) / "fail-train@one-2").touch()
    failed = sweep({"train.seed": [1, 2]}, **options)
    with pytest.raises(FlowError, match=r"(?s)^sweep-\w{8}: .*error: train@one went") as caught:
        failed.result()
    assert caught.value.exit_code == 6
    (done,) = experiments(project)
    assert done not in str(failed.message)
    assert [row["state"] for row in artifact(failed, "sweep")] == ["ran", "failed"]
    assert toy.clones(project) == []
    (steering(project) / "fail-train@one-2").unlink()
    second = sweep({"train.seed": [1, 2]}, **options)
    assert second.message == "1 known, 1 ran"
    rows = artifact(second, "sweep")
    assert [(row["network"], row["state"]) for row in rows] == [("one", "ran"), ("one", "known")]
    assert begun(project, "train@one") == 3  # seed 1 is the commit's own
    # With all networks it is another experiment, which finds in the cache what is done.
    assert sweep({"train.seed": [2]}, jobs=1, return_state=True).message == "1 ran"
    assert (begun(project, "train@one"), begun(project, "train@two")) == (3, 2)
    assert {begun(project, stage) for stage in SHARED} == {1}
    # Stages before the networks run once for each of their parameters.
    changes = {"normalize.max_images": [600, None], "train.seed": [3]}
    assert sweep(changes, **options).message == "2 ran"
    assert (begun(project, "download"), begun(project, "normalize")) == (1, 2)
    assert begun(project, "train@one") == 5
    # Another sweep may have been faster with the same experiment.
    recipe = make_recipe(read_graph(), ["one"])
    assert (recipe.shared, recipe.targets) == (SHARED, ["train@one", "evaluate@one"])
    (experiment,) = plan({"train.seed": [2]}, architectures=["one"])
    known = experiments(project)
    assert experiment.name in known
    with Processes() as processes:
        run_experiment(experiment, recipe, processes, lambda _: None)
    assert experiments(project) == known
    assert begun(project, "train@one") == 5


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("send", "number", "code", "left"),
    [
        (os.killpg, signal.SIGINT, 130, 0),
        (os.kill, signal.SIGTERM, 143, 0),
        (os.kill, signal.SIGKILL, -9, 2),
    ],
)
@pytest.mark.usefixtures("quick_dvc")
def test_a_signal_leaves_no_process_and_what_is_done_is_kept(
    harness: str,
    project: Project,
    send: Callable[[int, int], None],
    number: signal.Signals,
    code: int,
    left: int,
) -> None:
    marks = [steering(project) / f"hang-evaluate@one-{seed}" for seed in (1, 2)]
    for mark in marks:
        mark.touch()
    project.environment |= {"PYTHONPATH": str(PROJECT), "PREFECT_API_URL": harness}
    arguments = ["sweep", "--set", "train.seed=1,2", "--architecture", "one", "--jobs", "2"]
    process = faults.start(project, *serving.PIPELINES, *arguments)
    wait_until(lambda: begun(project, "evaluate@one") == 2 or process.poll() is not None, 240)
    family = psutil.Process(process.pid).children(recursive=True)
    send(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    wait_until(lambda: not any(map(lives, family)))
    assert len(toy.clones(project)) == left
    assert experiments(project) == []
    for mark in marks:
        mark.unlink()
    state = sweep({"train.seed": [1, 2]}, architectures=["one"], jobs=2, return_state=True)
    assert state.message == "2 ran"
    assert begun(project, "train@one") == 2  # as before the signal
    assert begun(project, "evaluate@one") == 4
    assert toy.clones(project) == []

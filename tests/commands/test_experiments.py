"""Experiments on one screen: a real git and a real DVC, with stages that take no time."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from convdepth.commands import experiments
from convdepth.commands.experiments import Result, print_experiments, read_results
from convdepth.core.errors import ParameterError
from convdepth.workspace.dvc import show_experiments
from project import Project, start

DVC_YAML = """
stages:
  evaluate:
    foreach: [cnn1, cnn3]
    do:
      cmd: python evaluate.py ${item}
      params: ["architectures.${item}", train]
      outs: ["metrics/${item}.json": {cache: false}]
      metrics: ["metrics/scores/${item}.json": {cache: false}]
"""

EVALUATE = """
import json, sys
from pathlib import Path
from ruamel.yaml import YAML
name, params = sys.argv[1], YAML(typ="safe").load(Path("params.yaml"))
accuracy = params["architectures"][name]["block2"]["dropout"]
scores = {"accuracy": accuracy, "loss": 0.1, "status": "ok"}
if params["train"]["validation_images"]:
    scores["validation"] = {"accuracy": accuracy - 0.25}
Path("metrics/scores").mkdir(parents=True, exist_ok=True)
Path("metrics/scores", f"{name}.json").write_text(json.dumps(scores))
bounds = {"accuracy_low": accuracy - 0.125, "accuracy_high": accuracy + 0.125}
Path("metrics", f"{name}.json").write_text(json.dumps({**scores, **bounds}))
"""

PARAMS = """
train: {validation_images: 0}
architectures:
  cnn1: {block2: {dropout: 0.5}}
  cnn3: {block2: {dropout: 0.5}}
"""

WORSE, BETTER, BOTH = "sweep-1a2b3c4d", "better", "held-out-images"
DROPOUT = "architectures.cnn3.block2.dropout"


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three experiments on a commit, after which there is another commit, and one in the queue."""
    folder, home = (tmp_path_factory.mktemp(name) for name in ("tried", "home"))
    files = {"dvc.yaml": DVC_YAML, "evaluate.py": EVALUATE, "params.yaml": PARAMS}
    project = start(folder / "toy", home, files)
    project.run("dvc", "repro")
    project.commit("Results")
    for name, change in (
        (WORSE, f"{DROPOUT}=0.375"),
        (BETTER, f"{DROPOUT}=0.625"),
        (BOTH, "train.validation_images=100"),
    ):
        project.run("dvc", "exp", "run", "--name", name, "-S", change)
        project.run("git", "checkout", "--quiet", ".")
    (project.folder / "README.md").write_text("A later commit")
    project.commit("Later")
    project.run("dvc", "exp", "run", "--queue", "--name", "waiting", "-S", f"{DROPOUT}=0.75")
    return project


@pytest.fixture
def toy(tried: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    tried.enter(monkeypatch)
    return tried


def test_a_row_is_a_network_that_an_experiment_changes(toy: Project) -> None:
    rows = read_results((), "accuracy", toy.folder)
    shown = [(row.experiment, row.network, row.accuracy, row.status) for row in rows]
    assert shown == [
        ("waiting", "", None, "queued"),
        ("", "cnn1", 0.5, "ok"),
        ("", "cnn3", 0.5, "ok"),
        (BETTER, "cnn3", 0.625, "ok"),
        (BOTH, "cnn1", 0.5, "ok"),
        (BOTH, "cnn3", 0.5, "ok"),
        (WORSE, "cnn3", 0.375, "ok"),
    ]
    better, both = rows[3], rows[4]
    assert (better.low, better.high, better.held_out) == (0.5, 0.75, None)
    assert better.changed == {DROPOUT: 0.625}
    assert both.held_out == 0.25
    assert len(both.commit) == 40
    assert both.commit != rows[0].commit


def test_a_running_experiment_has_no_results_of_an_earlier_run(
    toy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(*given: Any) -> Any:
        found = show_experiments(*given)
        for baseline in found:
            for experiment in baseline["experiments"] or ():
                if experiment["name"] == BETTER:
                    experiment["executor"] = {"state": "running"}
        return found

    monkeypatch.setattr(experiments, "show_experiments", show)
    (row,) = (row for row in read_results((), "time", toy.folder) if row.experiment == BETTER)
    assert (row.network, row.accuracy, row.status) == ("", None, "running")
    assert row.changed == {DROPOUT: 0.625}


def test_by_default_the_newest_experiment_comes_first(toy: Project) -> None:
    rows = read_results(["HEAD~1"], "time", toy.folder)
    times = [each.time for each in rows if each.experiment]  # of whole seconds, so some are equal
    assert len(times) == 4
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("order", "names"),
    [("held-out", [BOTH, BOTH, BETTER, WORSE]), ("experiment", [BETTER, BOTH, BOTH, WORSE])],
)
def test_experiments_are_sorted_within_their_commit(
    order: str, names: list[str], toy: Project
) -> None:
    rows = read_results(["HEAD~1"], order, toy.folder)
    assert sorted(each.experiment for each in rows if each.experiment) == sorted(names)
    found = [each.experiment for each in rows if each.experiment]
    assert found[:2] == names[:2]
    with pytest.raises(ParameterError, match=r"^nowhere"):
        read_results(["nowhere"], order, toy.folder)


@pytest.mark.parametrize("columns", [80, 160])
def test_the_table_fits_the_terminal(
    columns: int, toy: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_experiments((), "cnn3", "time", "table", toy.folder)
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= columns
    for fact in (WORSE, "cnn3", "block2.dropout=0.", "37.50%", "25.00 to 50.00", "queued"):
        assert fact in table
    assert "cnn1" not in table


def test_other_programs_read_it_too(toy: Project, capsys: pytest.CaptureFixture[str]) -> None:
    print_experiments((), None, "time", "json", toy.folder)
    rows = json.loads(capsys.readouterr().out)
    assert [Result(**row) for row in rows] == read_results((), "time", toy.folder)
    print_experiments((), None, "time", "markdown", toy.folder)
    assert capsys.readouterr().out.count(f"| {WORSE} | cnn3 |") == 1


def test_without_an_experiment_the_commands_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = start(tmp_path / "empty", tmp_path, {})
    project.commit("Nothing")
    print_experiments((), None, "time", "table", project.folder)
    assert "dvc exp run" in capsys.readouterr().out


def test_the_documented_line_shows_experiments_on_one_screen(toy: Project) -> None:
    page = (PROJECT / "docs" / "experiments.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^dvc exp show --.*--drop.*?'.*?'", page, re.MULTILINE)
    table = toy.run(*shlex.split(line), "--rev", "HEAD~1", COLUMNS="160")
    header, *_ = (row for row in table.splitlines() if "Experiment" in row)
    names = ("metrics/scores/cnn3.json:accuracy", "validation.accuracy", DROPOUT)
    assert all(name in header for name in names)
    assert "cnn1" not in header
    assert "loss" not in header
    assert max(map(len, table.splitlines())) <= 160
    assert "0.375" in table

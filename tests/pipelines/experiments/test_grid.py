"""Which experiments a sweep is made of, and what is refused before any of them runs."""

import os
import re
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import MachineError, ParameterError
from pipelines.experiments.grid import combine, parse_settings, plan, set_values
from project import Project

HELD_OUT = {"train.validation_images": [5000]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params_text: str) -> Project:
    """A git repository with the project's own parameters in its only commit."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "params.yaml").write_text(params_text)
    project = Project(folder, tmp_path)
    project.run("git", "init", "--quiet")
    project.commit("Parameters")
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return project


def test_values_are_read_as_dvc_reads_yaml_or_all_refused_at_once() -> None:
    settings = ["train.learning_rate=5e-4,.001", "a.b=null,no,true, 3 ,text", 'c="1",https://a/b']
    assert parse_settings(settings) == {
        "train.learning_rate": [0.0005, 0.001],
        "a.b": [None, "no", True, 3, "text"],
        "c": ["1", "https://a/b"],
    }
    wrong = ["a", "b=", "c=1,,2", "d=[1", "e={a: 1}", "f=2020-01-01", "g=.nan", "ok=2"]
    with pytest.raises(ParameterError) as caught:
        parse_settings(["ok=1", *wrong])
    lines = str(caught.value).splitlines()
    assert [line.partition(": expected KEY=VALUE")[0] for line in lines] == wrong


def test_the_grid_has_each_combination_once_and_a_sample_follows_from_its_seed() -> None:
    points = combine({"a": [1, 2, 1], "b": [True, 1]})
    assert points == [{"a": 1, "b": True}, {"a": 1, "b": 1}, {"a": 2, "b": True}, {"a": 2, "b": 1}]
    assert [type(point["b"]) for point in points] == [bool, int, bool, int]
    changes = {"a": list(range(10)), "b": list(range(10))}
    drawn = combine(changes, 50, 1)
    assert drawn == combine(changes, 50, 1)
    assert drawn != combine(changes, 50, 2)
    assert len({tuple(point.values()) for point in drawn}) == 50
    assert combine(changes, 100, 1) == combine(changes)
    for sample in (0, -1, 101):
        with pytest.raises(ParameterError, match=f"sample: expected 1 to 100.*got {sample}"):
            combine(changes, sample)


def test_only_the_values_are_changed_in_the_text(params_text: str) -> None:
    changes = {
        "train.learning_rate": 1e-05,
        "train.precision": "mixed_bfloat16",
        "normalize.max_images": 600,
        "architectures.cnn3.block2.conv1.filters": 8,
    }
    changed = set_values(params_text, changes)
    pairs = zip(params_text.splitlines(), changed.splitlines(), strict=True)
    assert [" ".join(new.split()) for old, new in pairs if old != new] == [
        "max_images: 600 # a number keeps the first N of each split, for quick trials",
        "learning_rate: 1e-05",
        "precision: mixed_bfloat16 # or mixed_bfloat16",
        "conv1: {filters: 8, kernel_size: 3}",
    ]
    assert set_values(params_text, {}) == params_text


@pytest.mark.parametrize("value", [None, True, 3, 0.5, "", "text", "no", "1", "a, b", "a: b", "#x"])
def test_a_value_is_read_again_unchanged(value: object) -> None:
    for text in (
        "k: {a: 1, b: 2} # é\n",
        "k:\n  é: ü\n  a:\nb: 2\n",
        "k: {a: '1'}",
        "k: {a: &x 1, b: *x}\n",
        "k:\n  a: |\n    1\n  b: 2\n",
        "k: {}\n",
    ):
        before = YAML(typ="safe").load(text)
        after = YAML(typ="safe").load(set_values(text, {"k.a": value}))  # type: ignore[dict-item]
        assert after == before | {"k": before["k"] | {"a": value}}


def test_an_experiments_name_follows_from_the_commit_the_changes_and_the_networks(
    project: Project,
) -> None:
    changes = {"train.seed": [1], **HELD_OUT}
    (experiment,) = plan(changes)
    name = experiment.name
    assert re.fullmatch("sweep-[0-9a-f]{8}", name)
    assert plan(dict(reversed(changes.items())))[0].name == name
    assert plan(changes | {"train.seed": [2, 1]})[1].name == name
    networks = [plan(changes, architectures=each)[0].name for each in (["cnn1", "cnn3"], ["cnn1"])]
    assert plan(changes, architectures=["cnn3", "cnn1", "cnn1"])[0].name == networks[0]
    (project.folder / "params.yaml").write_text(experiment.params)  # all of them
    train = read_params().train
    assert (train.seed, train.validation_images) == (1, 5000)
    project.commit("Hold images out")
    assert len({name, *networks, plan(changes)[0].name}) == 4
    assert len(plan({"train.seed": [1, 2]})) == 2


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"train.learning_rat": [1]}, ["train.learning_rat: .*learning_rate"]),
        ({"train": [1]}, ["train: "]),
        ({"download.sources": [1], "xyz": [1]}, ["download.sources: ", "xyz: "]),
        ({"train.seed.x": [1]}, ["train.seed.x: "]),
        ({"download.sources.0": [1]}, ["download.sources.0: "]),
        (
            {"train.seed": [1, -1, "x"], "train.epochs": [1, 2]},  # each is told once
            ["train.seed: .*-1", "train.seed: .*'x'"],
        ),
        ({"train.validation_images": [0]}, ["train.validation_images: .*got 0"]),
    ],
)
def test_wrong_keys_and_values_are_told(changes: dict[str, list[object]], lines: list[str]) -> None:
    with pytest.raises(ParameterError) as caught:
        plan({**HELD_OUT, **changes})  # type: ignore[arg-type]
    found = str(caught.value).splitlines()
    assert len(found) == len(lines), found
    for line, expected in zip(found, lines, strict=True):
        assert re.match(f"params.yaml: {expected}", line)


def test_an_experiment_varies_something_of_a_commit(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"train.seed": [1], **HELD_OUT}
    for nothing in ({}, {"train.epochs": []}):
        with pytest.raises(ParameterError, match="nothing is varied"):
            plan(nothing)
    with pytest.raises(ParameterError, match=r"architectures.cnn9: no such architecture"):
        plan(changes, architectures=["cnn3", "cnn9"])
    (project.folder / "notes.txt").touch()  # git does not have it, and so no experiment has it
    assert plan(changes)
    project.edit_params({"train.epochs": 3})
    with pytest.raises(ParameterError, match=r"params.yaml. Run `git commit --all`"):
        plan(changes)
    project.commit("More")
    monkeypatch.delenv("GIT_COMMITTER_NAME")
    with pytest.raises(MachineError, match=r"`git config user.name "):
        plan(changes)


def test_a_mistake_is_told_in_two_seconds_without_prefect_and_dvc(project: Project) -> None:
    code = (
        "import sys; from pipelines.experiments.grid import parse_settings, plan\n"
        "try: plan(parse_settings(['train.sed=1,2,3']))\n"
        "finally: assert not {'prefect', 'dvc'} & set(sys.modules), 'slow'"
    )
    project.environment["PYTHONPATH"] = f"{PROJECT}{os.pathsep}{PROJECT / 'src'}"
    best = 60.0
    for _ in range(3):  # the first one of all compiles the modules
        started = time.monotonic()
        said = project.run(sys.executable, "-c", code, code=1)
        best = min(best, time.monotonic() - started)
        assert "params.yaml: train.sed: " in said
        assert "slow" not in said
    assert best < 2

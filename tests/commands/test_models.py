"""The list of models: the workspace's, and all versions."""

import json

import pytest

from convdepth.commands.models import print_models
from convdepth.workspace.registry import assign, register
from project import Project

METRICS = {"accuracy": 0.99, "accuracy_low": 0.987, "accuracy_high": 0.9918, "status": "ok"}
COLLAPSED = METRICS | {"accuracy": 0.1135, "status": "collapsed"}
MADE = {"device": "CPU", "instructions": "avx2 fma", "precision": "float32", "keras": "3.15.1"}


def lines(project: Project, capsys: pytest.CaptureFixture[str], style: str) -> list[str]:
    print_models(project.folder / "params.yaml", style, project.folder)
    return capsys.readouterr().out.splitlines()


def test_each_model_has_its_accuracy_and_numeric_class(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.enter(monkeypatch)
    listed = lines(project, capsys, "markdown")[2:]
    assert [line.split(" | ")[0] for line in listed] == ["| one", "| two"]
    outs = "cmd: x, outs: [{path: one.json, md5: 0}]"
    (project.folder / "dvc.lock").write_text(f"stages: {{evaluate@one: {{{outs}}}}}")
    for metrics, message in ((METRICS, json.dumps(MADE)), (COLLAPSED, "by hand")):
        (project.folder / "one.json").write_text(json.dumps(metrics))
        project.commit("Results")
        register("one", "HEAD", message)
    assign("one", "v0.0.1", "prod")
    entries = json.loads("\n".join(lines(project, capsys, "json")))
    assert [entry["model"] for entry in entries] == ["one", "two", "one@v0.0.2", "one@v0.0.1"]
    workspace, absent, collapsed, first = entries
    assert workspace["metrics"] == collapsed["metrics"] == COLLAPSED
    assert (absent["metrics"], collapsed["numeric_class"]) == ({}, {})
    assert (first["metrics"], first["numeric_class"]) == (METRICS, MADE)
    assert first["stages"] == ["prod"]
    assert first["commit"] == project.run("git", "rev-parse", "HEAD~1").strip()
    table = "\n".join(lines(project, capsys, "table"))
    for word in ("99.00% (98.70 to 99.18)", "collapsed", "avx2", "Keras 3.15.1", "one@v0.0.1"):
        assert word in table

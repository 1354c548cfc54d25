"""DVC puts names and values of parameters into shell commands; `check` comes before all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from project import Project, stages_run

NETWORK = {"block1": {"conv1": {"filters": 1, "kernel_size": 3}, "pool_size": 2}}
NETWORK |= {"head": {"units": 1}}
HOSTILE = ("$(cd;touch x)", "a;cd;touch x", "`cd;touch x`", "a\ncd;touch x", "-x", "a b", "a'b'")
STUDIES = {
    "recipe.seeds": ["2;cd;touch x"],
    "tuned.seeds": ["$(cd;touch x)"],
    "tuned.settings": {"a;cd;touch x": {}},
}

REPRO = (["repro"], ["repro", "studies/dvc.yaml"], ["repro", "evaluate@tiny"])
EXPERIMENTS = (
    ["exp", "run"],
    ["exp", "run", "--temp"],
    ["exp", "run", "-S", "train.epochs=4", "studies/dvc.yaml"],
    ["exp", "run", "--queue"],
    ["exp", "run", "--run-all"],
)


@pytest.mark.parametrize(
    "commands", [REPRO, pytest.param(EXPERIMENTS, marks=pytest.mark.nightly)], ids=["repro", "exp"]
)
@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("params.yaml", {f"architectures.{name}": NETWORK for name in HOSTILE}),
        ("studies/params.yaml", STUDIES),
    ],
    ids=["names", "studies"],
)
def test_no_parameter_reaches_the_shell(
    workspace: Project, file: str, changes: Mapping[str, Any], commands: Sequence[list[str]]
) -> None:
    workspace.edit_params(changes, file)
    for words in commands:
        code = 0 if {"--queue", "--run-all"} & set(words) else 255  # a queue hides failures
        output = workspace.run("dvc", *words, code=code)
        assert set(stages_run(output)) <= {"check"}
        assert not code or "exited with 2" in output
        assert not code or all(f"{file}: {key}" in output for key in changes), output
    assert not (Path(workspace.environment["HOME"]) / "x").exists()

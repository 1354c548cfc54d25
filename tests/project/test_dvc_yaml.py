"""The two dvc.yaml: what the stages depend on, and arguments that are the stages' own."""

import ast
import inspect
import re
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.commands.stages import STAGES as COMMANDS
from convdepth.config.params import read_params
from convdepth.config.questions import KINDS
from convdepth.workspace.code_digests import MODULES

SOURCES = PROJECT / "src" / "convdepth"
FILES = (PROJECT / "dvc.yaml", PROJECT / "studies" / "dvc.yaml")
FIRST = ("code", "check")
PASSED_BY_THE_COMMAND_LINE = {"code", "progress", "known"}
"""Arguments that neither dvc.yaml nor a user gives."""


@cache
def stages() -> dict[str, dict[str, Any]]:
    entries = [YAML(typ="safe").load(file)["stages"] for file in FILES]
    return {name: each.get("do", each) for entry in entries for name, each in entry.items()}


def command(stage: str) -> str:
    """The command of the command line that a stage runs, as a name of Python."""
    return str(stages()[stage]["cmd"]).split()[1].replace("-", "_")


@pytest.mark.parametrize("stage", [stage for stage in stages() if stage not in FIRST])
def test_a_stage_depends_on_its_code_and_on_checked_parameters(stage: str) -> None:
    deps = stages()[stage]["deps"]
    code = [dep for dep in deps if dep.startswith(("code/", "src/"))]
    assert code[0] == f"code/{command(stage)}.txt"
    assert code[1:] == (["src/convdepth/report/templates"] if stage == "report" else [])
    assert "metrics/parameters.txt" in deps


def test_a_new_data_rule_makes_no_training_stale() -> None:
    """Its outcome is in validation.json; data.txt is the same whatever the rules are."""
    deps = {stage: entry.get("deps", []) for stage, entry in stages().items()}
    assert [stage for stage in deps if "metrics/validation.json" in deps[stage]] == ["report"]
    gated = {stage for stage in deps if "metrics/data.txt" in deps[stage]}
    questions = {f"train_{question}" for question in KINDS}
    assert gated == questions | {"train", "collapse"}


def test_check_is_the_first_stage_with_code_and_sees_both_files() -> None:
    deps = stages()["check"]["deps"]
    assert deps == ["code/check.txt", "params.yaml", "studies/params.yaml"]
    for stage in FIRST:  # whose commands run before anything is checked
        assert "${" not in stages()[stage]["cmd"]


@pytest.mark.parametrize("stage", stages())
def test_the_command_line_offers_each_argument_of_a_stage(stage: str) -> None:
    offered = COMMANDS[command(stage)].arguments.split()
    assert set(COMMANDS[command(stage)].writes.split()) <= set(offered)
    main = import_module(f"convdepth.{MODULES[command(stage)]}").main
    parameters = inspect.signature(main).parameters.keys()
    assert sorted(offered) == sorted(parameters - PASSED_BY_THE_COMMAND_LINE)


def test_each_network_is_an_artifact_with_the_output_of_its_training() -> None:
    """DVC has no loop over artifacts, so a further network needs a line in dvc.yaml."""
    artifacts = YAML(typ="safe").load(FILES[0])["artifacts"]
    (model,) = (out for out in stages()["train"]["outs"] if out.endswith(".keras"))
    assert artifacts == {
        name: {"path": model.replace("${key}", name), "type": "model"}
        for name in read_params(PROJECT / "params.yaml").architectures
    }


def test_no_module_names_the_data_and_of_all_stages_only_the_report_reads_templates() -> None:
    reading = set()
    for path in SOURCES.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "TEMPLATES = " in text:
            reading.add(path.parent.name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = re.search(r"(?<![\w/])(data|metrics)/\w", node.value)
                assert not named, f"{path}:{node.lineno}"
    assert reading == {"report", "release"}  # a release is no stage

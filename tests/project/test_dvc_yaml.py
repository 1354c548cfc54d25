"""The two dvc.yaml: what the stages depend on, and arguments that are the stages' own."""

import ast
import inspect
import itertools
import re
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.commands.stages import STAGES as COMMANDS
from convdepth.workspace.code import STAGES as CODE_STAGES
from convdepth.workspace.code_digests import MODULES

SOURCES = PROJECT / "src" / "convdepth"
FILES = (PROJECT / "dvc.yaml", PROJECT / "studies" / "dvc.yaml")
FIRST = ("code", "check")
PASSED_BY_THE_COMMAND_LINE = {"code", "progress", "known"}
"""Arguments that neither dvc.yaml nor a user gives."""


@cache
def stages() -> dict[str, dict[str, Any]]:
    entries = [YAML(typ="safe").load(file)["stages"].items() for file in FILES]
    return {name: stage.get("do", stage) for name, stage in itertools.chain(*entries)}


def command(stage: str) -> str:
    """The command of the command line that a stage runs, as a name of Python."""
    word = stages()[stage]["cmd"].split()[1]
    return word.replace("-", "_")


def module_of(name: str) -> str:
    return f"convdepth.{MODULES[name]}"


def parameters(stage: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(import_module(module_of(command(stage))).main).parameters)


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
    assert gated == {"train", "train_seed", "train_tuned", "collapse"}


def test_check_is_the_first_stage_with_code_and_sees_both_files() -> None:
    deps = stages()["check"]["deps"]
    assert deps == ["code/check.txt", "params.yaml", "studies/params.yaml"]
    for stage in FIRST:  # whose commands run before anything is checked
        assert "${" not in stages()[stage]["cmd"]


def test_code_is_digested_for_each_command_that_a_stage_runs() -> None:
    assert {command(stage) for stage in stages() if stage != "code"} == set(CODE_STAGES)


@pytest.mark.parametrize("stage", stages())
def test_deps_are_sorted_and_exist(stage: str) -> None:
    deps = stages()[stage]["deps"]
    assert deps == sorted(deps)
    assert all((PROJECT / dep).exists() for dep in deps if dep.startswith(("src/", "code/")))


def test_only_the_report_reads_templates() -> None:
    reading = {
        path.stem
        for path in SOURCES.rglob("*.py")
        if "TEMPLATES = " in path.read_text(encoding="utf-8")
    }
    assert reading == {"report"}


@pytest.mark.parametrize("stage", stages())
def test_the_command_of_a_stage_has_all_arguments(stage: str) -> None:
    options = set(re.findall(r"--(\w+)", stages()[stage]["cmd"]))
    needed = {
        name
        for name, value in parameters(stage).items()
        if value.default is value.empty and name not in PASSED_BY_THE_COMMAND_LINE
    }
    defaults = {"params", "studies"} if stage == "check" else set()
    named = {"name"} if "name" in parameters(stage) else set()
    assert needed - defaults <= options | named <= set(parameters(stage))


@pytest.mark.parametrize("stage", stages())
def test_the_command_line_offers_each_argument_of_a_stage(stage: str) -> None:
    offered = COMMANDS[command(stage)].arguments.split()
    assert set(COMMANDS[command(stage)].writes.split()) <= set(offered)
    given = [name for name in parameters(stage) if name not in PASSED_BY_THE_COMMAND_LINE]
    assert sorted(offered) == sorted(given)


def test_each_training_is_a_stage_whose_model_dvc_keeps_and_whose_history_git_keeps() -> None:
    for stage in ("train_seed", "train_tuned"):
        model, history = stages()[stage]["outs"]
        assert model.startswith("data/seeds/")
        (options,) = history.values()
        assert options == {"cache": False}


def test_no_module_names_the_data() -> None:
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"(?<![\w/])(data|metrics)/\w", node.value), (
                    f"{path}:{node.lineno}"
                )


def test_the_package_itself_holds_no_code() -> None:
    for path in SOURCES.rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert [type(node) for node in body] == [ast.Expr], path


def test_only_one_module_imports_tensorflow() -> None:
    importers = {
        path.stem
        for path in SOURCES.rglob("*.py")
        if re.search(r"^\s*(import|from) (keras|tensorflow)", path.read_text(), re.MULTILINE)
    }
    assert importers == {"backend"}


def test_no_module_imports_prefect_and_one_imports_dvc_when_it_is_asked() -> None:
    importers = {
        (path.relative_to(SOURCES).as_posix(), name, node.col_offset > 0)
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or node.names[0].name]
        if name.partition(".")[0] in ("prefect", "dvc")
    }
    assert importers == {
        ("workspace/dvc.py", "dvc.exceptions", True),
        ("workspace/dvc.py", "dvc.repo", True),
    }

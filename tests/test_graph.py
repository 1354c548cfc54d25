"""The two dvc.yaml: complete deps, and arguments that are the stages' own."""

import ast
import inspect
import itertools
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth import cli
from convdepth.params import read_params

SOURCES = PROJECT / "src" / "convdepth"
FILES = (PROJECT / "dvc.yaml", PROJECT / "studies" / "dvc.yaml")
ARCHITECTURES = list(read_params(PROJECT / "params.yaml").architectures)


@cache
def stages() -> dict[str, dict[str, Any]]:
    entries = [YAML(typ="safe").load(file)["stages"].items() for file in FILES]
    return {name: stage.get("do", stage) for name, stage in itertools.chain(*entries)}


@cache
def imported_modules(module: str) -> frozenset[str]:
    """The project's modules that a module imports, directly or not, itself included."""
    tree = ast.parse((SOURCES / f"{module}.py").read_text(encoding="utf-8"))
    found = {module}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("convdepth"):
            _, _, name = (node.module or "").partition(".")
            names = [name] if name else [alias.name for alias in node.names]
            for direct in names:
                found |= imported_modules(direct)
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("convdepth") for alias in node.names), module
    return frozenset(found)


def arguments(stage: str) -> list[str]:
    """What a stage must be told; its parameters have a default."""
    parameters = inspect.signature(import_module(f"convdepth.{stage}").main).parameters
    return [name for name, value in parameters.items() if value.default is value.empty]


@pytest.mark.parametrize("stage", stages())
def test_deps_are_exactly_the_imported_modules(stage: str) -> None:
    sources = [Path(dep) for dep in stages()[stage]["deps"] if dep.startswith("src/")]
    deps = {path.stem for path in sources if path.suffix == ".py"}
    assert deps == imported_modules(stage)


@pytest.mark.parametrize("stage", stages())
def test_deps_are_sorted_and_exist(stage: str) -> None:
    deps = stages()[stage]["deps"]
    assert deps == sorted(deps)
    assert all((PROJECT / dep).exists() for dep in deps if dep.startswith("src/"))


def test_who_reads_templates_depends_on_them() -> None:
    reading = {
        path.stem
        for path in SOURCES.glob("*.py")
        if "TEMPLATES = " in path.read_text(encoding="utf-8")
    }
    assert reading == {"report"}
    assert "src/convdepth/templates" in stages()["report"]["deps"]


@pytest.mark.parametrize("stage", stages())
def test_the_command_of_a_stage_has_its_own_name_and_all_arguments(stage: str) -> None:
    words = stages()[stage]["cmd"].split()
    assert words[:2] == ["convdepth", stage]
    options = {word.removeprefix("--") for word in words if word.startswith("--")}
    assert options | ({"name"} if "${key}" in words else set()) == set(arguments(stage))


@pytest.mark.parametrize("stage", stages())
def test_the_command_line_passes_each_argument_of_a_stage(stage: str) -> None:
    offered = list(inspect.signature(getattr(cli, stage)).parameters)
    given = [*arguments(stage), "params", "studies"]
    assert offered == given[: len(offered)]
    assert "params" in offered


def test_the_studies_have_no_more_stages_than_the_pipeline() -> None:
    # DVC walks a part of its graph as a view of networkx, and that runs through a set, in an order
    # that differs from process to process, as soon as the part is less than half of the whole. New
    # entries of dvc.lock would then come in another order each time.
    counts = []
    for file in FILES:
        entries = YAML(typ="safe").load(file)["stages"].values()
        counts.append(sum(len(ARCHITECTURES) if "foreach" in each else 1 for each in entries))
    pipeline, studies = counts
    assert studies <= pipeline


def test_no_module_names_the_data() -> None:
    for path in SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"(?<![\w/])(data|metrics)/\w", node.value), (
                    f"{path}:{node.lineno}"
                )


def test_the_package_itself_holds_no_code() -> None:
    body = ast.parse((SOURCES / "__init__.py").read_text(encoding="utf-8")).body
    assert [type(node) for node in body] == [ast.Expr]


def test_only_one_module_imports_tensorflow() -> None:
    importers = {
        path.stem
        for path in SOURCES.glob("*.py")
        if re.search(r"^\s*(import|from) (keras|tensorflow)", path.read_text(), re.MULTILINE)
    }
    assert importers == {"runtime"}


def test_no_module_imports_prefect_or_dvc() -> None:
    for path in SOURCES.glob("*.py"):
        assert not re.search(r"^\s*(import|from) (prefect|dvc)\b", path.read_text(), re.MULTILINE)

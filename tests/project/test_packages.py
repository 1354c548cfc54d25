"""The layout: import direction, sizes, and the packages of the wheel."""

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import PROJECT

ROOTS = {"convdepth": PROJECT / "src" / "convdepth", "pipelines": PROJECT / "pipelines"}

ORDER = {
    "convdepth": [
        *("core", "config", "data", "models", "training", "evaluation", "figures", "studies"),
        *("report", "workspace", "integrity", "commands", "cli"),
    ],
    "pipelines": [
        *("core", "dvc", "reporting", "execution", "checkout", "experiments", "deploy", "flows"),
        "__main__",
    ],
}
"""Packages import only packages to their left; pipelines import any package of convdepth."""

PUBLIC = {"tensorflow": "models", "keras": "models", "great_expectations": "data"}
"""Libraries that one package of convdepth alone imports."""

FILES = [path for root in ROOTS.values() for path in sorted(root.rglob("*.py"))]
MAX_MODULE, MAX_FUNCTION, MAX_FOLDER = 400, 45, 15


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package(name: str) -> str:
    """Return the first level below the root: of ``convdepth.data.idx`` it is ``data``."""
    return f"{name}..".split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_imports_point_to_packages_further_up(path: Path) -> None:
    root, module = next(
        (name, path.relative_to(folder).with_suffix(""))
        for name, folder in ROOTS.items()
        if path.is_relative_to(folder)
    )
    own = module.parts[0]
    for name in imports(path):
        if name.partition(".")[0] == root and package(name) and own in ORDER[root]:
            assert ORDER[root].index(package(name)) <= ORDER[root].index(own), name
        if root == "convdepth":
            assert name.partition(".")[0] not in ("pipelines", "prefect"), name
            assert PUBLIC.get(name.partition(".")[0], own) == own, name


@pytest.mark.parametrize("root", ROOTS)
def test_the_order_names_each_package(root: str) -> None:
    found = {path.stem for path in ROOTS[root].iterdir() if path.suffix == ".py"}
    found |= {path.name for path in ROOTS[root].iterdir() if (path / "__init__.py").exists()}
    assert found - {"__init__", "__main__"} <= set(ORDER[root])


def test_no_module_and_no_folder_is_too_large() -> None:
    long = [path for path in FILES if len(path.read_text().splitlines()) > MAX_MODULE]
    folders = {path.parent for path in FILES}
    full = [folder for folder in folders if len(list(folder.glob("[!_]*.py"))) > MAX_FOLDER]
    assert (long, full) == ([], [])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_function_is_too_long(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION, node.name


def test_the_wheel_holds_the_flows_and_the_templates(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name, root in ROOTS.items():
        files = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert {f"{name}/{path.relative_to(root).as_posix()}" for path in files} <= names

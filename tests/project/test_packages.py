"""The layout: import direction and sizes."""

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from conftest import PROJECT

ROOTS = {"convdepth": PROJECT / "src" / "convdepth", "pipelines": PROJECT / "pipelines"}

ORDER = {
    "convdepth": [
        *("core", "config", "data", "models", "training", "evaluation", "figures", "studies"),
        "questions",
        *("report", "workspace", "release", "integrity", "commands", "cli"),
        "__main__",
    ],
    "pipelines": [
        *("core", "dvc", "reporting", "execution", "checkout", "experiments", "deploy", "flows"),
        "__main__",
    ],
}
"""Packages import only packages to their left; pipelines import any package of convdepth."""

IMPORTERS = {
    "tensorflow": {"models/backend.py"},
    "keras": {"models/backend.py"},
    "great_expectations": {"data/validation/rules.py", "data/validation/run.py"},
    "dvc": {"workspace/dvc.py"},
    "gto": {"workspace/registry.py"},
    "onnxruntime": {"commands/export_formats.py"},
    "ai_edge_litert": {"commands/export_formats.py"},
    "prefect": set(),
    "pipelines": set(),
}
"""Names to the modules of convdepth that alone import them."""

MAX_MODULE, MAX_FUNCTION, MAX_FOLDER = 400, 45, 15


@cache
def trees(root: str) -> dict[str, ast.Module]:
    """Parse all modules of a root, by their path within it."""
    return {
        path.relative_to(ROOTS[root]).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(ROOTS[root].rglob("*.py"))
    }


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("root", ROOTS)
def test_imports_point_to_packages_further_up(root: str) -> None:
    order = ORDER[root]
    for module, tree in trees(root).items():
        own = module.removesuffix(".py").partition("/")[0]
        assert own in [*order, "__init__"]
        packages = [name.split(".")[1] for name in imports(tree) if name.startswith(f"{root}.")]
        below = [name for name in packages if order.index(name) > order.index(own)]
        assert below == [], module


@pytest.mark.parametrize("name", IMPORTERS)
def test_a_heavy_library_is_imported_in_one_place(name: str) -> None:
    found = {
        module
        for module, tree in trees("convdepth").items()
        if any(each.partition(".")[0] == name for each in imports(tree))
    }
    assert found == IMPORTERS[name]


def test_nothing_is_too_large_and_packages_hold_no_code() -> None:
    for root, folder in ROOTS.items():
        for module, tree in trees(root).items():
            lines = len((folder / module).read_text(encoding="utf-8").splitlines())
            assert lines <= MAX_MODULE, module
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or 0) - node.lineno
                    assert length < MAX_FUNCTION, f"{module}: {node.name}"
            if module.endswith("__init__.py"):
                assert [type(node) for node in tree.body] == [ast.Expr], module
        for package in {(folder / module).parent for module in trees(root)}:
            assert len(list(package.glob("[!_]*.py"))) <= MAX_FOLDER, package

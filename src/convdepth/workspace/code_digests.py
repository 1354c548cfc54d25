"""The stage `code`: digests of the code that each stage runs.

A stage depends on the modules that it imports, directly or not, and on the locked versions of the
numeric libraries among them. A module's digest is the SHA-256 of its syntax tree without comments,
docstrings, `print`, error texts, exception classes and imports of project modules. It does not
depend on the module's name or path. An edit that changes no result changes no digest.
"""

import ast
import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import convdepth
from convdepth.core.errors import DataError
from convdepth.core.files import write_text

PACKAGE = "convdepth"

TABLE: dict[str, Any] = tomllib.loads(
    Path(convdepth.__file__).with_name("stages.toml").read_text(encoding="utf-8")
)
"""The commands of stages, their panels and options, and the numeric libraries."""

MODULES: dict[str, str] = {name: entry["module"] for name, entry in TABLE["stages"].items()}
"""The module whose `main` a command runs, for each command of a stage and of the flow `tune`."""

STAGES = tuple(command for command in MODULES if command not in ("code", "tune"))
"""Commands of stages that depend on their digest; several stages can run one of them."""

NAMES = "modules"  # the text with the digest of each module by name; no stage depends on it
LIBRARIES: dict[str, str] = TABLE["libraries"]
"""Libraries whose version can change a number or a picture: package name by import name."""

SOURCE_ROOT = Path(convdepth.__file__).parent.parent


@dataclass(frozen=True)
class Code:
    """The code that a stage runs: the SHA-256 of each module, and the `LIBRARIES` it imports."""

    modules: dict[str, str]
    libraries: list[str]

    @property
    def digest(self) -> str:
        """One SHA-256 for all modules, independent of their names."""
        return hashlib.sha256("\n".join(sorted(self.modules.values())).encode()).hexdigest()


def main(sources: Path, lock: Path, digests: Path) -> None:
    """Write the texts of `digest_stages`, each as ``<name>.txt``, and delete other texts."""
    texts = digest_stages(sources, lock)
    for path in digests.glob("*.txt"):
        if path.stem not in texts:
            path.unlink()
    for name, text in texts.items():
        write_text(digests / f"{name}.txt", text)
    print(f"code: digests of {len(STAGES)} stages", flush=True)


def digest_stages(sources: Path, lock: Path) -> dict[str, str]:
    """Return the digests of each stage's modules without names, then the libraries' versions.

    A moved module changes none of these texts. The text `NAMES` lists all digests with names. A
    requirements lock that lacks a library is a `DataError`.
    """
    try:
        versions = locked_versions(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{lock}: cannot be read: {error}. Run `git checkout {lock}`.") from error
    codes = {stage: read_command(stage, sources.parent) for stage in STAGES}
    used = {name for code in codes.values() for name in code.libraries}
    if missing := sorted(used - versions.keys()):
        raise DataError(f"{lock}: no version of {', '.join(missing)}. Run `make lock`.")
    texts = {
        stage: [
            *sorted(set(code.modules.values())),
            *(f"{name}=={versions[name]}" for name in code.libraries),
        ]
        for stage, code in codes.items()
    }
    named = {name: digest for code in codes.values() for name, digest in code.modules.items()}
    texts[NAMES] = [f"{digest} {name}" for name, digest in sorted(named.items())]
    return {name: "\n".join([*lines, ""]) for name, lines in texts.items()}


def read_code(module: str, sources: Path = SOURCE_ROOT) -> Code:
    """Read a module and all project modules that it imports, directly or not.

    Imports in functions count; imports under ``if TYPE_CHECKING`` never run, so they do not. A
    module that is missing or not valid Python is a `DataError`.
    """
    found: dict[str, _Module] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _module_path(sources, name)
        if path is None:
            raise DataError(f"{sources}: no module {name}. Correct the import.")
        found[name] = _parse(sources, name, path, path.read_bytes())
        waiting += found[name].imports
    libraries = {LIBRARIES[each] for one in found.values() for each in one.libraries}
    return Code({name: found[name].digest for name in sorted(found)}, sorted(libraries))


def read_command(command: str, sources: Path = SOURCE_ROOT) -> Code:
    """Read the code of a command of `MODULES`, as `read_code` does."""
    return read_code(f"{PACKAGE}.{MODULES[command]}", sources)


def locked_versions(lock: str) -> dict[str, str]:
    """Read package versions from the text of a requirements lock; names are normalized."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


class _Module(NamedTuple):
    digest: str
    imports: frozenset[str]
    libraries: frozenset[str]


@cache
def _parse(sources: Path, name: str, path: Path, content: bytes) -> _Module:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        raise DataError(f"{path}: is not valid Python: {error}. Correct it.") from error
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    code = _Code(package)
    digest = hashlib.sha256("".join(_serialize(code.visit(tree))).encode()).hexdigest()
    libraries = LIBRARIES.keys() & {name.partition(".")[0] for name in code.imports}
    own = filter(_is_own, code.imports)
    imports = {module for name in own for module in _existing_modules(sources, name)}
    return _Module(digest, frozenset(imports), frozenset(libraries))


def _module_path(sources: Path, name: str) -> Path | None:
    base = sources.joinpath(*name.split("."))
    candidates = (base.with_name(f"{base.name}.py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _existing_modules(sources: Path, name: str) -> list[str]:
    """List the modules that importing a name runs: its packages, and itself if it is a module."""
    parts = name.split(".")
    chain = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    found = [each for each in chain if _module_path(sources, each)]
    if len(found) < len(chain) - 1:  # the last part may be a function or a class
        raise DataError(f"{sources}: no module for the import of {name}. Correct the import.")
    return found


class _Code(ast.NodeTransformer):
    """Drops texts for people, what only a type checker sees, and imports of project modules.

    ``imports`` gets the full dotted name of each import: ``a.b`` for ``from a import b``.
    """

    def __init__(self, package: str) -> None:
        self.package, self.imports = package, list[str]()

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return [self.visit(each) for each in node.orelse]
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        value = node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return None  # a docstring
        if isinstance(value, ast.Call) and _name(value.func) == "print":
            return None
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        base = self.package.split(".")[: 1 - node.level or None] if node.level else []
        origin = ".".join([*base, *([node.module] if node.module else [])])
        self.imports += [f"{origin}.{alias.name}" for alias in node.names]
        return None if _is_own(origin) else node

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        self.imports += [alias.name for alias in node.names]
        node.names = [each for each in node.names if not _is_own(each.name)]
        return node if node.names else None

    def visit_Raise(self, node: ast.Raise) -> Any:
        return _Blank().visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        if _name(node.func).endswith("Error"):
            return _Blank().visit(node)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST | None:
        if any(_name(base).endswith(("Error", "Exception")) for base in node.bases):
            return None
        return self.generic_visit(node)


class _Blank(ast.NodeTransformer):
    """Empties all strings."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, _node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("")


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _serialize(node: object) -> Iterator[str]:
    """Write a syntax tree; unlike `ast.dump`, alike in each supported version of Python."""
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for field, value in ast.iter_fields(node):
            if value not in (None, []) and field not in ("ctx", "kind", "type_comment"):
                yield f" {field}="
                yield from _serialize(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for each in node:
            yield from _serialize(each)
        yield "]"
    else:
        yield f"{type(node).__name__}:{node!r} "

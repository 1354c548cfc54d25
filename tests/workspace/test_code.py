"""The stage `code`: which edits change which digests, and so which stages run again."""

import re
from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.core.errors import DataError
from convdepth.workspace.code_digests import STAGES, digest_stages, main, read_code, read_command
from project import Project

SOURCES = PROJECT / "src" / "convdepth"
LOCK = PROJECT / "requirements.lock"
TRAININGS = {"train", "train_run", "collapse"}
SEARCH = "tune"
"""No stage, but its checkpoints depend on its code."""


@pytest.mark.parametrize(
    ("package", "commands"),
    [
        ("training", {*TRAININGS, SEARCH}),
        ("models.xla", {*TRAININGS, SEARCH}),
        ("data.validation", {"validate"}),
        ("figures", {"examine", "plot", "plot_studies", "report"}),
        ("report", {"report"}),
        ("evaluation.metrics", {*STAGES, SEARCH} - {"train"}),
        ("evaluation", {*STAGES, SEARCH} - {"train"}),
        *((name, set()) for name in ("training.progress", "models.precision_advice", "cli")),
        *((name, set()) for name in ("commands", "workspace", "integrity")),
    ],
)
def test_a_changed_package_reruns_these_commands_only(package: str, commands: set[str]) -> None:
    name = f"convdepth.{package}"
    found = {
        stage
        for stage in (*STAGES, SEARCH)
        if any(f"{module}.".startswith(f"{name}.") for module in read_command(stage).modules)
    }
    assert found <= commands
    assert found == commands or package.startswith("evaluation")


@pytest.mark.parametrize("library", ["tensorflow", "keras", "numpy"])
def test_an_upgrade_reruns_every_training(tmp_path: Path, library: str) -> None:
    text, count = re.subn(rf"(?m)^{library}==\S+", f"{library}==99", LOCK.read_text())
    assert count == 1
    lock = tmp_path / "lock"
    lock.write_text(text)
    before, after = digest_stages(SOURCES, LOCK), digest_stages(SOURCES, lock)
    assert {name for name in before if before[name] != after[name]} >= TRAININGS
    lock.write_text(text.replace(f"\n{library}==", "\nother=="))
    with pytest.raises(DataError, match=rf"lock: .*{library}"):
        digest_stages(SOURCES, lock)


def test_dvc_runs_the_stage_code_alone_after_a_comment(workspace: Project) -> None:
    path = workspace.folder / "src" / "convdepth" / "models" / "layers.py"
    path.write_text("# A comment.\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert workspace.repro() == ["code"]
    assert "code/" not in workspace.run("git", "status", "--porcelain")
    assert workspace.repro() == []


def test_the_committed_digests_are_those_of_the_code() -> None:
    for stage, text in digest_stages(SOURCES, LOCK).items():
        assert (PROJECT / "code" / f"{stage}.txt").read_text() == text, "run `dvc repro code`"


def test_a_stage_that_is_gone_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "former.txt").touch()
    main(SOURCES, LOCK, tmp_path)
    assert "former" not in {path.stem for path in tmp_path.iterdir()} >= {*STAGES, "modules"}


def package(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        path = folder / "convdepth" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    "statement",
    [
        "from convdepth.sub.leaf import VALUE",
        "from convdepth.sub import leaf",
        "import convdepth.sub.leaf",
        "import convdepth.sub.leaf as other",
        "from .sub.leaf import VALUE",
        "from .sub import leaf",
        "from . import sub",
        "def lazily():\n    from convdepth.sub.leaf import VALUE",
        "if True:\n    from convdepth.sub.leaf import VALUE",
    ],
)
def test_every_form_of_import_is_followed(tmp_path: Path, statement: str) -> None:
    folder = package(
        tmp_path, top=statement, sub__leaf="from ..base import B\nVALUE = 1", base="B = 1"
    )
    (folder / "convdepth" / "sub" / "__init__.py").write_text("from . import leaf\n")
    assert list(read_code("convdepth.top", folder).modules) == [
        *("convdepth", "convdepth.base", "convdepth.sub", "convdepth.sub.leaf", "convdepth.top")
    ]


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("from convdepth.missing import x", r"convdepth\.missing"),
        ("import convdepth.no.such", r"convdepth\.no"),
        ("from .missing.x import y", r"convdepth\.missing"),
        ("def", r"top\.py"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, statement: str, named: str) -> None:
    with pytest.raises(DataError, match=named):
        read_code("convdepth.top", package(tmp_path, top=statement))


def digest(folder: Path, text: str) -> str:
    folder = package(folder, top=text, a="x = 1", b="x = 1")
    return read_code("convdepth.top", folder).modules["convdepth.top"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x = 1", "# A comment\nx  =  1  # and another one"),
        ("def f(): return 1", "def f():\n    'A docstring'\n    return 1"),
        ("class A:\n    x = 1", "class A:\n    'One'\n    x = 1\n    'of an attribute'"),
        ("print('text')\nx = 1", "x = 1"),
        ("raise ValueError('a')", "raise ValueError(f'b {c}')"),
        ("error = DataError('a')", "error = DataError('b')"),
        ("x = 1", "class AnError(ValueError):\n    x = 1\nx = 1"),
        ("from convdepth.a import x\ny = x", "from convdepth.b import x\ny = x"),
        ("import convdepth.a\nx = 1", "x = 1"),
        ("if TYPE_CHECKING:\n    import a\nx = 1", "x = 1"),
    ],
)
def test_what_changes_no_result_changes_no_digest(tmp_path: Path, old: str, new: str) -> None:
    assert digest(tmp_path / "old", old) == digest(tmp_path / "new", new)


def test_a_moved_module_keeps_its_digest(tmp_path: Path) -> None:
    first = package(tmp_path / "old", top="from convdepth.leaf import x", leaf="x = 1")
    second = package(tmp_path / "new", sub__top="from .leaf import x", sub__leaf="x = 1", base="")
    before = set(read_code("convdepth.top", first).modules.values())
    assert before == set(read_code("convdepth.sub.top", second).modules.values())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x = 'text'", "x = 'other'"),
        ("f('text')", "f('other')"),
        ("x = 1", "x = 2"),
        ("x = True", "x = 1"),
        ("x = 1", "x = 1.0"),
        ("x = -0.0", "x = 0.0"),
        ("def f(x=1): ...", "def f(x=2): ..."),
        ("class A(B): x = 1", "class A(C): x = 1"),
        ("@a\ndef f(): ...", "@b\ndef f(): ..."),
        ("raise ValueError(1)", "raise ValueError(2)"),
        ("import numpy", "import scipy"),
        ("from numpy import array", "from numpy import asarray"),
        ("x: int = 1", "x: float = 1"),
        ("a if b else c", "a if c else b"),
        ("print(f(1)); g()", "print(f(1)); h()"),
    ],
)
def test_what_may_change_a_result_changes_the_digest(tmp_path: Path, old: str, new: str) -> None:
    assert digest(tmp_path / "old", old) != digest(tmp_path / "new", new)

"""The stage `code`: which edits make which stages run again."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.core.errors import DataError
from convdepth.workspace.code import digest_stages, main
from convdepth.workspace.code_digests import locked_versions, read_code
from project import Project

GRAPHS = ("dvc.yaml", "studies/dvc.yaml")
TRAININGS = {"train", "train_seed", "train_tuned", "collapse"}


class Sources:
    """A copy of the sources, to be edited."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock = folder, folder / "requirements.lock"
        shutil.copytree(
            PROJECT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(PROJECT / "requirements.lock", self.lock)

    def path(self, module: str) -> Path:
        return self.folder / "src" / "convdepth" / f"{module}.py"

    def edit(self, module: str, old: str, new: str) -> None:
        text = self.path(module).read_text(encoding="utf-8")
        assert old in text, (module, old)
        self.path(module).write_text(text.replace(old, new, 1), encoding="utf-8")

    def digests(self) -> dict[str, str]:
        texts = digest_stages(self.folder / "src" / "convdepth", self.lock)
        del texts["modules"]
        return texts

    def stale(self, before: dict[str, str]) -> set[str]:
        """The stages of both graphs that depend on a digest that has changed."""
        after = self.digests()
        assert after.keys() == before.keys()
        changed = {f"code/{name}.txt" for name in after if after[name] != before[name]}
        found = set()
        for file in GRAPHS:
            for name, stage in YAML(typ="safe").load(PROJECT / file)["stages"].items():
                if changed & set(stage.get("do", stage)["deps"]):
                    found.add(name)
        return found


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


@pytest.fixture
def before(sources: Sources) -> dict[str, str]:
    return sources.digests()


Edit = Callable[[Sources], None]


def edit(module: str, old: str, new: str) -> Edit:
    return lambda sources: sources.edit(module, old, new)


def move(sources: Sources) -> None:
    """Move a module that trains into another package."""
    sources.path("models/build").rename(sources.path("training/networks"))
    for path in (sources.folder / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(
            text.replace("convdepth.models.build", "convdepth.training.networks"), "utf-8"
        )


NOTHING: dict[str, Edit] = {
    "a comment": edit("training/failures", "import math\n", "import math  # for isfinite\n"),
    "a docstring": edit("training/train", '"""Train for one epoch.', '"""Do one epoch.'),
    "a docstring of an attribute": edit("config/recipe", '"""In both directions', '"""Both ways'),
    "a log message": edit("training/train", "was interrupted, and goes on", "goes on"),
    "an error message": edit("training/failures", "Lower train.learning_rate", "Lower it"),
    "a new kind of error": edit(
        "core/errors",
        "class BusyError",
        'class NewError(ConvdepthError):\n    """."""\n\n\nclass BusyError',
    ),
    "progress output": edit("training/progress", "images/s", "pictures per second"),
    "a measured constant": edit(
        "models/precision_advice", "BFLOAT16_GAIN = 0.61", "BFLOAT16_GAIN = 0.5"
    ),
    "a help text": edit("cli", "Train one network by the recipe", "Fit one network by the recipe"),
    "a module that moves": move,
    "what only a type checker sees": edit(
        "core/files", "    import pandas as pd\n", "    import pandas.api as pd\n"
    ),
}

SOME: dict[str, tuple[Edit, set[str]]] = {
    "a metric": (
        edit(
            "evaluation/metrics", "(correct + second) / images", "(correct + second) / (images + 1)"
        ),
        {
            *("evaluate", "plot", "examine", "contrast", "report", "tuned", "replicates"),
            *("evaluate_seed", "evaluate_tuned"),
        },
    ),
    "a statistic": (
        edit("evaluation/significance", "LEVEL = 0.05", "LEVEL = 0.01"),
        {"replicates", "tuned", "contrast", "report"},
    ),
    "the calibration": (
        edit("evaluation/calibration", "BINS = 15", "BINS = 20"),
        {
            *("plot", "replicates", "tuned", "contrast", "examine", "report"),
            *("evaluate_seed", "evaluate_tuned"),
        },
    ),
    "the notebook's record": (
        edit("evaluation/notebook_record", "from pathlib", "import math\nfrom pathlib"),
        {"evaluate", "plot", "report"},
    ),
    "a figure": (edit("figures/learning_curves", "import ", "import math\nimport "), {"plot"}),
    "the report": (edit("report/charts", "import ", "import cmath\nimport "), {"report"}),
    "a rule for the data": (edit("data/validation/rules", "5923", "5924"), {"validate"}),
    "the collapse study": (
        edit("studies/signal_flow", "import math\n", "import math\nimport cmath\n"),
        {"collapse"},
    ),
}

EVERY_TRAINING: dict[str, Edit] = {
    "the loss": edit(
        "training/failures", "if not self.label_smoothing:", "if self.label_smoothing:"
    ),
    "the augmentation": edit("training/augmentation", '"fill_value": 0.0', '"fill_value": 1.0'),
    "the optimizer": edit("training/optimizer", "recipe.weight_decay or None", "None"),
    "a class that training uses": edit("models/dropout", "LEVELS = 2**16", "LEVELS = 2**15"),
    "TensorFlow": lambda sources: replace_version(sources, "tensorflow", "2.22.0"),
    "Keras": lambda sources: replace_version(sources, "keras", "3.16.0"),
    "NumPy": lambda sources: replace_version(sources, "numpy", "2.5.0"),
}


def replace_version(sources: Sources, package: str, version: str) -> None:
    text, count = re.subn(
        rf"^{package}==\S+", f"{package}=={version}", sources.lock.read_text(), flags=re.MULTILINE
    )
    assert count == 1
    sources.lock.write_text(text)


@pytest.mark.parametrize("name", NOTHING)
def test_what_changes_no_result_reruns_nothing(
    sources: Sources, before: dict[str, str], name: str
) -> None:
    NOTHING[name](sources)
    assert sources.stale(before) == set()


@pytest.mark.parametrize("name", SOME)
def test_what_does_not_train_reruns_no_training(
    sources: Sources, before: dict[str, str], name: str
) -> None:
    change, stale = SOME[name]
    change(sources)
    assert sources.stale(before) == stale
    assert not stale & (TRAININGS - {"collapse"})


@pytest.mark.parametrize("name", EVERY_TRAINING)
def test_what_trains_reruns_every_training(
    sources: Sources, before: dict[str, str], name: str
) -> None:
    EVERY_TRAINING[name](sources)
    assert sources.stale(before) >= TRAININGS


def test_dvc_runs_the_stage_code_alone_after_a_comment(workspace: Project) -> None:
    path = workspace.folder / "src" / "convdepth" / "models" / "dropout.py"
    path.write_text("# A comment.\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert workspace.repro() == ["code"]
    assert "code/" not in workspace.run("git", "status", "--porcelain")
    assert workspace.repro() == []


def test_a_training_depends_on_the_versions_of_its_numeric_libraries_alone() -> None:
    libraries = read_code("convdepth.training.train").libraries
    assert libraries == ["keras", "numpy", "tensorflow"]


@pytest.mark.parametrize(
    "module",
    [
        "training.progress",
        "models.precision_advice",
        "evaluation.notebook_record",
        "evaluation.metrics",
        "config.params",
    ],
)
def test_a_training_does_not_import(module: str) -> None:
    assert f"convdepth.{module}" not in read_code("convdepth.training.train").modules


def test_the_committed_digests_are_those_of_the_code(sources: Sources) -> None:
    for stage, text in sources.digests().items():
        assert (PROJECT / "code" / f"{stage}.txt").read_text() == text, "run `dvc repro code`"


def test_each_python_gives_the_same_digests(sources: Sources, before: dict[str, str]) -> None:
    found = [shutil.which(f"python3.{minor}") for minor in (11, 12, 13)]
    runs = ("-c", "import sys; print(sys.version_info)")
    program = (
        "import json, sys; from pathlib import Path; sys.path.insert(0, 'src');"
        "from convdepth.workspace.code import digest_stages;"
        "print(json.dumps(digest_stages(Path('src/convdepth'), Path('requirements.lock'))))"
    )
    for python in filter(None, found):
        if subprocess.run([python, *runs], capture_output=True, check=False).returncode:
            continue  # a shim of pyenv for a version that is not switched on
        output = subprocess.check_output([python, "-c", program], cwd=sources.folder)
        assert json.loads(output).items() >= before.items(), python


def test_a_stage_that_is_gone_leaves_no_file(sources: Sources) -> None:
    folder = sources.folder / "code"
    folder.mkdir()
    (folder / "former.txt").touch()
    main(sources.folder / "src" / "convdepth", sources.lock, folder)
    expected = digest_stages(sources.folder / "src" / "convdepth", sources.lock)
    assert {path.stem: path.read_text() for path in folder.iterdir()} == expected


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


def test_the_package_of_an_imported_module_counts(tmp_path: Path) -> None:
    folder = package(tmp_path, top="import convdepth.sub.leaf", sub__leaf="VALUE = 1")
    first = read_code("convdepth.top", folder).digest
    (folder / "convdepth" / "sub" / "__init__.py").write_text("import numpy\nnumpy.seterr('raise')")
    assert read_code("convdepth.top", folder).digest != first


@pytest.mark.parametrize(
    "statement",
    ["from convdepth.missing import x", "import convdepth.no.such", "from .missing.x import y"],
)
def test_a_module_that_is_missing_is_named_and_not_left_out(tmp_path: Path, statement: str) -> None:
    with pytest.raises(DataError, match=r"convdepth\.(missing|no)"):
        read_code("convdepth.top", package(tmp_path, top=statement))


def test_a_module_with_a_syntax_error_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"top\.py"):
        read_code("convdepth.top", package(tmp_path, top="def"))


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
    digests = {
        read_code("convdepth.top", package(tmp_path / side, top=text)).digest
        for side, text in (("old", old), ("new", new))
    }
    assert len(digests) == 2


def test_versions_of_a_lock() -> None:
    text = "a==1.0 \\\n    --hash=x\nB_c[x]==2 ; sys_platform == 'linux' \\\n"
    assert locked_versions(text) == {"a": "1.0", "b-c": "2"}

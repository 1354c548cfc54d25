"""`convdepth verify --against`: two versions of the code, trained and compared, and what stays."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convdepth import cli
from convdepth.core.errors import DataError, ParameterError
from convdepth.core.files import write_json
from convdepth.integrity import against
from convdepth.integrity.against import compare_checkpoints, print_comparison
from project import Project, stages_run

LAYERS = "src/convdepth/models/layers.py"


def edit(project: Project, file: str, old: str, new: str) -> None:
    path = project.folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def trainings(project: Project) -> set[str]:
    """The trainings that `dvc repro` would run."""
    planned = stages_run(project.run("dvc", "repro", "--dry"))
    return {stage for stage in planned if stage.startswith("train")}


@pytest.fixture
def equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for an epoch of each network that gives equal bytes."""
    monkeypatch.setattr(
        against, "_train_by_both", lambda names, *_: [(name, list[str]()) for name in names]
    )


def accept(project: Project, *names: str, accept_results: bool = True) -> None:
    """Run the command in this process, with the code of this project to read parameters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        for name, value in project.environment.items():
            patch.setenv(name, value)
        print_comparison(names, "HEAD", Path("params.yaml"), accept_results=accept_results)


@pytest.mark.nightly
def test_a_change_that_computes_the_same_is_accepted(workspace: Project) -> None:
    edit(workspace, LAYERS, "min(round(", "min(int(round(")
    edit(workspace, LAYERS, "self.rate * LEVELS)", "self.rate * LEVELS))")
    workspace.run("convdepth", "verify", "--against", "HEAD", "--accept", "tiny")
    assert trainings(workspace) == {"train@small"}


def test_a_change_that_computes_something_else_is_not(workspace: Project) -> None:
    old = "permutation(data.training.rows)"
    edit(workspace, "src/convdepth/training/loop.py", old, f"{old}[::-1]")
    lock = (workspace.folder / "dvc.lock").read_bytes()
    command = ["convdepth", "verify", "--against", "HEAD", "--accept", "tiny"]
    assert "tiny" in workspace.run(*command, code=7)
    assert (workspace.folder / "dvc.lock").read_bytes() == lock


@pytest.mark.usefixtures("equal")
def test_results_of_equal_code_are_accepted_and_other_inputs_are_refused(
    workspace: Project,
) -> None:
    edit(workspace, LAYERS, "LEVELS = 2**16", "LEVELS = 65536")
    assert trainings(workspace) == set()  # until `code` has run
    edit(workspace, "params.yaml", "  weight_decay: 0 ", "  # weight_decay: 0 ")  # the default
    lock = (workspace.folder / "dvc.lock").read_bytes()
    accept(workspace, accept_results=False)
    assert trainings(workspace) == {"train@tiny", "train@small"}
    accept(workspace, "tiny")
    assert trainings(workspace) == {"train@small"}
    accept(workspace)
    assert trainings(workspace) == set()
    assert (workspace.folder / "dvc.lock").read_bytes() != lock
    assert workspace.run("git", "status", "--porcelain", "metrics") == ""
    edit(workspace, "params.yaml", "  # weight_decay: 0 ", "  weight_decay: 0.1 ")
    with pytest.raises(ParameterError, match=r"train\.weight_decay"):
        accept(workspace)
    workspace.edit_params({"train.weight_decay": 0, "normalize.max_images": 500})
    workspace.run("dvc", "repro", "normalize")
    with pytest.raises(DataError, match="normalized"):
        accept(workspace)


def upgrade(project: Project) -> None:
    edit(project, "requirements.lock", "\nkeras==", "\nkeras==9.")


def change_twice(project: Project) -> None:
    """Let the results be of other code than that of the commit."""
    edit(project, LAYERS, "LEVELS - 1)", "LEVELS - (1))")
    edit(project, LAYERS, "LEVELS = 2**16", "LEVELS = 65536")
    project.run("git", "commit", "--quiet", "--all", "--message", "Not run")


def break_a_result(project: Project) -> None:
    edit(project, LAYERS, "LEVELS = 2**16", "LEVELS = 65536")
    (project.folder / "data" / "history" / "tiny.csv").write_text("other\n")


@pytest.mark.usefixtures("equal")
@pytest.mark.parametrize("case", [upgrade, change_twice, break_a_result])
def test_what_one_epoch_is_no_evidence_for_is_not_accepted(
    workspace: Project, case: Callable[[Project], None]
) -> None:
    case(workspace)
    accept(workspace, "tiny")
    assert "train@tiny" in trainings(workspace)


@pytest.mark.parametrize(
    "options",
    [*({"accept": True}, {"names": ["tiny"]}, {"epochs": 1}), {"twice": True, "against": "HEAD"}],
)
def test_options_that_do_not_belong_together(options: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=r"^verify: "):
        cli.verify(**options)


Arrays = Mapping[str, np.ndarray]

ARRAYS = {"a": np.zeros(2), "b": np.ones(2)}


def write(folder: Path, arrays: Arrays, loss: float = 0.5) -> Path:
    folder.mkdir()
    np.savez(folder / "epoch-0001.npz", **arrays)
    write_json(folder / "epoch-0001.json", {"history": [{"loss": loss}]})
    return folder / "epoch-0001.json"


@pytest.mark.parametrize(
    ("arrays", "loss", "differing"),
    [
        (ARRAYS, 0.5, []),
        (ARRAYS | {"b": np.array([1, 1.25])}, 0.5, ["b (by up to 0.25)"]),
        (ARRAYS | {"a": np.array([0.0, -0.0])}, 0.5, ["a (by up to 0)"]),
        (ARRAYS | {"a": np.zeros(2, np.float32)}, 0.5, ["a (another type or shape)"]),
        ({"a": np.zeros(3)}, 0.5, ["a (another type or shape)", "b (another type or shape)"]),
        (ARRAYS, 0.25, ["history"]),
    ],
)
def test_each_byte_counts(
    tmp_path: Path, arrays: Arrays, loss: float, differing: list[str]
) -> None:
    manifests = [write(tmp_path / "one", ARRAYS), write(tmp_path / "other", arrays, loss)]
    assert compare_checkpoints(manifests) == differing

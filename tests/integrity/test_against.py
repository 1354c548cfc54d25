"""`convdepth verify --against`: two versions of the code, trained and compared, and what stays."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from convdepth.core.files import write_json
from convdepth.integrity.against import compare_checkpoints
from project import Project, stages_run

DROPOUT = "src/convdepth/models/dropout.py"


def edit(project: Project, file: str, old: str, new: str) -> None:
    path = project.folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def verify(project: Project, *options: str, code: int = 0) -> str:
    return project.run("convdepth", "verify", "--against", "HEAD", *options, code=code)


def trainings(project: Project) -> set[str]:
    """The trainings that `dvc repro` would run."""
    planned = stages_run(project.run("dvc", "repro", "--dry"))
    return {stage for stage in planned if stage.startswith("train")}


def test_a_change_that_computes_the_same_is_accepted(workspace: Project) -> None:
    edit(workspace, DROPOUT, "min(round(", "min(int(round(")
    edit(workspace, DROPOUT, "self.rate * LEVELS)", "self.rate * LEVELS))")
    assert trainings(workspace) == set()  # until `code` has run
    workspace.run("dvc", "repro", "code")
    assert trainings(workspace) == {"train@tiny", "train@small"}
    lock = (workspace.folder / "dvc.lock").read_bytes()
    verify(workspace)
    assert (workspace.folder / "dvc.lock").read_bytes() == lock
    verify(workspace, "--accept", "tiny")
    assert trainings(workspace) == {"train@small"}
    verify(workspace, "--accept")
    assert trainings(workspace) == set()
    assert workspace.run("git", "status", "--porcelain", "metrics") == ""


def test_a_change_that_computes_something_else_is_not(workspace: Project) -> None:
    old = "permutation(data.training.rows)"
    edit(workspace, "src/convdepth/training/loop.py", old, f"{old}[::-1]")
    lock = (workspace.folder / "dvc.lock").read_bytes()
    assert "tiny" in verify(workspace, "tiny", "--accept", code=7)
    assert (workspace.folder / "dvc.lock").read_bytes() == lock


def test_a_new_parameter_with_its_default_is_equal_and_other_inputs_are_refused(
    workspace: Project,
) -> None:
    edit(workspace, "params.yaml", "  weight_decay: 0 ", "  # weight_decay: 0 ")
    verify(workspace, "--accept")
    assert trainings(workspace) == set()
    edit(workspace, "params.yaml", "  # weight_decay: 0 ", "  weight_decay: 0.1 ")
    assert "train.weight_decay" in verify(workspace, code=2)
    workspace.edit_params({"train.weight_decay": 0, "normalize.max_images": 500})
    workspace.run("dvc", "repro", "normalize")
    assert "normalized" in verify(workspace, code=3)


Case = Callable[[Project], None]


def upgrade(project: Project) -> None:
    edit(project, "requirements.lock", "\nkeras==", "\nkeras==9.")


def change_twice(project: Project) -> None:
    """Let the results be of other code than that of the commit."""
    edit(project, DROPOUT, "LEVELS - 1)", "LEVELS - (1))")
    edit(project, DROPOUT, "LEVELS = 2**16", "LEVELS = 65536")
    project.run("git", "commit", "--quiet", "--all", "--message", "Not run")


def break_a_result(project: Project) -> None:
    edit(project, DROPOUT, "LEVELS = 2**16", "LEVELS = 65536")
    (project.folder / "data" / "history" / "tiny.csv").write_text("other\n")


@pytest.mark.parametrize("case", [upgrade, change_twice, break_a_result])
def test_what_one_epoch_is_no_evidence_for_is_not_accepted(workspace: Project, case: Case) -> None:
    case(workspace)
    verify(workspace, "tiny", "--accept")
    assert "train@tiny" in trainings(workspace)


@pytest.mark.parametrize(
    "options", ["--accept", "tiny", "--epochs 1", "--twice --against HEAD", "--against nowhere"]
)
def test_options_that_do_not_belong_together(project: Project, options: str) -> None:
    project.run("convdepth", "verify", *options.split(), code=2)


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

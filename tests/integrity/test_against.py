"""`convdepth verify --against`: two versions of the code, trained and compared, and what stays."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from convdepth.core.files import write_json
from convdepth.integrity.against import compare_checkpoints
from project import Project, stages_run


def edit(project: Project, file: str, old: str, new: str) -> None:
    path = project.folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def edit_code(project: Project, module: str, old: str, new: str) -> None:
    edit(project, f"src/convdepth/{module}.py", old, new)


def verify(project: Project, *options: str, code: int = 0) -> str:
    return project.run("convdepth", "verify", "--against", "HEAD", *options, code=code)


def trainings(project: Project) -> set[str]:
    """The trainings that `dvc repro` would run."""
    planned = stages_run(project.run("dvc", "repro", "--dry"))
    return {stage for stage in planned if stage.startswith("train")}


def test_a_change_that_computes_the_same_is_accepted(workspace: Project) -> None:
    edit_code(workspace, "models/dropout", "min(round(", "min(int(round(")
    edit_code(workspace, "models/dropout", "self.rate * LEVELS)", "self.rate * LEVELS))")
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


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("training/loss", "keras.losses.sparse_categorical", "2 * keras.losses.sparse_categorical"),
        (
            "training/loop",
            "permutation(data.training.rows)",
            "permutation(data.training.rows)[::-1]",
        ),
        ("training/optimizer", "recipe.weight_decay or None", "0.01"),
    ],
)
def test_a_change_that_computes_something_else_is_not(
    workspace: Project, module: str, old: str, new: str
) -> None:
    edit_code(workspace, module, old, new)
    lock = (workspace.folder / "dvc.lock").read_bytes()
    assert "tiny" in verify(workspace, "tiny", "--accept", code=7)
    assert (workspace.folder / "dvc.lock").read_bytes() == lock


def test_a_new_parameter_with_its_default_is_equal_and_another_value_is_refused(
    workspace: Project,
) -> None:
    edit(workspace, "params.yaml", "  weight_decay: 0 ", "  # weight_decay: 0 ")
    verify(workspace, "--accept")
    assert trainings(workspace) == set()
    edit(workspace, "params.yaml", "  # weight_decay: 0 ", "  weight_decay: 0.1 ")
    output = verify(workspace, code=2)
    assert "train" in output
    assert "weight_decay" in output


def test_other_data_are_refused(workspace: Project) -> None:
    workspace.edit_params({"normalize.max_images": 500})
    workspace.run("dvc", "repro", "normalize")
    assert "normalized" in verify(workspace, code=3)


Case = Callable[[Project], None]


def upgrade(project: Project) -> None:
    edit(project, "requirements.lock", "\nkeras==", "\nkeras==9.")


def change_twice(project: Project) -> None:
    """Let the results be of other code than that of the commit."""
    edit_code(project, "models/dropout", "LEVELS - 1)", "LEVELS - (1))")
    edit_code(project, "models/dropout", "LEVELS = 2**16", "LEVELS = 65536")
    project.run("git", "commit", "--quiet", "--all", "--message", "Not run")


def break_a_result(project: Project) -> None:
    edit_code(project, "models/dropout", "LEVELS = 2**16", "LEVELS = 65536")
    (project.folder / "data" / "history" / "tiny.csv").write_text("other\n")


@pytest.mark.parametrize("case", [upgrade, change_twice, break_a_result])
def test_what_one_epoch_is_no_evidence_for_is_not_accepted(workspace: Project, case: Case) -> None:
    case(workspace)
    verify(workspace, "tiny", "--accept")
    assert "train@tiny" in trainings(workspace)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--accept"],
        ["tiny"],
        ["--epochs", "1"],
        ["--twice", "--against", "HEAD"],
        ["--against", "nowhere"],
        ["--against", "HEAD", "no_such_network"],
    ],
)
def test_options_that_do_not_belong_together(workspace: Project, arguments: list[str]) -> None:
    workspace.run("convdepth", "verify", *arguments, code=2)


Arrays = Mapping[str, np.ndarray]


def write(folder: Path, arrays: Arrays, loss: float = 0.5) -> Path:
    folder.mkdir()
    np.savez(folder / "epoch-0001.npz", **arrays)
    write_json(folder / "epoch-0001.json", {"history": [{"loss": loss}]})
    return folder / "epoch-0001.json"


@pytest.mark.parametrize(
    ("arrays", "loss", "differing", "largest"),
    [
        ({"a": np.zeros(2), "b": np.ones(2)}, 0.5, [], 0),
        ({"a": np.zeros(2), "b": np.array([1, 1.25])}, 0.5, ["b"], 0.25),
        ({"a": np.array([0.0, -0.0]), "b": np.ones(2)}, 0.5, ["a"], 0),
        ({"a": np.zeros(2, np.float32), "b": np.ones(2)}, 0.5, ["a"], 0),
        ({"a": np.zeros(3), "b": np.ones(2)}, 0.5, ["a"], 0),
        ({"a": np.zeros(2)}, 0.5, ["b"], 0),
        ({"a": np.zeros(2), "b": np.ones(2)}, 0.25, ["history"], 0),
    ],
)
def test_each_byte_counts(
    tmp_path: Path, arrays: Arrays, loss: float, differing: list[str], largest: float
) -> None:
    manifests = [
        write(tmp_path / "one", {"a": np.zeros(2), "b": np.ones(2)}),
        write(tmp_path / "other", arrays, loss),
    ]
    found = compare_checkpoints("tiny", manifests)
    assert (found.differing, found.largest) == (differing, largest)

"""Networks are added, renamed, removed and moved; others get the results by git and DVC."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import faults
from conftest import SECOND
from convdepth.commands.compare import read_states
from convdepth.config.params import read_params
from convdepth.core.hashes import md5_of
from convdepth.integrity.check_project import check_removed
from convdepth.workspace.dvc import object_path
from faults import SMALL
from project import Project


def move(text: str) -> str:
    return text.replace(SMALL, "").replace("architectures:\n", f"architectures:\n{SMALL}")


CHANGES: dict[str, tuple[Callable[[str], str], list[str], set[str]]] = {
    "add": (lambda text: text + SECOND, ["tiny", "cnn9", "small"], {"cnn9"}),
    "rename": (lambda text: text.replace("  small:", "  wee:"), ["tiny", "wee"], {"wee"}),
    "remove": (lambda text: text.replace(SMALL, ""), ["tiny"], set()),
    "move": (move, ["tiny", "small"], set()),
}
"""A change of params.yaml, all networks after it by depth, and those that it trains."""


@pytest.mark.parametrize(
    "change",
    [
        *(pytest.param(each, marks=pytest.mark.nightly) for each in ("add", "rename")),
        "remove",
        "move",
    ],
)
def test_after_a_change_of_networks_a_fresh_clone_has_nothing_to_run(
    workspace: Project, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    edit, names, trained = CHANGES[change]
    storage = workspace.folder.parent / "storage"
    workspace.run("dvc", "remote", "add", "--default", "storage", str(storage))
    params = workspace.folder / "params.yaml"
    params.write_text(edit(params.read_text(encoding="utf-8")), encoding="utf-8")
    assert list(read_params(params).architectures) == names
    runs = {stage for stage in workspace.repro() if "@" in stage}
    assert runs == {
        f"{stage}@{each}" for stage in ("train", "evaluate", "digest") for each in trained
    }
    if change == "add":  # and its studies have never run
        saved = ("--include-untracked", "metrics", "dvc.yaml")
        workspace.run("dvc", "exp", "save", "--name", "saved", *saved)
    workspace.commit(change)
    workspace.run("dvc", "push")
    clone = faults.clone(workspace, workspace.folder.parent / "other" / "convdepth")
    clone.run("dvc", "pull")
    assert clone.repro() == []
    assert clone.run("git", "status", "--porcelain") == ""
    clone.enter(monkeypatch, "HOME", "DVC_SITE_CACHE_DIR")
    (state,) = read_states([None])
    assert sorted(state.answers) == sorted(names)
    removed = {"tiny", "small"} - set(names)
    (finding,) = check_removed(workspace.folder)
    assert all(f"data/models/{name}.keras" in finding.remedy for name in removed)
    if change == "remove":  # a renamed network has the model of the former name
        push_all_commits(workspace, storage, [f"data/models/{name}.keras" for name in removed])
    if removed:
        command = re.findall(r"`(rm [^`]+)`", finding.remedy)[0]
        workspace.run("sh", "-c", command)
        (finding,) = check_removed(workspace.folder)
        assert not [path for name in removed for path in workspace.folder.rglob(f"{name}.*")]
    assert finding.severity == "ok"


def push_all_commits(project: Project, storage: Path, names: list[str]) -> None:
    """Push results of commits that are older than the remote, by the advice in docs."""
    copies = [object_path(storage, md5_of((project.folder / name).read_bytes())) for name in names]
    project.run("dvc", "push", "--all-commits")
    assert not any(copy.exists() for copy in copies)  # else the page needs no advice
    project.run("dvc", "remote", "add", "--local", "--force", "storage", str(storage))
    project.run("dvc", "config", "--local", "core.remote", "storage")
    fresh = str(project.folder.parent / "fresh")
    project.run("dvc", "push", "--all-commits", DVC_SITE_CACHE_DIR=fresh)
    assert all(copy.exists() for copy in copies)


def test_experiments_can_be_taken_up_where_the_studies_never_ran(workspace: Project) -> None:
    params = workspace.folder / "params.yaml"
    committed = params.read_text(encoding="utf-8")
    workspace.edit_params({"tolerances.loss.absolute": 0.02})
    assert workspace.repro() == ["check"]
    saved = params.read_text(encoding="utf-8")
    workspace.run("dvc", "exp", "save", "--name", "saved", "dvc.yaml")
    workspace.run("git", "restore", ".")
    assert params.read_text(encoding="utf-8") == committed
    workspace.run("dvc", "checkout")
    workspace.run("dvc", "exp", "apply", "saved")
    assert params.read_text(encoding="utf-8") == saved
    assert "up to date" in workspace.run("dvc", "status", "dvc.yaml")

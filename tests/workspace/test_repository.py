"""What DVC and git know: where the trained networks are, and what made them."""

import shlex
from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.core.errors import DataError, MachineError, ParameterError
from convdepth.workspace.repository import (
    GRAPH,
    STUDIES,
    Remotes,
    _reason,
    cache_folder,
    find_option,
    find_remotes,
    ignored_by_dvc,
    lies_within,
    model_path,
    planned_command,
    planned_commands,
    trained_networks,
    training_command,
)
from project import Project

LOCK = """
schema: '2.0'
stages:
  normalize:
    cmd: something
  train@cnn1:
    cmd: something
    outs:
    - path: trained/cnn1.csv
      md5: abc
    - path: trained/cnn1.keras
      md5: def
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "dvc.lock"
    path.write_text(LOCK)
    return path


def test_the_model_is_the_one_that_dvc_recorded(lock: Path) -> None:
    model = lock.parent / "trained" / "cnn1.keras"
    model.parent.mkdir()
    model.touch()
    assert model_path("cnn1", lock) == model


def test_a_model_that_is_not_checked_out_is_named(lock: Path) -> None:
    with pytest.raises(DataError, match=r"cnn1\.keras: is not in this workspace.*dvc checkout"):
        model_path("cnn1", lock)


def test_a_network_that_was_not_trained_is_refused(lock: Path) -> None:
    with pytest.raises(ParameterError, match="no trained network cnn3; there are cnn1"):
        model_path("cnn3", lock)


@pytest.mark.parametrize("content", ["[1, 2", "[]", "schema: '2.0'", "stages: 3"])
def test_a_damaged_lock_is_refused(lock: Path, content: str) -> None:
    lock.write_text(content)
    with pytest.raises(DataError, match=r"dvc\.lock: is no DVC lock"):
        model_path("cnn1", lock)


def test_without_a_lock_nothing_was_trained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dvc\.lock: cannot be read: .*make repro"):
        model_path("cnn1", tmp_path / "dvc.lock")


def test_the_networks_that_were_trained(lock: Path) -> None:
    assert trained_networks(lock.parent) == ["cnn1"]


def test_the_command_that_has_trained_a_network(lock: Path) -> None:
    lock.write_text(LOCK.replace("cmd: something", "cmd: convdepth train cnn1 -a 'b c'"))
    assert training_command("cnn1", lock.parent) == ["convdepth", "train", "cnn1", "-a", "b c"]


@pytest.mark.parametrize("command", ["something", "convdepth train cnn3", "[convdepth, train]"])
def test_another_command_is_refused(lock: Path, command: str) -> None:
    lock.write_text(LOCK.replace("something", command))
    with pytest.raises(DataError, match=r"train@cnn1: expected the command `convdepth train cnn1 "):
        training_command("cnn1", lock.parent)


def test_the_command_that_would_train_a_network(tmp_path: Path) -> None:
    graph = tmp_path / "dvc.yaml"
    graph.write_text("stages: {train: {foreach: [a], do: {cmd: 'convdepth train ${key} --m=x'}}}")
    assert planned_command("cnn9", tmp_path) == ["convdepth", "train", "cnn9", "--m=x"]
    graph.write_text("stages: {evaluate: {cmd: something}}")
    with pytest.raises(DataError, match=r"dvc\.yaml: the stage train@cnn9: expected the command"):
        planned_command("cnn9", tmp_path)


@pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")
@pytest.mark.parametrize("graph", [GRAPH, STUDIES])
def test_the_planned_commands_are_dvcs_own(graph: Path) -> None:
    from dvc.repo import Repo

    with Repo(str(PROJECT)) as repo:
        stages = repo.stage.load_file(str(PROJECT / graph))
        expected = {stage.name: shlex.split(stage.cmd) for stage in stages}
    prefix = "" if graph == GRAPH else f"{graph}:"
    found = planned_commands(PROJECT, graph)
    assert found == {f"{prefix}{name}": command for name, command in expected.items()}


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("{cmd: 'a ${x}'}", {"stage": ["a", "${x}"]}),
        (
            "{foreach: [1, b], do: {cmd: 'a ${item}'}}",
            {"stage@1": ["a", "1"], "stage@b": ["a", "b"]},
        ),
        ("{foreach: '${ one.two }', do: {cmd: 'a ${ key }'}}", {"stage@k": ["a", "k"]}),
        (
            "{matrix: {x: [1], y: '${one.three}'}, cmd: 'a ${item.x}-${item.y}'}",
            {"stage@1-3": ["a", "1-3"]},
        ),
        ("{foreach: '${missing.too}', do: {cmd: a}}", {}),
        ("{foreach: '${one.four}', do: {cmd: a}}", {}),
        ("{cmd: [a, b]}", {}),
        ("3", {}),
    ],
)
def test_planned_commands(tmp_path: Path, stage: str, expected: dict[str, list[str]]) -> None:
    (tmp_path / "params.yaml").write_text("one: {two: {k: 1}, three: [3], four: 5}")
    (tmp_path / "dvc.yaml").write_text(f"stages: {{stage: {stage}}}")
    assert planned_commands(tmp_path) == expected


def test_the_project_has_a_command_for_each_of_its_networks() -> None:
    for name in trained_networks(PROJECT):
        command = planned_command(name, PROJECT)
        assert find_option(command, "--checkpoints")
        assert find_option(command, "--model") == find_option(
            training_command(name, PROJECT), "--model"
        )


@pytest.mark.parametrize(
    ("option", "value"), [("--a", "1"), ("--b", "2=3"), ("--c", None), ("--d", None)]
)
def test_options(option: str, value: str | None) -> None:
    assert find_option(["x", "--a", "1", "--b=2=3", "--d"], option) == value


@pytest.mark.parametrize("path", ["", "/etc", "..", "a/../b", "../a", "a\0b"])
def test_paths_that_leave_the_project(path: str) -> None:
    assert not lies_within(path)


@pytest.mark.parametrize("path", ["a", "a/b", "a..b/c", ".a"])
def test_paths_within_the_project(path: str) -> None:
    assert lies_within(path)


def test_outside_of_a_project_dvc_says_so(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"`dvc check-ignore` failed: you are not inside"):
        ignored_by_dvc([tmp_path / "a"], tmp_path)


def test_what_dvc_ignores(project: Project) -> None:
    (project.folder / ".dvcignore").write_text(".*.tmp*\n")
    names = [".a.tmp", "b", "with a blank/.ä.tmp.x"]
    paths = [project.folder / name for name in names]
    assert ignored_by_dvc(paths, project.folder) == {paths[0], paths[2]}
    assert ignored_by_dvc([paths[1]], project.folder) == set()
    assert ignored_by_dvc([], project.folder) == set()


def test_the_folder_of_the_cache(project: Project) -> None:
    assert cache_folder(project.folder) == project.folder / ".dvc" / "cache"


def test_remotes(project: Project) -> None:
    assert find_remotes(project.folder) == Remotes([], None)
    for name in ("one", "the.other"):
        project.run("dvc", "remote", "add", name, f"/{name * 40}")
    project.run("dvc", "remote", "default", "--local", "the.other")
    assert find_remotes(project.folder) == Remotes(["one", "the.other"], "the.other")


def test_the_words_of_a_remote_are_shown_without_its_password() -> None:
    said = "ERROR: failed: ssh://me:secret@host/folder\nERROR: more\nHaving any troubles?\n"
    assert _reason(said) == "failed: ssh://host/folder"
    assert _reason("\nso\n\n") == "so"
    assert _reason("") == "no message"

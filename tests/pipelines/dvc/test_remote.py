"""Results that travel through a DVC remote, a folder here, and remotes that do not work."""

import shutil
from pathlib import Path

import pytest
import toy
from ruamel.yaml import YAML

from convdepth.core.errors import MachineError, ParameterError
from pipelines.dvc.remote import _errors, fetch_results, has_remote, push_results
from project import Project

TRAININGS = ["begin train@one", "begin train@two"]


@pytest.fixture(scope="module")
def first_machine(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The toy with everything run, and a remote in ``storage`` beside it with nothing in it.

    In its first commit it has no results; in its second, all.
    """
    folder = tmp_path_factory.mktemp("first")
    project = toy.create(folder / "toy", folder)
    project.run("dvc", "remote", "add", "--default", "storage", str(folder / "storage"))
    project.commit("A remote")
    project.run("git", "tag", "without-results")
    project.repro()
    project.commit("Results")
    project.run("git", "tag", "with-results")
    return project


@pytest.fixture
def first(first_machine: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it for one test, with a storage of its own."""
    project = first_machine.copy(tmp_path / "first" / "toy")
    project.environment["DVC_SITE_CACHE_DIR"] = str(tmp_path / "first" / "dvc")
    set_remote(project, storage(tmp_path))
    use(project, monkeypatch)
    return project


def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def set_remote(project: Project, url: Path | str) -> None:
    project.run("dvc", "remote", "modify", "--local", "storage", "url", str(url))


def use(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the functions under test run in the environment of a machine."""
    for name in ("HOME", "DVC_SITE_CACHE_DIR", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, project.environment[name])


def second_machine(
    first: Project, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """Clone the toy at a commit, with a home and a cache of its own."""
    home = tmp_path / "second"
    home.mkdir()
    project = Project(home / "toy", home)
    first.run("git", "clone", "--quiet", str(first.folder), str(project.folder))
    project.run("git", "switch", "--quiet", "--detach", commit)
    set_remote(project, storage(tmp_path))
    use(project, monkeypatch)
    return project


def fetch(project: Project) -> tuple[bool, str]:
    lines: list[str] = []
    usable = fetch_results(project.folder, lines.append)
    assert not any("\n" in line for line in lines)
    return usable, "\n".join(lines)


def push(project: Project) -> str:
    lines: list[str] = []
    push_results(project.folder, lines.append)
    return "\n".join(lines)


def repro(project: Project, *options: str) -> list[str]:
    """Run stage by stage, as the flows do; give the stages that began."""
    before = len(toy.log(project))
    for stage in toy.STAGES:
        project.run("dvc", "--wait-for-lock", "repro", "--single-item", *options, stage)
    return [line for line in toy.log(project)[before:] if line.startswith("begin")]


def test_a_second_machine_trains_nothing_and_has_the_same_lock(
    first: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "files pushed" in push(first)
    second = second_machine(first, "without-results", tmp_path, monkeypatch)
    assert not (second.folder / "dvc.lock").exists()
    usable, log = fetch(second)
    assert usable
    assert "warning" not in log
    began = repro(second, "--pull")
    # Only the outputs that are in git, and so not in the remote, are made again.
    assert began
    assert all(line.startswith("begin evaluate@") for line in began)
    assert (second.folder / "dvc.lock").read_text() == (first.folder / "dvc.lock").read_text()
    assert (second.folder / "one.model").read_text() == "train@one\n"


def test_without_pull_it_trains_what_its_lock_does_not_have(
    first: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(first)
    second = second_machine(first, "without-results", tmp_path, monkeypatch)
    fetch(second)
    assert set(TRAININGS) <= set(repro(second))


def test_what_the_lock_names_is_fetched_at_once(
    first: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(first)
    second = second_machine(first, "with-results", tmp_path, monkeypatch)
    usable, log = fetch(second)
    assert usable
    assert "files fetched" in log
    storage(tmp_path).rename(tmp_path / "gone")
    assert repro(second) == []


def test_an_empty_remote_is_no_error(
    first: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = second_machine(first, "with-results", tmp_path, monkeypatch)
    usable, log = fetch(second)
    assert usable
    assert "warning: dvc fetch: the DVC remote lacks 5 of the files that dvc.lock names" in log
    assert set(TRAININGS) <= set(repro(second, "--pull"))


def test_what_the_remote_lacks_is_computed_and_the_rest_is_fetched(
    first: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(first)
    lock = YAML(typ="safe").load(first.folder / "dvc.lock")
    digest = lock["stages"]["train@one"]["outs"][0]["md5"]
    (storage(tmp_path) / "files" / "md5" / digest[:2] / digest[2:]).unlink()
    second = second_machine(first, "with-results", tmp_path, monkeypatch)
    usable, log = fetch(second)
    assert usable
    assert "the DVC remote lacks 1 of the files" in log
    assert "files fetched" in log
    assert repro(second, "--pull") == ["begin train@one"]


def test_results_of_part_of_the_stages_can_be_pushed(
    first: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = second_machine(first, "with-results", tmp_path, monkeypatch)
    second.run("dvc", "repro", "--single-item", "download")
    assert "files pushed" in push(second)
    shutil.rmtree(first.folder / ".dvc" / "cache")
    use(first, monkeypatch)
    assert "lacks 4 of the files" in fetch(first)[1]


def test_the_results_of_another_pipeline_stay_where_they_are(
    first: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = first.folder / "study"
    study.mkdir()
    (study / "dvc.yaml").write_text(
        "stages:\n  study:\n    cmd: cp ../work.sh copy\n    deps: [../work.sh]\n    outs: [copy]\n"
    )
    first.run("dvc", "repro", "study/dvc.yaml")
    first.commit("A study")
    push(first)
    second = second_machine(first, "HEAD", tmp_path, monkeypatch)
    usable, log = fetch(second)
    assert usable
    assert "warning" not in log  # or it would miss the copy
    first.run("dvc", "push")
    assert fetch(second)[1] == "dvc fetch: Everything is up to date."


def test_without_a_remote_the_command_is_named(first: Project) -> None:
    assert has_remote(first.folder)
    (first.folder / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    check_update = false\n"
    )
    (first.folder / ".dvc" / "config.local").unlink()
    assert not has_remote(first.folder)
    command = "`dvc remote add --default storage s3://BUCKET/FOLDER`"
    usable, log = fetch(first)
    assert not usable
    assert log.startswith("results of other machines are not used: no DVC remote is set")
    assert command in log
    log = push(first)
    assert log.startswith("results are not shared with other machines: no DVC remote is set")
    assert command in log


def test_remotes_without_a_default_one_are_named(first: Project) -> None:
    first.run("dvc", "config", "--unset", "core.remote")
    assert not has_remote(first.folder)
    usable, log = fetch(first)
    assert not usable
    assert "none of the DVC remotes (storage) is the default one" in log
    assert "`dvc remote default NAME`" in log


def test_a_remote_set_only_on_this_machine_is_one(first: Project) -> None:
    first.run("dvc", "config", "--unset", "core.remote")
    first.run("dvc", "remote", "default", "--local", "storage")
    assert has_remote(first.folder)


@pytest.mark.parametrize(
    ("remote", "words"),
    [
        ("a file", "Not a directory"),
        ("s3://bucket/folder", "requires 'dvc-s3' to be installed"),
        ("no remote", "remote 'gone' doesn't exist"),
    ],
)
def test_a_remote_that_does_not_work_is_a_warning_or_for_push_an_error(
    first: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str, words: str
) -> None:
    second = second_machine(first, "with-results", tmp_path, monkeypatch)
    storage(tmp_path).write_text("in the way of the folder")
    if remote == "no remote":
        second.run("dvc", "config", "core.remote", "gone")
    else:
        set_remote(second, storage(tmp_path) if remote == "a file" else remote)
    usable, log = fetch(second)
    assert not usable
    assert log.startswith("warning: dvc fetch failed: ")
    assert words in log
    # Why the caller must know: what computes without --pull, fails with it.
    second.run("dvc", "repro", "--single-item", "--pull", "download", code=255)
    second.run("dvc", "repro", "--single-item", "download")
    with pytest.raises(MachineError, match=r"^dvc push failed: .*kept in this machine") as caught:
        push(second)
    assert words in str(caught.value)
    assert "`dvc repro && dvc push --run-cache`" in str(caught.value)
    assert caught.value.exit_code == 4


def test_what_could_not_be_pushed_is_kept_and_can_be_pushed_later(
    first: Project, tmp_path: Path
) -> None:
    storage(tmp_path).write_text("in the way of the folder")
    with pytest.raises(MachineError):
        push(first)
    storage(tmp_path).unlink()
    assert repro(first) == []
    assert "files pushed" in push(first)


def test_a_wrong_configuration_is_an_error_in_dvcs_words(first: Project) -> None:
    (first.folder / ".dvc" / "config").write_text("[core]\n    remoote = storage\n")
    with pytest.raises(ParameterError, match=r"config file error.*remoote.*`dvc config --list`"):
        has_remote(first.folder)


def test_of_one_error_for_each_file_the_first_and_the_last_are_shown() -> None:
    output = (
        "Collecting\nERROR: failed to transfer 'a' - no route to ssh://me:secret@host/a\n"
        "ERROR: failed to transfer 'b'\nERROR: failed to push data to the cloud - 2 files\n"
        "Having any troubles?\n"
    )
    assert _errors(output) == (
        "failed to transfer 'a' - no route to ssh://host/a; "
        "failed to push data to the cloud - 2 files"
    )
    assert _errors("ERROR: only one\n") == "only one"
    assert _errors("Killed\n\n") == "Killed"
    assert _errors("") == "no message"

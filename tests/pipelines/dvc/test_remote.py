"""Results that travel through a DVC remote, a folder here, and remotes that do not work."""

import shutil
from pathlib import Path

import pytest
import toy
from ruamel.yaml import YAML

from convdepth.core.errors import MachineError, ParameterError
from pipelines.dvc.remote import fetch_results, has_remote, push_results
from project import Project

EVALUATIONS = {"begin evaluate@one", "begin evaluate@two"}


@pytest.fixture(scope="module")
def first_machine(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return the toy without results in its first commit and with them in its second."""
    home = tmp_path_factory.mktemp("first")
    project = toy.create(home / "toy", home)
    project.run("dvc", "remote", "add", "--default", "storage", str(home / "storage"))
    project.commit("A remote")
    project.run("git", "tag", "without-results")
    project.repro()
    project.commit("Results")
    project.run("git", "tag", "with-results")
    return project


@pytest.fixture
def first(first_machine: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a copy of it for one test, with a remote of its own, ``storage`` in ``tmp_path``."""
    project = first_machine.copy(tmp_path / "first" / "toy")
    set_remote(project, tmp_path / "storage")
    for name in ("HOME", "DVC_SITE_CACHE_DIR", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, project.environment[name])
    return project


def set_remote(project: Project, url: Path | str) -> None:
    project.run("dvc", "remote", "modify", "--local", "storage", "url", str(url))


def second_machine(first: Project, commit: str, tmp_path: Path) -> Project:
    """Clone the toy at a commit; the clone has a cache of its own."""
    project = Project(tmp_path / "second", tmp_path)
    first.run("git", "clone", "--quiet", str(first.folder), str(project.folder))
    project.run("git", "switch", "--quiet", "--detach", commit)
    set_remote(project, tmp_path / "storage")
    return project


def fetch(project: Project) -> tuple[bool, str]:
    lines: list[str] = []
    return fetch_results(project.folder, lines.append), "\n".join(lines)


def repro(project: Project, *options: str) -> set[str]:
    """Run stage by stage, as the flows do; return the stages that began."""
    before = len(toy.log(project))
    for stage in toy.STAGES:
        project.run("dvc", "--wait-for-lock", "repro", "--single-item", *options, stage)
    return {line for line in toy.log(project)[before:] if line.startswith("begin")}


def test_a_second_machine_trains_nothing_and_has_the_same_lock(
    first: Project, tmp_path: Path
) -> None:
    push_results(first.folder, print)
    second = second_machine(first, "without-results", tmp_path)
    usable, log = fetch(second)
    assert usable
    assert "warning" not in log
    # Only the outputs that are in git, and so not in the remote, are made again.
    began = repro(second, "--pull")
    assert began
    assert began <= EVALUATIONS
    assert (second.folder / "dvc.lock").read_text() == (first.folder / "dvc.lock").read_text()
    assert (second.folder / "one.model").read_text() == "train@one\n"


def test_what_the_lock_names_is_fetched_at_once(first: Project, tmp_path: Path) -> None:
    push_results(first.folder, print)
    second = second_machine(first, "with-results", tmp_path)
    assert fetch(second)[0]
    (tmp_path / "storage").rename(tmp_path / "gone")
    assert repro(second) == set()


def test_what_the_remote_lacks_is_computed_and_the_rest_is_fetched(
    first: Project, tmp_path: Path
) -> None:
    push_results(first.folder, print)
    lock = YAML(typ="safe").load(first.folder / "dvc.lock")
    digest = lock["stages"]["train@one"]["outs"][0]["md5"]
    (tmp_path / "storage" / "files" / "md5" / digest[:2] / digest[2:]).unlink()
    second = second_machine(first, "with-results", tmp_path)
    usable, log = fetch(second)
    assert usable
    assert digest in log
    assert repro(second, "--pull") == {"begin train@one"}


def test_the_results_of_another_pipeline_stay_where_they_are(
    first: Project, tmp_path: Path
) -> None:
    study = first.folder / "study"
    study.mkdir()
    (study / "dvc.yaml").write_text(
        "stages:\n  study:\n    cmd: cp ../work.sh copy\n    deps: [../work.sh]\n    outs: [copy]\n"
    )
    first.run("dvc", "repro", "study/dvc.yaml")
    first.commit("A study")
    push_results(first.folder, print)
    second = second_machine(first, "HEAD", tmp_path)
    assert "Missing cache files" not in fetch(second)[1]  # or it would miss the copy
    first.run("dvc", "push")
    assert "Everything is up to date." in fetch(second)[1]


def test_without_a_remote_the_command_is_named(first: Project) -> None:
    first.run("dvc", "config", "--unset", "core.remote")
    assert not has_remote(first.folder)
    usable, log = fetch(first)
    assert not usable
    assert "`dvc remote add --default" in log
    lines: list[str] = []
    push_results(first.folder, lines.append)
    assert "`dvc remote add --default" in lines[0]
    first.run("dvc", "remote", "default", "--local", "storage")
    assert has_remote(first.folder)


@pytest.mark.parametrize(
    ("remote", "words"),
    [("a file", "Not a directory"), ("s3://bucket/folder", "dvc-s3"), ("no remote", "'gone'")],
)
def test_a_remote_that_does_not_work_is_a_warning_or_for_push_an_error(
    first: Project, tmp_path: Path, remote: str, words: str
) -> None:
    shutil.rmtree(first.folder / ".dvc" / "cache")
    (tmp_path / "storage").write_text("in the way of the folder")
    if remote == "no remote":
        first.run("dvc", "config", "core.remote", "gone")
    elif remote != "a file":
        set_remote(first, remote)
    usable, log = fetch(first)
    assert not usable
    assert "warning: dvc fetch: failed" in log
    assert words in log
    first.run("dvc", "repro", "--force", "download")
    with pytest.raises(MachineError, match=r"^dvc push: failed") as caught:
        push_results(first.folder, print)
    assert words in str(caught.value)
    assert "`dvc repro && dvc push --run-cache`" in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_wrong_configuration_is_an_error_in_dvcs_words(first: Project) -> None:
    (first.folder / ".dvc" / "config").write_text("[core]\n    remoote = storage\n")
    with pytest.raises(ParameterError, match=r"remoote.*`dvc config --list`"):
        has_remote(first.folder)

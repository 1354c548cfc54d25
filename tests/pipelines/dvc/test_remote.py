"""Results that travel through a DVC remote, a folder here, and remotes that do not work."""

import shutil
from pathlib import Path

import pytest
import toy

from convdepth.core.errors import MachineError, ParameterError
from pipelines.dvc.remote import fetch_results, push_results
from project import Project

pytestmark = pytest.mark.usefixtures("quick_dvc")

EVALUATIONS = {"begin evaluate@one", "begin evaluate@two"}

STUDY = "stages:\n  study:\n    cmd: cp ../work.sh copy\n    deps: [../work.sh]\n    outs: [copy]\n"


@pytest.fixture(scope="module")
def first_machine(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The toy without results in its first commit and with them in its second."""
    home = tmp_path_factory.mktemp("first")
    project = toy.create(home / "toy", home)
    project.run("dvc", "remote", "add", "--default", "storage", str(home / "storage"))
    project.commit("A remote")
    project.run("git", "tag", "without-results")
    project.repro()
    project.commit("Results")
    return project


@pytest.fixture
def first(first_machine: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it for one test, with a remote of its own, ``storage`` in ``tmp_path``."""
    project = first_machine.copy(tmp_path / "first" / "toy")
    set_remote(project, tmp_path / "storage")
    project.enter(monkeypatch, "HOME", "DVC_SITE_CACHE_DIR", "GIT_CONFIG_NOSYSTEM")
    return project


def set_remote(project: Project, folder: Path) -> None:
    project.run("dvc", "remote", "modify", "--local", "storage", "url", str(folder))


def machine(first: Project, commit: str, folder: Path) -> Project:
    """Clone the toy at a commit; the clone has a cache of its own."""
    project = Project(folder, folder.parent)
    first.run("git", "clone", "--quiet", str(first.folder), str(folder))
    project.run("git", "switch", "--quiet", "--detach", commit)
    set_remote(project, folder.parent / "storage")
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


def test_another_machine_trains_nothing_and_has_the_same_lock(
    first: Project, tmp_path: Path
) -> None:
    (first.folder / "study").mkdir()
    (first.folder / "study" / "dvc.yaml").write_text(STUDY)
    first.run("dvc", "repro", "study/dvc.yaml")
    first.commit("A study")
    push_results(first.folder, print)
    second = machine(first, "without-results", tmp_path / "second")
    usable, log = fetch(second)
    assert usable
    assert "warning" not in log
    # Only the outputs that are in git, and so not in the remote, are made again.
    began = repro(second, "--pull")
    assert began
    assert began <= EVALUATIONS
    assert (second.folder / "dvc.lock").read_text() == (first.folder / "dvc.lock").read_text()
    assert (second.folder / "one.model").read_text() == "train@one\n"
    # What the lock names is fetched at once, and no result of another pipeline.
    third = machine(first, "HEAD", tmp_path / "third")
    usable, log = fetch(third)
    assert usable
    assert "Missing cache files" not in log
    # What the remote lacks is computed.
    digest = toy.locked(first)["stages"]["train@one"]["outs"][0]["md5"]
    (tmp_path / "storage" / "files" / "md5" / digest[:2] / digest[2:]).unlink()
    fourth = machine(first, "HEAD", tmp_path / "fourth")
    usable, log = fetch(fourth)
    assert usable
    assert digest in log
    assert repro(fourth, "--pull") == {"begin train@one"}
    (tmp_path / "storage").rename(tmp_path / "gone")
    assert repro(third) == set()


def test_without_a_remote_the_command_is_named(first: Project) -> None:
    first.run("dvc", "config", "--unset", "core.remote")
    usable, log = fetch(first)
    assert not usable
    assert "`dvc remote add --default" in log
    lines: list[str] = []
    push_results(first.folder, lines.append)
    assert "`dvc remote add --default" in lines[0]
    (first.folder / ".dvc" / "config").write_text("[core]\n    remot = storage\n")
    with pytest.raises(ParameterError, match="remot"):
        fetch(first)


def test_a_remote_that_does_not_work_is_a_warning_or_for_push_an_error(
    first: Project, tmp_path: Path
) -> None:
    shutil.rmtree(first.folder / ".dvc" / "cache")
    (tmp_path / "storage").write_text("in the way of the folder")
    usable, log = fetch(first)
    assert not usable
    assert "warning: dvc fetch: failed" in log
    first.run("dvc", "repro", "--force", "download")
    with pytest.raises(MachineError, match=r"^dvc push: failed") as caught:
        push_results(first.folder, print)
    assert "`dvc repro && dvc push --run-cache`" in str(caught.value)
    assert caught.value.exit_code == 4
    # Of runs without cached outputs alone, `dvc push` fails to transfer all, and succeeds.
    (first.folder / "dvc.yaml").write_text(toy.EVALUATIONS)
    first.repro()
    with pytest.raises(MachineError, match=r"^dvc push: failed.*\n.*failed to transfer"):
        push_results(first.folder, print)

"""The scheduled run: newest commit, a place of its own, judgement, publication."""

from pathlib import Path

import pytest
import toy

from pipelines.flows.nightly import nightly
from pipelines.reporting.regressions import RegressionError
from project import Project

pytestmark = [
    pytest.mark.usefixtures("harness"),
    # DVC 3.67 builds its graph with a call that its library pygtrie will drop.
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning"),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A clone with an upstream and a DVC remote, as on a worker."""
    project = toy.create(tmp_path / "toy", tmp_path)
    project.environment["TOY"] = str(project.folder)
    for name in ("HOME", "DVC_SITE_CACHE_DIR", "TOY", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, project.environment[name])
    for name in ("user.name", "user.email"):
        project.run("git", "config", name, "test@example.org")
    project.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    project.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    project.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    (project.folder / ".gitignore").write_text("/log.txt\n/*.model\n/*.txt\n/figures\n/fail-*\n")
    project.commit("A remote")
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "HEAD")
    monkeypatch.chdir(project.folder)
    return project


def branches(project: Project) -> list[str]:
    listed = project.run("git", "ls-remote", "--heads", "origin", "results/*").splitlines()
    return [line.split("refs/heads/")[1] for line in listed]


def test_the_newest_commit_runs_elsewhere_and_is_published(
    project: Project, tmp_path: Path
) -> None:
    (project.folder / "notes").write_text("not committed")
    before = project.run("git", "status", "--porcelain")
    state = nightly(publish=True, jobs=1, return_state=True)
    assert state.is_completed(), state.message
    (branch,) = branches(project)
    assert state.message == f"7 ran; published as {branch}"
    assert project.run("git", "status", "--porcelain") == before
    assert not (project.folder / "dvc.lock").exists()
    project.run("git", "fetch", "--quiet", "origin", branch)
    assert project.run("git", "rev-parse", "FETCH_HEAD~1") == project.run(
        "git", "rev-parse", "HEAD"
    )
    files = project.run("git", "show", "--name-only", "--format=%B", "FETCH_HEAD")
    assert {"dvc.lock", "one.json", "two.json"} <= set(files.split())
    assert "one  accuracy  none  ->  0.5  new" in files
    assert list((tmp_path / "storage").rglob("*"))
    again = nightly(publish=True, jobs=1, return_state=True)
    assert str(again.message).endswith(f"restored; published as {branch}")
    assert branches(project) == [branch]


def test_what_got_worse_fails_the_run_and_is_told(project: Project) -> None:
    project.repro()
    project.commit("Results")
    project.run("git", "push", "--quiet")
    assert nightly(jobs=1, return_state=True).message == "7 unchanged"
    (project.folder / "accuracy").write_text("0.4")
    project.commit("Worse")
    project.run("git", "push", "--quiet")
    state = nightly(jobs=1, force=True, return_state=True)
    assert state.is_failed()
    expected = "one accuracy: 0.5 before, 0.4 now: worse by 0.1, allowed 0.003"
    assert expected in str(state.message)
    with pytest.raises(RegressionError):
        state.result()


def test_results_of_another_machine_are_taken_from_the_remote(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nightly(jobs=1, return_state=True).message == "7 ran"
    other = tmp_path / "other machine"
    project.run("git", "clone", "--quiet", str(tmp_path / "origin.git"), str(other))
    monkeypatch.chdir(other)
    log = toy.log(project)
    assert nightly(jobs=1, return_state=True).is_completed()
    # The metrics are in no cache, since they are in git.
    began = [line for line in toy.log(project)[len(log) :] if line.startswith("begin")]
    assert began
    assert set(began) <= {"begin evaluate@one", "begin evaluate@two"}


def test_a_failed_stage_loses_nothing_of_the_others(project: Project) -> None:
    toy.mark(project, "fail-train@one")
    state = nightly(jobs=1, return_state=True)
    assert state.is_failed()
    assert "train@one: failed with exit code 6" in str(state.message)
    (project.folder / "fail-train@one").unlink()
    log = toy.log(project)
    assert nightly(jobs=1, return_state=True).is_completed()
    began = [line for line in toy.log(project)[len(log) :] if line.startswith("begin")]
    assert "begin train@two" not in began
    assert "begin train@one" in began


def test_a_tolerance_that_guards_nothing_is_refused(project: Project) -> None:
    text = (project.folder / "params.yaml").read_text()
    (project.folder / "params.yaml").write_text(
        text.replace("  accuracy: {better", "  acuracy: {better")
    )
    project.commit("A slip")
    project.run("git", "push", "--quiet")
    state = nightly(jobs=1, return_state=True)
    assert "params.yaml: tolerances.acuracy: no network has this metric" in str(state.message)


def test_without_a_gpu_a_run_that_needs_one_stops_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    state = nightly(require_gpu=True, return_state=True)
    assert state.is_failed()
    assert "GPU" in str(state.message)
    assert toy.log(project) == []


def test_other_packages_than_are_installed_are_refused(project: Project) -> None:
    (project.folder / "requirements.lock").write_text("prefect==3\n")
    project.commit("Packages")
    project.run("git", "push", "--quiet")
    (project.folder / "requirements.lock").write_text("prefect==2\n")
    state = nightly(jobs=1, return_state=True)
    assert "the commit has another requirements.lock" in str(state.message)
    assert toy.log(project) == []


def test_without_an_identity_publishing_is_refused_before_anything_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("user.name", "user.email"):
        project.run("git", "config", "--unset", name)
    for role in ("AUTHOR", "COMMITTER"):
        for what in ("NAME", "EMAIL"):
            monkeypatch.delenv(f"GIT_{role}_{what}", raising=False)
    state = nightly(publish=True, jobs=1, return_state=True)
    assert "git config user.name" in str(state.message)
    assert toy.log(project) == []

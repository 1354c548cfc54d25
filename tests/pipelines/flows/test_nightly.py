"""The scheduled run: newest commit, a clone of its own, judgement, publication."""

from pathlib import Path

import pytest
import toy

from pipelines.flows.nightly import nightly
from pipelines.reporting.regressions import RegressionError
from project import Project

pytestmark = pytest.mark.usefixtures("harness", "quick_dvc")


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A clone with an upstream and a DVC remote, as on a worker."""
    toy.share(project)
    for name in ("TOY", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, project.environment[name])
    for name in ("user.name", "user.email"):
        project.run("git", "config", name, "test@example.org")
    monkeypatch.chdir(project.folder)
    return project


def branches(project: Project) -> list[str]:
    listed = project.run("git", "ls-remote", "--heads", "origin", "results/*").splitlines()
    return [line.split("refs/heads/")[1] for line in listed]


def begun_since(project: Project, before: int) -> set[str]:
    return {line for line in toy.log(project)[before:] if line.startswith("begin")}


def test_the_newest_commit_runs_in_a_clone_and_is_published(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "notes").write_text("not committed")
    before = project.run("git", "status", "--porcelain")
    toy.mark(project, "fail-train@one")
    state = nightly(publish=True, jobs=1, return_state=True)
    assert str(state.message).startswith("train@one: ")
    assert branches(project) == []
    (project.folder / "fail-train@one").unlink()
    known = len(toy.log(project))
    state = nightly(publish=True, jobs=1, return_state=True)
    assert state.is_completed(), state.message
    assert "begin train@two" not in begun_since(project, known)  # nothing of the others was lost
    (branch,) = branches(project)
    assert str(state.message).endswith(f"3 ran; published as {branch}")
    assert project.run("git", "status", "--porcelain") == before
    assert not (project.folder / "dvc.lock").exists()
    project.run("git", "fetch", "--quiet", "origin", branch)
    ran, head = project.run("git", "rev-parse", "FETCH_HEAD~1", "HEAD").split()
    assert ran == head
    files = project.run("git", "show", "--name-only", "--format=%B", "FETCH_HEAD").split()
    assert {"dvc.lock", "one.json", "two.json", "accuracy", "0.5"} <= set(files)
    again = nightly(publish=True, jobs=1, return_state=True)
    assert str(again.message).endswith(f"restored; published as {branch}")
    assert branches(project) == [branch]
    # Another machine takes the results from the DVC remote. The metrics are not there, but in git.
    other = tmp_path / "other machine"
    project.run("git", "clone", "--quiet", str(tmp_path / "origin.git"), str(other))
    monkeypatch.chdir(other)
    known = len(toy.log(project))
    assert nightly(jobs=1, return_state=True).is_completed()
    assert begun_since(project, known) <= {"begin evaluate@one", "begin evaluate@two"}


def test_what_got_worse_fails_the_run(project: Project) -> None:
    (project.folder / "dvc.yaml").write_text(toy.EVALUATIONS)
    project.repro()
    toy.push(project, "Results")
    assert nightly(jobs=1, return_state=True).message == "2 unchanged"
    (project.folder / "accuracy").write_text("0.4")
    toy.push(project, "Worse")
    state = nightly(jobs=1, force=True, return_state=True)
    with pytest.raises(RegressionError) as caught:
        state.result()
    row = ["one", "accuracy", "0.5", "0.4", "-0.1", "0.003"]
    assert row in [line.split() for line in str(caught.value).splitlines()]
    path = project.folder / "params.yaml"
    path.write_text(path.read_text().replace("  accuracy: {better", "  acuracy: {better"))
    toy.push(project, "A slip: the tolerance guards nothing")
    state = nightly(jobs=1, return_state=True)
    assert "params.yaml: tolerances.acuracy" in str(state.message)


def test_what_is_missing_is_told_before_anything_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "GPU" in str(nightly(require_gpu=True, return_state=True).message)
    (project.folder / "requirements.lock").write_text("prefect==3\n")
    toy.push(project, "Packages")
    (project.folder / "requirements.lock").write_text("prefect==2\n")
    assert "requirements.lock" in str(nightly(return_state=True).message)
    for name in ("user.name", "user.email"):
        project.run("git", "config", "--unset", name)
    assert "git config user.name" in str(nightly(publish=True, return_state=True).message)
    assert toy.log(project) == []

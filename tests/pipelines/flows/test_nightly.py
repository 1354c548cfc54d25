"""The scheduled run: newest commit, a clone of its own, judgement, publication."""

import datetime
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import toy
from prefect.client.schemas.objects import State

from pipelines.core import dvc_child
from pipelines.flows.nightly import nightly
from pipelines.reporting.regressions import RegressionError
from project import Project

DVC_CHILD = dvc_child.__file__

pytestmark = pytest.mark.usefixtures("harness", "quick_dvc")


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A clone with an upstream and a DVC remote, as on a worker."""
    toy.share(project)
    project.enter(monkeypatch, "TOY", "GIT_CONFIG_NOSYSTEM")
    for name in ("user.name", "user.email"):
        project.run("git", "config", name, "test@example.org")
    return project


def run(project: Project, **parameters: Any) -> State[Any]:
    """Run the flow in a clone of the newest commit."""
    with toy.entered(project):
        return nightly(jobs=1, **parameters, return_state=True)


def branches(project: Project) -> list[str]:
    listed = project.run("git", "ls-remote", "--heads", "origin", "results/*").splitlines()
    return [line.split("refs/heads/")[1] for line in listed]


def begun_since(project: Project, before: int) -> set[str]:
    return {line for line in toy.log(project)[before:] if line.startswith("begin")}


def test_the_newest_commit_runs_in_a_clone_and_is_published(
    project: Project, tmp_path: Path
) -> None:
    (project.folder / "notes").write_text("not committed")
    before = project.run("git", "status", "--porcelain")
    toy.mark(project, "fail-train@one")
    state = run(project, publish=True)
    assert str(state.message).startswith("train@one: ")
    assert branches(project) == []
    (project.folder / "fail-train@one").unlink()
    known = len(toy.log(project))
    state = run(project, publish=True)
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
    again = run(project, publish=True)
    assert str(again.message).endswith(f"restored; published as {branch}")
    assert branches(project) == [branch]
    # Another machine takes the results from the DVC remote. The metrics are not there, but in git.
    other = tmp_path / "other machine"
    project.run("git", "clone", "--quiet", str(tmp_path / "origin.git"), str(other))
    known = len(toy.log(project))
    assert run(Project(other, tmp_path)).is_completed()
    assert begun_since(project, known) <= {"begin evaluate@one", "begin evaluate@two"}


@pytest.fixture
def another_day(monkeypatch: pytest.MonkeyPatch) -> Iterator[datetime.date]:
    """The day of the schedule, which is in UTC, where another day is now."""
    now = datetime.datetime.now(datetime.UTC)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati" if now.hour >= 10 else "Pacific/Niue")
    time.tzset()
    yield now.date()
    monkeypatch.delenv("TZ")
    time.tzset()


def test_what_got_worse_fails_the_run(project: Project, another_day: datetime.date) -> None:
    (project.folder / "dvc.yaml").write_text(toy.EVALUATIONS)
    project.repro()
    toy.push(project, "Results")
    assert run(project).message == "2 unchanged"
    (project.folder / "accuracy").write_text("0.4")
    toy.push(project, "Worse")
    state = run(project, force=True, publish=True)
    with pytest.raises(RegressionError) as caught:
        state.result()
    row = ["one", "accuracy", "0.5", "0.4", "-0.1", "0.003"]
    assert row in [line.split() for line in str(caught.value).splitlines()]
    (branch,) = branches(project)  # marked, and named with what to do
    assert branch == f"results/{another_day}-regressed"
    assert f"git fetch origin {branch}" in str(state.message)
    assert f"git push origin --delete {branch}" in str(state.message)
    path = project.folder / "params.yaml"
    path.write_text(path.read_text().replace("  accuracy: {better", "  acuracy: {better"))
    toy.push(project, "A slip: the tolerance guards nothing")
    state = run(project)
    assert "params.yaml: tolerances.acuracy" in str(state.message)


def test_what_is_missing_is_told_before_anything_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "make deploy" in str(nightly(return_state=True).message)  # not in the user's folder
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    refused = str(run(project, require_gpu=True).message)
    assert "require_gpu: false" in refused
    assert "CONVDEPTH_DEVICE=auto" not in refused  # it would not help
    for name in ("user.name", "user.email"):
        project.run("git", "config", "--unset", name)
    assert "git config user.name" in str(run(project, publish=True).message)
    assert toy.log(project) == []


@pytest.mark.nightly
def test_a_night_that_hangs_is_ended_with_its_stage(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_child, "__file__", DVC_CHILD)  # a fork would outlive its end
    (project.folder / "dvc.yaml").write_text(toy.EVALUATIONS)
    toy.push(project, "Two stages")
    toy.mark(project, "hang-evaluate@one")
    monkeypatch.setattr(nightly, "timeout_seconds", 8.0)
    assert run(project).name == "TimedOut"
    children = psutil.Process().children(recursive=True)
    assert not [child for child in children if "evaluate@one" in " ".join(child.cmdline())]


MODELS = """
stages:
  train:
    foreach: ${architectures}
    do:
      cmd: cp accuracy ${key}.keras
      deps: [accuracy]
      outs: ["${key}.keras"]
  evaluate:
    foreach: ${architectures}
    do:
      cmd: sh work.sh evaluate@${key} ${key}.json
      deps: [accuracy, "${key}.keras"]
      metrics: ["${key}.json": {cache: false}]
"""


def test_a_failed_push_hides_neither_what_got_worse_nor_what_failed(
    project: Project, tmp_path: Path
) -> None:
    (project.folder / "dvc.yaml").write_text(MODELS)
    with (project.folder / ".gitignore").open("a") as ignored:
        ignored.write("*.keras\n")
    project.repro()
    toy.push(project, "Results")
    (project.folder / "accuracy").write_text("0.4")
    toy.push(project, "Worse")
    hook = tmp_path / "origin.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RegressionError, match=r"(?s)one +accuracy.*not shared: .*git push"):
        run(project, force=True, publish=True).result()
    shutil.rmtree(tmp_path / "storage")
    (tmp_path / "storage").write_text("no folder")
    with pytest.raises(RegressionError, match=r"(?s)one +accuracy.*not shared: .*dvc push"):
        run(project, force=True, publish=True).result()
    toy.mark(project, "fail-evaluate@one")
    message = str(run(project, force=True, publish=True).message)
    assert message.startswith("evaluate@one: ")
    assert "dvc push: " in message


def test_models_are_registered_only_after_the_gate(project: Project) -> None:
    (project.folder / "dvc.yaml").write_text(MODELS)
    with (project.folder / ".gitignore").open("a") as ignored:
        ignored.write("*.keras\n")
    toy.push(project, "Models")
    assert run(project).is_completed()
    assert project.run("git", "ls-remote", "--tags", "origin") == ""  # not without `publish`
    state = run(project, publish=True)
    assert state.is_completed(), state.message
    (branch,) = branches(project)
    listed = project.run("git", "ls-remote", "--tags", "--heads", "origin").splitlines()
    commits = {name: commit for commit, name in (line.split() for line in listed)}
    assert commits["refs/tags/one@v0.0.1^{}"] == commits[f"refs/heads/{branch}"]
    assert commits["refs/tags/two#prod#1^{}"] == commits[f"refs/heads/{branch}"]
    assert "one@v0.0.1" in str(state.message)
    project.run("git", "pull", "--quiet", "origin", branch)
    (project.folder / "accuracy").write_text("0.4")
    toy.push(project, "Worse")
    assert run(project, publish=True).is_failed()
    tags = project.run("git", "ls-remote", "--tags", "--refs", "origin").splitlines()
    assert len(tags) == 4

"""Registration by the nightly: which models get a version, and which are promoted."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convdepth.workspace.git import git
from convdepth.workspace.registry import find_version
from pipelines.checkout.register import register_models
from project import Project

DVC_YAML = """
stages:
  train:
    foreach: [one, two]
    do:
      cmd: mkdir -p out && cp answers/${item}.csv out/${item}.keras
      deps: ["answers/${item}.csv"]
      outs: ["out/${item}.keras"]
  evaluate:
    foreach: [one, two]
    do:
      cmd: cp answers/${item}.csv out/${item}.csv
      deps: ["answers/${item}.csv", "out/${item}.keras"]
      outs: ["out/${item}.csv"]
"""


def write_answers(project: Project, wrong: dict[str, int]) -> None:
    """Let each network be wrong about so many of 400 images, and commit the results.

    The next registration is in a later second: GTO orders the tags of a stage by whole seconds.
    """
    labels = np.arange(400) % 10
    (project.folder / "answers").mkdir(exist_ok=True)
    for name, count in wrong.items():
        predicted = np.where(np.arange(400) < count, (labels + 1) % 10, labels)
        table = {"index": range(400), "label": labels, "predicted": predicted, "loss": 0.5}
        pd.DataFrame(table).to_csv(project.folder / "answers" / f"{name}.csv", index=False)
    project.repro()
    project.commit("Results")
    time.sleep(1 - time.time() % 1)


@pytest.fixture
def clone(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project with a DVC remote, results, and a bare repository as its origin."""
    project.enter(monkeypatch)
    (project.folder / "dvc.yaml").write_text(DVC_YAML)
    project.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    write_answers(project, {"one": 40, "two": 40})
    project.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "origin.git"))
    project.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    return project


def tags(clone: Project) -> list[str]:
    return git("tag", folder=clone.folder.parent / "origin.git").split()


def test_new_models_get_a_version_and_worse_ones_are_not_promoted(clone: Project) -> None:
    assert [line.split()[0] for line in register_models(clone.folder, None)] == [
        "one@v0.0.1",
        "two@v0.0.1",
    ]
    assert tags(clone) == ["one#prod#1", "one@v0.0.1", "two#prod#1", "two@v0.0.1"]
    assert register_models(clone.folder, None) == []  # the next night finds the same models
    write_answers(clone, {"one": 10, "two": 300})
    first, second = register_models(clone.folder, None)
    assert first.startswith("one@v0.0.2")
    assert second.startswith("two@v0.0.2")
    promoted = {name: find_version(name, "prod").name for name in ("one", "two")}
    assert promoted == {"one": "v0.0.2", "two": "v0.0.1"}
    assert "worse" in second
    assert "worse" not in first
    assert {"one@v0.0.2", "two@v0.0.2"} < set(tags(clone))


def test_what_cannot_be_compared_is_not_promoted(clone: Project) -> None:
    register_models(clone.folder, None)
    clone.run("dvc", "push", "--quiet")
    write_answers(clone, {"one": 9, "two": 9})
    kept = clone.folder / ".dvc" / "cache"
    kept.rename(kept.with_name("lost"))
    (one, two) = register_models(clone.folder, None)
    assert find_version("one", "prod").name == "v0.0.2", one  # its former answers were fetched
    clone.folder.parent.joinpath("storage").rename(clone.folder.parent / "lost")
    kept.rename(kept.with_name("fetched"))
    write_answers(clone, {"one": 8, "two": 8})
    kept.rename(kept.with_name("third"))
    (one, two) = register_models(clone.folder, None)
    assert find_version("two", "prod").name == "v0.0.2", two
    assert "v0.0.3" in two

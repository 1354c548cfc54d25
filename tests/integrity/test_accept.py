"""Results that are recorded as belonging to the present code."""

import pytest

from convdepth.integrity.accept import accept
from project import Project

DVC_YAML = """
stages:
  train_fresh:
    foreach: [one, two]
    do:
      cmd: cp code/train_run.txt ${item}.keras
      deps: [code/train_run.txt]
      outs: [{"${item}.keras": {cache: false}}]
"""


def test_a_result_whose_uncached_model_is_missing_is_accepted(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.enter(monkeypatch)
    (project.folder / "dvc.yaml").write_text(DVC_YAML)
    code = project.folder / "code" / "train_run.txt"
    code.parent.mkdir(exist_ok=True)
    code.write_text("before")
    project.run("dvc", "repro", "train_fresh@one")
    (project.folder / "one.keras").unlink()
    code.write_text("after")
    former = (project.folder / "dvc.lock").read_text()
    accept(["train_fresh@one"])
    lock = (project.folder / "dvc.lock").read_text()
    assert lock != former
    assert lock.count("one.keras") == former.count("one.keras")
    assert "train_fresh@two" not in lock

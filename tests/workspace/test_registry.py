"""Registered models: tags of a real git, contents in a real DVC cache and remote."""

import json
import shutil
import time
from pathlib import Path

import pytest

from convdepth.core.errors import DataError, IntegrityError, ParameterError
from convdepth.core.hashes import md5_of
from convdepth.workspace.dvc import object_path
from convdepth.workspace.registry import (
    RELEASE,
    assign,
    find_model,
    find_version,
    list_versions,
    register,
)
from project import Project

ARTIFACTS = "artifacts:\n  one: {path: one.keras, type: model}\n"
LOCK = "schema: '2.0'\nstages:\n  train@one:\n    cmd: x\n    outs:\n    - path: one.keras\n"
CACHE = Path(".dvc/cache")


def record(project: Project, content: bytes) -> str:
    """Commit a lock with a model whose content is only in DVC's cache; return the commit."""
    md5 = md5_of(content)
    kept = object_path(project.folder / CACHE, md5)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(content)
    size = f"      md5: {md5}\n      size: {len(content)}\n      hash: md5\n"
    (project.folder / "dvc.lock").write_text(LOCK + size)
    project.commit(content.decode())
    return project.run("git", "rev-parse", "HEAD").strip()


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two versions of a network, the first in the stage prod, and a workspace without a model."""
    project.enter(monkeypatch)
    with (project.folder / "dvc.yaml").open("a") as file:
        file.write(ARTIFACTS)
    for content, message in ((b"first", '{"device": "CPU"}'), (b"second", "")):
        register("one", record(project, content), message)
    assign("one", "v0.0.1", "prod")
    return project


def test_a_version_and_a_stage_name_the_model_of_their_commit(project: Project) -> None:
    second, first = list_versions()
    assert (second.name, first.name, first.stages) == ("v0.0.2", "v0.0.1", ("prod",))
    assert json.loads(first.message) == {"device": "CPU"}
    assert second.commit == project.run("git", "rev-parse", "HEAD").strip()
    models = {"one@v0.0.1": "first", "one@prod": "first", "one@v0.0.2": "second"}
    for model, content in (models | {"one@latest": "second"}).items():
        assert find_model(model).read_text() == content
    for unknown in ("one@v9.9.9", "one@dev", "two@prod"):
        with pytest.raises(ParameterError, match=unknown):
            find_model(unknown)
    (project.folder / "dvc.lock").unlink()  # the tagged commit has its own
    assert find_model("one@prod").read_text() == "first"
    import dvc.api

    # DVC itself finds the same by `artifacts`.
    shown = dvc.api.artifacts_show("one", stage="prod", repo=str(project.folder))
    assert shown == {"rev": first.commit, "path": "one.keras"}


def test_nothing_is_lost_with_a_withdrawn_version(project: Project) -> None:
    time.sleep(1.1)  # git's tags have whole seconds
    assign("one", "v0.0.2", "prod")
    assert find_model("one@prod").read_text() == "second"
    withdrawn = find_version("one", "v0.0.2")
    project.run("gto", "deprecate", "one", "v0.0.2")
    assert find_model("one@prod").read_text() == "first"  # what was promoted before
    with pytest.raises(ParameterError, match=r"v0\.0\.1"):
        find_model("one@v0.0.2")
    assert project.run("git", "show", f"{withdrawn.commit}:dvc.lock")
    assert object_path(project.folder / CACHE, md5_of(b"second")).read_text() == "second"
    # GTO itself would fail here, since the tag of v0.0.2 is still there.
    assert register("one", record(project, b"third"), "") == "v0.0.3"
    assert [each.name for each in list_versions()] == ["v0.0.3", "v0.0.1"]


def test_in_a_fresh_clone_a_model_comes_from_the_dvc_remote(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = Project(tmp_path / "clone", tmp_path)
    project.run("git", "clone", "--quiet", ".", str(clone.folder))
    clone.enter(monkeypatch)
    with pytest.raises(DataError, match=r"one@v0\.0\.1: .*dvc remote add"):
        find_model("one@prod")
    storage = tmp_path / "storage"
    clone.run("dvc", "remote", "add", "--default", "storage", str(storage))
    with pytest.raises(DataError, match=r"one@v0\.0\.1: "):
        find_model("one@prod")
    shutil.copytree(project.folder / CACHE, storage)
    model = find_model("one@prod")
    assert model.read_text() == "first"
    assert model.is_relative_to(clone.folder)
    shutil.rmtree(storage)
    assert find_model("one@prod") == model
    model.chmod(0o644)
    model.write_text("damaged")
    with pytest.raises(IntegrityError, match=md5_of(b"first")):
        find_model("one@prod")


def test_in_a_fresh_clone_a_model_comes_from_an_unpacked_release(project: Project) -> None:
    shutil.rmtree(project.folder / CACHE)
    with pytest.raises(DataError, match=r"one\.keras: .*dvc checkout"):
        find_model("one")
    (project.folder / RELEASE).mkdir()
    released = project.folder / RELEASE / "one.keras"
    released.write_text("second")
    assert find_model("one").read_text() == find_model("one@latest").read_text() == "second"
    with pytest.raises(DataError, match=r"one@v0\.0\.1"):
        find_model("one@prod")  # the release has other bytes
    (project.folder / "dvc.lock").unlink()
    assert find_model("one").read_text() == "second"
    (project.folder / "one.keras").write_text("trained")
    project.run("git", "restore", "dvc.lock")
    assert find_model("one").read_text() == "trained"  # the workspace comes first


def test_any_file_is_a_model_outside_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a@b.keras").touch()
    assert find_model("a@b.keras") == Path("a@b.keras")
    with pytest.raises(DataError, match=r"nowhere\.keras"):
        find_model("nowhere.keras")
    with pytest.raises(DataError, match="clone"):
        find_model("one@prod")
    with pytest.raises(DataError, match="make repro"):
        find_model("one")

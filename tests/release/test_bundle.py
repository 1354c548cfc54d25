"""The release bundle: its files, its equal bytes, and what is refused."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard
from rocrate.rocrate import ROCrate

from conftest import TINY
from convdepth.core.errors import DataError
from convdepth.core.hashes import md5_of
from convdepth.data.mnist import SHA256
from convdepth.release.bundle import write_bundle
from project import Project

METRICS = {
    **{"accuracy": 0.1135, "accuracy_low": 0.1074, "accuracy_high": 0.1199, "status": "collapsed"},
    **{"blocks": 1, "parameters": 4321, "images": 9876},
    "evidence": {"answer": 7, "answer_share": 0.9999},
}
VALIDATION = {"num_rules": 68, "images": {"raw": 70001, "normalized": 70002}}
RESULTS = {
    "train@tiny": ("tiny.keras", b"a model"),
    "evaluate@tiny": ("tiny.json", json.dumps(METRICS).encode()),
    "validate": ("validation.json", json.dumps(VALIDATION).encode()),
}


def lock(project: Project, folder: str, results: dict[str, tuple[str, bytes]]) -> None:
    stages = {
        stage: {"cmd": "x", "outs": [{"path": path, "md5": md5_of(content)}]}
        for stage, (path, content) in results.items()
    }
    (project.folder / folder).mkdir(exist_ok=True)
    (project.folder / folder / "dvc.lock").write_text(json.dumps({"stages": stages}))
    for path, content in results.values():
        (project.folder / path).write_bytes(content)


@pytest.fixture
def project(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A committed project with the results of one network and a report."""
    project.enter(monkeypatch)
    params = project.folder / "params.yaml"
    params.write_text(params.read_text().partition("architectures:")[0] + TINY)
    (project.folder / ".gitignore").write_text("*.keras\nreport.html\n/release/\n")
    (project.folder / "LICENSE").write_text("MIT")
    lock(project, ".", RESULTS)
    lock(project, "studies", {"report": ("report.html", b"<h1>Results</h1>")})
    project.commit("Results")
    return project


def make(project: Project) -> dict[str, bytes]:
    folder = project.folder / "release"
    write_bundle(folder, project.folder / "params.yaml", project.folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_bundle_holds_what_was_measured(project: Project) -> None:
    files = make(project)
    folder = project.folder / "release"
    assert files["tiny.keras"] == b"a model"
    assert files["report.html"] == b"<h1>Results</h1>"
    card = ModelCard.load(folder / "README.md")
    (result,) = card.data.eval_results
    assert (result.metric_value, result.metric_name) == (0.1135, "accuracy of tiny")
    for value in ("tiny.keras", "4,321", "11.35%", "10.74% to 11.99%", "collapsed", "9,876", '"7"'):
        assert value in card.text
    commit, date = project.run("git", "log", "-1", "--format=%H %cs").split()
    assert commit in card.text
    about = DatasetCard.load(folder / "DATASET_CARD.md").text
    digest = SHA256["t10k-labels-idx1-ubyte"]
    assert all(value in about for value in (digest, "68", "70,001", "70,002", "60,000"))
    crate = ROCrate(folder)
    assert crate.root_dataset["identifier"] == commit
    assert str(crate.root_dataset["datePublished"]).startswith(date)
    described = {entity.id for entity in crate.data_entities}
    assert described == files.keys() - {"SHA256SUMS", "ro-crate-metadata.json"}
    sums = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    assert sums.keys() == files.keys() - {"SHA256SUMS"}
    assert all(sums[name] == hashlib.sha256(files[name]).hexdigest() for name in sums)


def test_a_deleted_bundle_comes_back_with_equal_bytes(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make(project)
    shutil.rmtree(project.folder / "release")
    assert make(project) == files
    assert make(project) == files  # over the former one
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    elsewhere = Project(tmp_path / "another place", tmp_path)
    shutil.copytree(project.folder, elsewhere.folder)
    shutil.rmtree(elsewhere.folder / "release")
    assert make(elsewhere) == files
    assert not [path for path in elsewhere.folder.iterdir() if ".tmp" in path.name]


def test_only_the_results_of_a_commit_are_released(project: Project) -> None:
    files = make(project)
    (project.folder / "tiny.keras").write_bytes(b"another model")
    with pytest.raises(DataError, match=r"tiny\.keras: .*dvc pull"):
        make(project)
    (project.folder / "tiny.keras").write_bytes(b"a model")
    (project.folder / "report.html").unlink()
    with pytest.raises(DataError, match=r"report\.html: .*make report"):
        make(project)
    (project.folder / "tiny.json").write_text("{}")
    with pytest.raises(DataError, match=r"tiny\.json"):
        make(project)
    kept = {path.name: path.read_bytes() for path in (project.folder / "release").iterdir()}
    assert kept == files
    project.run("git", "restore", "tiny.json")
    (project.folder / "release" / "SHA256SUMS").unlink()
    with pytest.raises(DataError, match="release: "):
        make(project)  # somebody's own folder

"""Two states of a project, with a real git and a real DVC."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convdepth.commands.compare import Change, Verdict, compare, compare_networks, read_states
from convdepth.commands.compare_output import (
    CHANGES,
    PAIRS,
    Wording,
    print_comparison,
    print_ranking,
    to_markdown,
)
from convdepth.core.errors import DataError, IntegrityError, ParameterError
from convdepth.evaluation.significance import Paired
from project import Project

IMAGES = 400

DVC_YAML = """
stages:
  evaluate:
    foreach: [one, two, three]
    do:
      cmd: mkdir -p out && cp answers/${item}.csv out/${item}.csv
      deps: ["answers/${item}.csv"]
      outs: ["out/${item}.csv"]
"""

STUDIES_YAML = """
stages:
  replicates:
    foreach: [three]
    do:
      wdir: ..
      cmd: mkdir -p seeds && cp answers/${item}_seeds.csv seeds/${item}.csv
      deps: ["answers/${item}_seeds.csv"]
      outs:
        - seeds/${item}.csv:
            cache: false
"""

LABELS = np.arange(IMAGES) % 10


def wrong_about(images: slice) -> np.ndarray:
    predicted = LABELS.copy()
    predicted[images] = (predicted[images] + 1) % 10
    return predicted


def write(project: Project, file: str, **columns: object) -> None:
    path = project.folder / "answers" / file
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame(columns).to_csv(path, index=False)


def replicate(project: Project, wrong: tuple[int, ...]) -> None:
    """Run the studies of network three, whose seeds are wrong about so many images."""
    seeds = {f"seed_{n}": wrong_about(slice(number)) for n, number in enumerate(wrong)}
    write(project, "three_seeds.csv", label=LABELS, **seeds)
    (project.folder / "studies").mkdir()
    (project.folder / "studies" / "dvc.yaml").write_text(STUDIES_YAML)
    project.run("dvc", "repro", "studies/dvc.yaml")
    project.commit("Studies")


def answer(project: Project, name: str, predicted: np.ndarray) -> None:
    write(
        project,
        f"{name}.csv",
        **{"index": range(IMAGES), "label": LABELS, "predicted": predicted, "loss": 0.5},
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two commits with results: one is much better, two hardly, three as it was."""
    project = Project(tmp_path_factory.mktemp("a place") / "toy", tmp_path_factory.mktemp("home"))
    project.folder.mkdir()
    (project.folder / "dvc.yaml").write_text(DVC_YAML)
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    answer(project, "one", np.ones(IMAGES, int))
    answer(project, "two", wrong_about(slice(12)))
    answer(project, "three", wrong_about(slice(5)))
    project.repro()
    project.commit("First")
    answer(project, "one", wrong_about(slice(8)))
    answer(project, "two", wrong_about(slice(4, 14)))
    project.repro()
    project.commit("Second")
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it, to be changed."""
    project = finished.copy(tmp_path / "toy")
    for name in ("HOME", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, project.environment[name])
    return project


def changes(project: Project, before: str, after: str | None = None) -> dict[str, Change]:
    return {each.names[0]: each for each in compare(*read_states([before, after], project.folder))}


def verdicts(project: Project, before: str, after: str | None = None) -> dict[str, Verdict]:
    return {name: each.verdict for name, each in changes(project, before, after).items()}


def test_two_commits(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    found = changes(project, "HEAD~1", "HEAD")
    assert {name: (each.verdict, each.collapsed) for name, each in found.items()} == {
        "one": (Verdict.BETTER, (True, False)),
        "two": (Verdict.NO_EVIDENCE, (False, False)),
        "three": (Verdict.SAME, (False, False)),
    }
    back = changes(project, "HEAD", "HEAD~1")
    assert (back["one"].verdict, back["one"].collapsed) == (Verdict.WORSE, (False, True))
    print_comparison("HEAD~1", "HEAD", "json", project.folder)
    result = json.loads(capsys.readouterr().out)
    assert result["before"]["revision"] == "HEAD~1"
    assert result["after"]["commit"] == project.run("git", "rev-parse", "HEAD").strip()
    two = result["networks"]["two"]
    # Wrong before: images 0 to 11; after: 4 to 13.
    assert (two["images"], two["only_first"], two["only_second"]) == (IMAGES, 2, 4)
    assert (two["first_accuracy"], two["second_accuracy"]) == (0.97, 0.975)
    assert two["difference"] == 0.005
    assert two["low"] < 0 < two["high"]
    # Twice (1 + 6 + 15) of 64; the second largest of two, so it stays.
    assert two["p"] == two["corrected_p"] == pytest.approx(44 / 64)
    one = result["networks"]["one"]
    assert one["corrected_p"] == pytest.approx(2 * one["p"], rel=1e-4)
    print_comparison("HEAD~1", "HEAD", "table", project.folder)
    assert "HEAD~1 -> HEAD" in capsys.readouterr().out


def test_without_a_second_commit_it_is_the_workspace(project: Project) -> None:
    assert set(verdicts(project, "HEAD").values()) == {Verdict.SAME}
    answer(project, "three", wrong_about(slice(100)))
    project.repro()
    assert verdicts(project, "HEAD")["three"] is Verdict.WORSE


def test_a_difference_counts_only_beyond_that_of_two_seeds(project: Project) -> None:
    replicate(project, (5, 30, 60))
    answer(project, "three", wrong_about(slice(40)))
    project.repro()
    project.commit("Third")
    three = changes(project, "HEAD~1", "HEAD")["three"]
    assert three.p is not None
    assert three.p < 0.001
    assert three.verdict is Verdict.LIKE_SEEDS
    # Student's t of two degrees of freedom, 4.3027, times the deviation of the seeds' accuracies,
    # 27.538 of 400 images, times the root of two.
    assert three.between_seeds == pytest.approx(4.3027 * 27.538 / 400 * 2**0.5, rel=1e-4)
    # HEAD~2 has no study, and the last network is none of the seeds.
    assert verdicts(project, "HEAD~2", "HEAD")["three"] is Verdict.WORSE
    answer(project, "three", wrong_about(slice(300)))
    project.repro()
    assert verdicts(project, "HEAD~1")["three"] is Verdict.WORSE


def test_networks_that_come_and_go(project: Project) -> None:
    graph = project.folder / "dvc.yaml"
    graph.write_text(DVC_YAML.replace("three]", "four]"))
    answer(project, "four", LABELS)
    project.repro()
    found = changes(project, "HEAD")
    assert (found["three"].verdict, found["three"].missing) == (Verdict.REMOVED, "workspace")
    assert (found["four"].verdict, found["four"].missing) == (Verdict.ADDED, "HEAD")


def test_answers_that_are_not_here(project: Project) -> None:
    """As in a fresh clone: DVC's cache has nothing of former commits."""
    shutil.rmtree(project.folder / ".dvc" / "cache")
    found = changes(project, "HEAD~1")
    assert found["three"].verdict is Verdict.SAME  # for the digests are equal
    assert (found["one"].verdict, found["one"].missing) == (Verdict.UNKNOWN, "HEAD~1")
    with pytest.raises(DataError, match=r"one, two.*HEAD~1.*dvc fetch"):
        compare_networks(*read_states(["HEAD~1"], project.folder))


def test_a_damaged_copy_is_named(project: Project) -> None:
    md5 = hashlib.md5((project.folder / "out" / "one.csv").read_bytes()).hexdigest()
    (project.folder / "out" / "one.csv").unlink()
    copy = project.folder / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    copy.chmod(0o644)
    copy.write_bytes(copy.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(IntegrityError, match=str(copy)):
        read_states(["HEAD"], project.folder)


def test_a_table_of_something_else_is_refused(project: Project) -> None:
    (project.folder / "answers" / "two.csv").write_text("a,b\n1,2\n")
    project.repro()
    with pytest.raises(DataError, match=r"out/two\.csv of evaluate@two"):
        verdicts(project, "HEAD")


@pytest.mark.parametrize("revision", ["nonsense", "HEAD~99", "--help", ""])
def test_a_commit_that_does_not_exist(project: Project, revision: str) -> None:
    with pytest.raises(ParameterError, match=f"^{revision}: "):
        read_states([revision], project.folder)


def test_a_commit_without_results(project: Project) -> None:
    project.run("git", "rm", "--quiet", "--cached", "dvc.lock")
    project.run("git", "commit", "--quiet", "--message", "None")
    with pytest.raises(DataError, match=r"^dvc\.lock: is not in commit"):
        read_states(["HEAD"], project.folder)


def test_each_pair_of_networks(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        each.names: each for each in compare_networks(*read_states(["HEAD~1"], project.folder))
    }
    # Two is wrong about images 0 to 11, three about 0 to 4, one about almost all.
    assert set(found) == {("one", "two"), ("one", "three"), ("two", "three")}
    assert {each.verdict for each in found.values()} == {Verdict.BETTER}
    pair = found["two", "three"].paired
    assert pair is not None
    assert (pair.only_first, pair.only_second) == (0, 7)
    # 2 / 2 ** 7 = 0.0156 alone; of three p, it is the largest, and stays.
    assert found["two", "three"].p == pytest.approx(2 / 2**7)
    print_ranking("HEAD", "json", project.folder)
    assert json.loads(capsys.readouterr().out)["pairs"]["one / two"]["images"] == IMAGES
    print_ranking(None, "table", project.folder)
    assert "one / two" in capsys.readouterr().out


@pytest.mark.parametrize("wording", [CHANGES, PAIRS])
def test_every_verdict_has_words(wording: Wording) -> None:
    paired = Paired(images=100, both=90, only_first=2, only_second=4, differing=7)
    found = [
        Change(["a", "b"], verdict, paired, 0.0, missing="HEAD") for verdict in wording.verdicts
    ]
    header, _, *rows = to_markdown(found, wording).partition("\n\n")[0].splitlines()
    assert len({row.split("|")[-2] for row in rows}) == len(found)
    assert all(row.count("|") == header.count("|") for row in rows)
    assert all("| 92.00 | 94.00 | +2.00 (" in row for row in rows)
    assert not any(word in row for row in rows for word in "{}")


def test_equal_answers_need_no_statistics() -> None:
    assert "McNemar" not in to_markdown([Change(["a"], Verdict.SAME)], CHANGES)

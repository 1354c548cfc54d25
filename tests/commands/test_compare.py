"""Two states of a project, with a real git and a real DVC."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convdepth.commands.compare import State, compare, compare_networks, read_state
from convdepth.commands.compare_output import (
    CHANGES,
    describe,
    print_comparison,
    print_ranking,
    show_p,
    to_markdown,
)
from convdepth.core.errors import DataError, IntegrityError, ParameterError
from convdepth.workspace.repository import cache_folder, object_path, recorded_outputs
from project import Project

IMAGES = 400

DVC_YAML = """
stages:
  evaluate:
    foreach: [one, two, three]
    do:
      cmd: mkdir -p out && cp answers/${item}.csv out/${item}.csv && echo {} > out/${item}.json
      deps: ["answers/${item}.csv"]
      outs: ["out/${item}.csv"]
      metrics:
        - out/${item}.json:
            cache: false
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


def replicate(
    project: Project, name: str, wrong: tuple[int, ...], stage: str = "replicates"
) -> None:
    """Put seeds together that are wrong about so many images."""
    labels = np.arange(IMAGES) % 10
    table = {"label": labels}
    for seed, number in enumerate(wrong, start=1):
        table[f"seed_{seed}"] = np.where(np.arange(IMAGES) < number, (labels + 1) % 10, labels)
    pd.DataFrame(table).to_csv(project.folder / "answers" / f"{name}_seeds.csv", index=False)
    (project.folder / "studies").mkdir()
    (project.folder / "studies" / "dvc.yaml").write_text(
        STUDIES_YAML.replace("replicates:", f"{stage}:")
    )
    project.run("dvc", "repro", "studies/dvc.yaml")
    project.commit("Studies")


def answer(
    project: Project, name: str, wrong: int, start: int = 0, collapsed: bool = False
) -> None:
    """Let a network be wrong about so many images, from one on."""
    labels = np.arange(IMAGES) % 10
    predicted = labels.copy()
    predicted[start : start + wrong] = (predicted[start : start + wrong] + 1) % 10
    if collapsed:
        predicted[:] = 1
    table = {"index": range(IMAGES), "label": labels, "predicted": predicted, "loss": 0.5}
    path = project.folder / "answers" / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame(table).to_csv(path, index=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two commits with results: one is much better, two hardly, three as it was."""
    project = Project(tmp_path_factory.mktemp("a place") / "toy", tmp_path_factory.mktemp("home"))
    project.folder.mkdir()
    (project.folder / "dvc.yaml").write_text(DVC_YAML)
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    answer(project, "one", 0, collapsed=True)
    answer(project, "two", 12)
    answer(project, "three", 5)
    project.repro()
    project.commit("First")
    answer(project, "one", 8)
    answer(project, "two", 10, start=4)
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


def states(project: Project, before: str, after: str | None) -> tuple[State, State]:
    cache = cache_folder(project.folder)
    return (read_state(before, cache, project.folder), read_state(after, cache, project.folder))


def verdicts(project: Project, before: str, after: str | None = None) -> dict[str, str]:
    return {each.network: each.verdict for each in compare(*states(project, before, after))}


def test_a_difference_is_told_only_where_there_is_evidence(project: Project) -> None:
    assert verdicts(project, "HEAD~1", "HEAD") == {
        "one": "improved: it had learned nothing, and now it has",
        "two": "no evidence of a difference",
        "three": "the same answers",
    }


def test_the_other_way_round_it_became_worse(project: Project) -> None:
    found = verdicts(project, "HEAD", "HEAD~1")
    assert found["one"] == "became worse: it has learned nothing now"
    assert found["two"] == "no evidence of a difference"


def test_the_numbers(project: Project) -> None:
    before, after = states(project, "HEAD~1", "HEAD")
    result = json.loads(json.dumps(describe(before, after, compare(before, after))))
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


def test_without_an_argument_it_is_the_workspace(project: Project) -> None:
    assert set(verdicts(project, "HEAD").values()) == {"the same answers"}
    answer(project, "three", 100)
    project.repro()
    assert verdicts(project, "HEAD") == {
        "one": "the same answers",
        "two": "the same answers",
        "three": "became worse",
    }


def test_a_change_no_larger_than_between_seeds_is_told_as_such(project: Project) -> None:
    replicate(project, "three", (5, 30, 60))
    answer(project, "three", 40)
    project.repro()
    project.commit("Third")
    changes = {each.network: each for each in compare(*states(project, "HEAD~1", "HEAD"))}
    three = changes["three"]
    assert three.p is not None
    assert three.p < 0.001
    assert three.verdict == "no more than between two seeds"
    # Student's t of two degrees of freedom, 4.3027, times the deviation of the seeds' accuracies,
    # 27.538 of 400 images, times the root of two.
    assert three.between_seeds == pytest.approx(4.3027 * 27.538 / 400 * 2**0.5, rel=1e-4)
    assert verdicts(project, "HEAD", "HEAD~1")["three"] == "no more than between two seeds"
    answer(project, "three", 300)
    project.repro()
    assert verdicts(project, "HEAD~1")["three"] == "became worse"
    assert verdicts(project, "HEAD~2", "HEAD")["three"] == "became worse"  # no study in the one


def test_the_stage_had_another_name_in_former_commits(project: Project) -> None:
    replicate(project, "three", (5, 30, 60), "replicate")
    assert list(states(project, "HEAD", None)[0].seeds) == ["three"]


def test_the_seeds_of_another_recipe_do_not_count(project: Project) -> None:
    replicate(project, "three", (6, 30, 60))  # none of them is the network that is there
    answer(project, "three", 40)
    project.repro()
    assert verdicts(project, "HEAD")["three"] == "became worse"


def test_networks_that_come_and_go(project: Project) -> None:
    graph = project.folder / "dvc.yaml"
    graph.write_text(DVC_YAML.replace("three]", "four]"))
    answer(project, "four", 1)
    project.repro()
    shutil.rmtree(project.folder / "answers")
    # DVC leaves the entry of a stage that is gone; the project's own runs take it out.
    lock = project.folder / "dvc.lock"
    before, _, rest = lock.read_text().partition("  evaluate@three:")
    kept = rest[rest.index("\n  evaluate@") :] if "\n  evaluate@" in rest else "\n"
    lock.write_text(before.rstrip() + kept)
    found = verdicts(project, "HEAD")
    assert found["three"] == "is no longer in workspace"
    assert found["four"] == "is not in HEAD"


def test_answers_that_are_not_here(project: Project) -> None:
    """As in a fresh clone: DVC's cache has nothing of former commits."""
    shutil.rmtree(project.folder / ".dvc" / "cache")
    found = verdicts(project, "HEAD~1")
    assert found["three"] == "the same answers"  # for the digests are equal
    assert found["one"].startswith("unknown: its predictions in HEAD~1 are not in DVC's cache")
    assert "dvc fetch" in found["one"]


def test_a_damaged_copy_is_no_answer(project: Project) -> None:
    cache = cache_folder(project.folder)
    (output,) = (
        each
        for each in recorded_outputs(project.folder, "HEAD~1")
        if each.stage == "evaluate@one" and each.cached
    )
    copy = object_path(cache, output.md5)
    copy.chmod(0o644)
    copy.write_bytes(copy.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(IntegrityError, match="is damaged: expected the MD5"):
        read_state("HEAD~1", cache, project.folder)


def test_a_table_of_something_else_is_refused(project: Project) -> None:
    (project.folder / "answers" / "two.csv").write_text("a,b\n1,2\n")
    project.repro()
    with pytest.raises(DataError, match="evaluate@two: its table is none of predictions"):
        verdicts(project, "HEAD")


@pytest.mark.parametrize("revision", ["nonsense", "HEAD~99", "--help", ""])
def test_a_commit_that_there_is_not(project: Project, revision: str) -> None:
    with pytest.raises(ParameterError, match="there is no such commit here"):
        read_state(revision, Path("cache"), project.folder)


def test_a_commit_without_results(project: Project) -> None:
    project.run("git", "rm", "--quiet", "--cached", "dvc.lock")
    project.run("git", "commit", "--quiet", "--message", "None")
    with pytest.raises(DataError, match=r"^dvc\.lock: is not in commit"):
        read_state("HEAD", Path("cache"), project.folder)


def test_what_is_printed(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison("HEAD~1", "HEAD", "table", project.folder)
    shown = capsys.readouterr().out
    assert "HEAD~1 -> HEAD" in shown
    assert "McNemar" in shown
    print_comparison("HEAD~1", "HEAD", "markdown", project.folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| network | before | after | difference |")
    assert lines[3].startswith("| two | 97.00 | 97.50 | +0.50 (")
    assert lines[4].startswith("| three | 98.75 | 98.75 | 0 | 0 | 0 |  | the same answers")
    print_comparison("HEAD~1", "HEAD", "json", project.folder)
    assert json.loads(capsys.readouterr().out)["level"] == 0.05


def test_what_did_not_change_needs_no_statistics(project: Project) -> None:
    assert "McNemar" not in to_markdown(compare(*states(project, "HEAD", None)), CHANGES)


def test_each_pair_of_networks(project: Project) -> None:
    first, second = (compare_networks(state) for state in states(project, "HEAD~1", "HEAD"))
    found = {each.network: each for each in first}
    assert {name: each.verdict for name, each in found.items()} == {
        "one / two": "two is better",
        "one / three": "three is better",
        "two / three": "three is better",  # two is wrong about images 0 to 11, three about 0 to 4
    }
    pair = found["two / three"].paired
    assert pair is not None
    assert (pair.only_first, pair.only_second) == (0, 7)
    # 2 / 2 ** 7 = 0.0156 alone; of three p, it is the largest, and stays.
    assert found["two / three"].p == pytest.approx(2 / 2**7)
    # Now one is wrong about images 0 to 7, and two about 4 to 13.
    assert second[0].verdict == "no evidence of a difference"


def test_pairs_need_all_answers(project: Project) -> None:
    shutil.rmtree(project.folder / ".dvc" / "cache")
    with pytest.raises(DataError, match="one: unknown: its predictions in HEAD~1"):
        compare_networks(states(project, "HEAD~1", None)[0])


def test_what_is_printed_of_pairs(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    print_ranking(None, "table", project.folder)
    assert "one / two" in capsys.readouterr().out
    print_ranking("HEAD", "json", project.folder)
    assert json.loads(capsys.readouterr().out)["pairs"]["one / two"]["images"] == IMAGES
    print_ranking(None, "markdown", project.folder)
    assert capsys.readouterr().out.startswith("| pair | first | second |")


@pytest.mark.parametrize(("p", "shown"), [(0.0, "<1e-300"), (0.6875, "0.69"), (1.2e-9, "1.2e-09")])
def test_small_p(p: float, shown: str) -> None:
    assert show_p(p) == shown

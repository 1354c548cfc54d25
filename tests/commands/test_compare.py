"""Two states of a project: what is found, and what is read with a real git and a real DVC."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convdepth.commands import compare_output
from convdepth.commands.compare import (
    Answers,
    Change,
    State,
    Verdict,
    compare,
    compare_networks,
    read_states,
)
from convdepth.core.errors import DataError, IntegrityError, ParameterError
from convdepth.evaluation.significance import Paired
from project import Project, start

IMAGES = 400
LABELS = np.arange(IMAGES) % 10

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
  train_recipe:
    matrix:
      network: [three]
      seed: [5, 30, 60]
    wdir: ..
    cmd: mkdir -p seeds && cp answers/${item.seed}.csv seeds/${item.seed}.mistakes.csv
    deps: ["answers/${item.seed}.csv"]
    outs:
      - seeds/${item.seed}.mistakes.csv:
          cache: false
"""


def wrong_about(first: int, last: int) -> pd.DataFrame:
    """Return the answers of a network that is wrong about these images."""
    predicted = LABELS.copy()
    predicted[first:last] = (predicted[first:last] + 1) % 10
    return pd.DataFrame(
        {"index": range(IMAGES), "label": LABELS, "predicted": predicted, "loss": 0.5}
    )


FIVE, FORTY, MOST = (Answers(f"{n}", wrong_about(0, n)) for n in (5, 40, 300))
SEEDS = Answers("seeds", FIVE.table, [395 / 400, 370 / 400, 340 / 400])
ONES = Answers("ones", FIVE.table.assign(predicted=1))
ABSENT = Answers("5", None)


def change(before: Answers | None, after: Answers | None) -> Change:
    states = [
        State(label, None, {} if answers is None else {"cnn": answers})
        for label, answers in (("before", before), ("after", after))
    ]
    (found,) = compare(*states)
    return found


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (FIVE, FIVE, Verdict.SAME),
        (ABSENT, FIVE, Verdict.SAME),  # their MD5 is the same
        (FIVE, FORTY, Verdict.WORSE),
        (FORTY, FIVE, Verdict.BETTER),
        (SEEDS, FORTY, Verdict.LIKE_SEEDS),
        (FORTY, SEEDS, Verdict.LIKE_SEEDS),
        (SEEDS, MOST, Verdict.WORSE),
        (FIVE, Answers("7", wrong_about(0, 7)), Verdict.NO_EVIDENCE),
    ],
)
def test_the_verdict(before: Answers, after: Answers, verdict: Verdict) -> None:
    assert change(before, after).verdict is verdict


def test_what_is_not_there_is_named() -> None:
    absences = [change(None, FIVE), change(FIVE, None), change(ABSENT, FORTY)]
    assert [(each.verdict, each.missing) for each in absences] == [
        (Verdict.ADDED, "before"),
        (Verdict.REMOVED, "after"),
        (Verdict.UNKNOWN, "before"),
    ]
    with pytest.raises(DataError, match=r"one.*HEAD.*dvc fetch"):
        compare_networks(State("HEAD", None, {"one": ABSENT, "two": FIVE}))


def test_the_range_of_seeds_and_a_collapse() -> None:
    # Student's t of two degrees of freedom, 4.3027, times the deviation of the seeds' accuracies,
    # 27.538 of 400 images, times the root of two.
    expected = pytest.approx(4.3027 * 27.538 / 400 * 2**0.5, rel=1e-4)
    assert change(SEEDS, FORTY).between_seeds == expected
    assert change(ONES, FIVE).collapsed == (True, False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two commits with results: one is much better, two hardly, three worse but like its seeds."""
    folder, home = (tmp_path_factory.mktemp(name) for name in ("a place", "home"))
    files = {"dvc.yaml": DVC_YAML, "studies/dvc.yaml": STUDIES_YAML}
    project = start(folder / "toy", home, files)
    answers = project.folder / "answers"
    answers.mkdir()
    for number in (5, 30, 60):
        wrong = wrong_about(0, number)[:number]
        wrong.drop(columns="loss").to_csv(answers / f"{number}.csv", index=False)
    first = {"one": ONES.table, "two": wrong_about(0, 12), "three": FIVE.table}
    second = {"one": wrong_about(0, 8), "two": wrong_about(4, 14), "three": FORTY.table}
    for tables in (first, second):
        for name, table in tables.items():
            assert table is not None
            table.to_csv(answers / f"{name}.csv", index=False)
        project.run("dvc", "repro", "--all-pipelines")
        project.commit("Results")
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it, to be changed."""
    return finished.entered_copy(tmp_path / "toy", monkeypatch)


def test_two_commits(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = read_states(["HEAD~1", "HEAD"], project.folder)
    assert before.answers["three"].seeds == SEEDS.seeds
    assert not after.answers["three"].seeds  # the network is none of the seeds
    compare_output.print_comparison("HEAD~1", "HEAD", "json", project.folder)
    result = json.loads(capsys.readouterr().out)
    assert result["before"]["revision"] == "HEAD~1"
    assert result["after"]["commit"] == project.run("git", "rev-parse", "HEAD").strip()
    two = result["networks"]["two"]
    # Wrong before: images 0 to 11; after: 4 to 13.
    assert (two["images"], two["only_first"], two["only_second"]) == (IMAGES, 2, 4)
    assert (two["first_accuracy"], two["second_accuracy"]) == (0.97, 0.975)
    assert two["difference"] == 0.005
    assert two["low"] < 0 < two["high"]
    # Twice (1 + 6 + 15) of 64; the largest of three, so it stays.
    assert two["p"] == two["corrected_p"] == pytest.approx(44 / 64)
    one, three = result["networks"]["one"], result["networks"]["three"]
    assert one["corrected_p"] == pytest.approx(3 * one["p"], rel=1e-4)
    assert three["between_seeds"] > -three["difference"] > 0
    compare_output.print_comparison("HEAD", None, "table", project.folder)
    assert "HEAD -> workspace" in capsys.readouterr().out


def test_each_pair_of_networks(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        each.names: each for each in compare_networks(*read_states(["HEAD~1"], project.folder))
    }
    # Two is wrong about images 0 to 11, three about 0 to 4, one about almost all.
    assert set(found) == {("one", "two"), ("one", "three"), ("two", "three")}
    assert {each.verdict for each in found.values()} == {Verdict.BETTER}
    # 2 / 2 ** 7 = 0.0156 alone; of three p, it is the largest, and stays.
    assert found["two", "three"].p == pytest.approx(2 / 2**7)
    compare_output.print_ranking("HEAD", "json", project.folder)
    assert json.loads(capsys.readouterr().out)["pairs"]["one / two"]["images"] == IMAGES
    for columns in ("20", "40", "100"):
        monkeypatch.setenv("COLUMNS", columns)
        compare_output.print_ranking(None, "table", project.folder)
        table = capsys.readouterr().out
        assert "one / two" in table
        assert "…" not in table


def test_a_single_network_cannot_be_ranked() -> None:
    with pytest.raises(DataError, match=r"here: .* found five\."):
        compare_networks(State("here", None, {"five": FIVE}))


def test_a_copy_that_is_gone_or_damaged(project: Project) -> None:
    state, _ = read_states(["HEAD~1", "HEAD"], project.folder)
    md5 = state.answers["one"].md5
    copy = project.folder / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    copy.chmod(0o644)
    copy.write_bytes(copy.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(IntegrityError, match=str(copy)):
        read_states(["HEAD~1"], project.folder)
    shutil.rmtree(project.folder / ".dvc" / "cache")  # as in a fresh clone
    before, after = read_states(["HEAD~1", "HEAD"], project.folder)
    assert before.answers["one"].table is None
    assert after.answers["one"].table is not None


def test_a_table_of_something_else_is_refused(project: Project) -> None:
    (project.folder / "answers" / "two.csv").write_text("a,b\n1,2\n")
    project.repro()
    with pytest.raises(DataError, match=r"out/two\.csv of evaluate@two"):
        read_states([None], project.folder)


def test_a_commit_that_does_not_exist_or_has_no_results(project: Project) -> None:
    for revision in ("nonsense", "HEAD~99", "--help", ""):
        with pytest.raises(ParameterError, match=f"^{revision}: "):
            read_states([revision], project.folder)
    project.run("git", "rm", "--quiet", "--cached", "dvc.lock")
    project.run("git", "commit", "--quiet", "--message", "None")
    with pytest.raises(DataError, match=r"^dvc\.lock: is not in commit"):
        read_states(["HEAD"], project.folder)


@pytest.mark.parametrize("wording", [compare_output.CHANGES, compare_output.PAIRS])
def test_every_verdict_has_words(wording: compare_output.Wording) -> None:
    paired = Paired(images=100, both=90, only_first=2, only_second=4, differing=7)
    found = [
        Change(["a", "b"], verdict, paired, 0.0, missing="HEAD") for verdict in wording.verdicts
    ]
    header, _, *rows = compare_output.to_markdown(found, wording).partition("\n\n")[0].splitlines()
    assert len({row.split("|")[-2] for row in rows}) == len(found)
    assert all(row.count("|") == header.count("|") for row in rows)
    assert all("| 92.00 | 94.00 | +2.00 (" in row for row in rows)
    assert not any(word in row for row in rows for word in "{}")

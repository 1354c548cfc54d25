"""What counts as worse, how it is shown, and the metrics that it is read from."""

import math
import re
from pathlib import Path
from typing import Any, Literal

import pytest
import toy

from conftest import PROJECT
from convdepth.config.params import Tolerance, read_params
from convdepth.core.errors import DataError
from pipelines.reporting.regressions import (
    Change,
    RegressionError,
    compare,
    delta_lines,
    find_regressions,
    read_metrics,
    regressions_table,
)
from project import Project

# DVC 3.67 builds its graph with a call that its library pygtrie will drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")


def tolerance(
    better: Literal["higher", "lower"], absolute: float = 0, relative: float = 0
) -> Tolerance:
    return Tolerance(better=better, absolute=absolute, relative=relative)


TOLERANCES = {"accuracy": tolerance("higher", 0.003), "loss": tolerance("lower", 0.01, 0.2)}


def change(before: Any, after: Any, allowed: Tolerance) -> Change:
    (found,) = compare(
        {"cnn1": {"metric": before}}, {"cnn1": {"metric": after}}, {"metric": allowed}
    )
    return found


@pytest.mark.parametrize(
    ("before", "after", "allowed", "is_regression"),
    [
        # Better and equal are never worse.
        (0.99, 0.995, tolerance("higher"), False),
        (0.99, 0.99, tolerance("higher"), False),
        (0.03, 0.02, tolerance("lower"), False),
        (0.03, 0.03, tolerance("lower"), False),
        # Exactly what is allowed. In binary, each of these three is more or less than written.
        (0.9931, 0.9901, tolerance("higher", 0.003), False),
        (0.9931, 0.990099, tolerance("higher", 0.003), True),
        (0.1, 0.3, tolerance("lower", 0.2), False),
        (0.3, 0.36, tolerance("lower", 0, 0.2), False),
        (0.3, 0.360001, tolerance("lower", 0, 0.2), True),
        # The larger of the two is allowed.
        (0.03, 0.04, tolerance("lower", 0.01, 0.2), False),
        (0.03, 0.041, tolerance("lower", 0.01, 0.2), True),
        (1.0, 1.2, tolerance("lower", 0.01, 0.2), False),
        (1.0, 1.201, tolerance("lower", 0.01, 0.2), True),
        # The share is one of the size.
        (-1.0, -1.2, tolerance("higher", 0, 0.2), False),
        (-1.0, -1.3, tolerance("higher", 0, 0.2), True),
        (0.0, 0.1, tolerance("lower", 0, 0.2), True),
        # Nothing is allowed.
        (0.99, 0.989999, tolerance("higher"), True),
        (10, 11, tolerance("lower"), True),
        (1e-7, 2e-7, tolerance("lower"), True),
        # What is no number.
        (0.99, None, tolerance("higher", 1), True),
        (0.99, math.nan, tolerance("higher", 1), True),
        (0.99, math.inf, tolerance("higher", 1), True),
        (0.99, "0.99", tolerance("higher", 1), True),
        (0.99, True, tolerance("higher", 1), True),
        (None, 0.1, tolerance("higher"), False),
        (math.nan, 0.1, tolerance("higher"), False),
    ],
)
def test_worse_is_what_is_more_than_allowed(
    before: Any, after: Any, allowed: Tolerance, is_regression: bool
) -> None:
    assert change(before, after, allowed).is_regression is is_regression


def test_a_change_has_what_is_allowed_and_the_difference() -> None:
    assert change(0.9931, 0.9901, tolerance("higher", 0.003)).difference == -0.003
    assert change(1.5, 1.7, tolerance("lower", 0.01, 0.2)).allowed == 0.3
    assert change(0.01, 0.1, tolerance("lower", 0.01, 0.2)).allowed == 0.01
    assert change(None, 0.1, tolerance("lower")).allowed is None
    assert change(None, 0.1, tolerance("lower")).difference is None


def test_each_metric_with_a_tolerance_is_compared_in_each_network() -> None:
    before = {"cnn1": {"accuracy": 0.99, "loss": 0.03, "images": 5}, "gone": {"accuracy": 0.9}}
    after = {"new": {"accuracy": 0.98}, "cnn1": {"accuracy": 0.98, "loss": 0.03, "images": 4}}
    changes = compare(before, after, TOLERANCES)
    assert [(each.network, each.metric, each.before, each.after) for each in changes] == [
        ("cnn1", "accuracy", 0.99, 0.98),
        ("cnn1", "loss", 0.03, 0.03),
        ("gone", "accuracy", 0.9, None),
        ("new", "accuracy", None, 0.98),
    ]
    worse = find_regressions(changes)
    assert [(each.network, each.metric) for each in worse] == [
        ("cnn1", "accuracy"),
        ("gone", "accuracy"),
    ]


def test_without_former_metrics_nothing_is_worse() -> None:
    assert not find_regressions(compare({}, {"cnn1": {"accuracy": 0.1}}, TOLERANCES))
    assert compare({}, {}, TOLERANCES) == []


def test_the_projects_own_tolerances_are_for_metrics_that_there_are() -> None:
    tolerances = read_params(PROJECT / "params.yaml").tolerances
    metrics = read_metrics(PROJECT)
    for network in read_params(PROJECT / "params.yaml").architectures:
        assert set(tolerances) <= set(metrics[network])


REGRESSED = find_regressions(
    compare(
        {"cnn1": {"accuracy": 0.9931, "loss": 0.025663}, "cnn3": {"accuracy": 0.99}},
        {"cnn1": {"accuracy": 0.9894, "loss": 0.0459}, "cnn3": {"accuracy": None}},
        TOLERANCES,
    )
)


def test_the_table_shows_what_got_worse() -> None:
    assert regressions_table(REGRESSED).splitlines() == [
        "| network | metric | before | after | change | allowed |",
        "|---|---|--:|--:|--:|--:|",
        "| cnn1 | accuracy | 0.9931 | 0.9894 | -0.0037 | 0.003 |",
        "| cnn1 | loss | 0.025663 | 0.0459 | +0.020237 | 0.01 |",
        "| cnn3 | accuracy | 0.99 | none | none | 0.003 |",
    ]


def test_the_error_has_a_line_for_each_and_says_what_to_do() -> None:
    error = RegressionError(REGRESSED)
    assert error.exit_code == 6
    assert error.regressions == REGRESSED
    first, *lines, last = str(error).splitlines()
    assert "`tolerances` in params.yaml" in first
    assert lines == [
        "  cnn1 accuracy: 0.9931 before, 0.9894 now: worse by 0.0037, allowed 0.003",
        "  cnn1 loss: 0.025663 before, 0.0459 now: worse by 0.020237, allowed 0.01",
        "  cnn3 accuracy: 0.99 before, no number now",
    ]
    assert "commit the new dvc.lock and metrics, " in last


def test_the_lines_show_all_changes() -> None:
    before = {"cnn1": {"accuracy": 0.9931, "loss": 0.025663}, "cnn3": {"accuracy": 0.99}}
    after = {"cnn1": {"accuracy": 0.9931, "loss": 0.0249}, "new_one": {"loss": 1e-7}}
    assert delta_lines(compare(before, after, TOLERANCES)).splitlines() == [
        "cnn1     accuracy  0.9931    ->  0.9931  same",
        "cnn1     loss      0.025663  ->  0.0249  -0.000763",
        "cnn3     accuracy  0.99      ->  none    missing",
        "new_one  loss      none      ->  1e-07   new",
    ]
    assert delta_lines([]) == ""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The toy without metrics in its first commit, and with them in its second."""
    project = toy.create(tmp_path / "toy", tmp_path)
    for name in ("HOME", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, project.environment[name])
    project.repro()
    project.commit("results")
    return project


METRICS = {"accuracy": 0.5, "loss": 1.5, "digits.0": 0.25}


def test_metrics_are_read_from_the_workspace_and_from_a_commit(project: Project) -> None:
    (project.folder / "one.json").write_text('{"accuracy": 0.75, "classes": [1], "status": "ok"}')
    assert read_metrics(project.folder) == {
        "one": {"accuracy": 0.75, "status": "ok"},
        "two": METRICS,
    }
    commit = project.run("git", "rev-parse", "HEAD").strip()
    assert read_metrics(project.folder, commit) == {"one": METRICS, "two": METRICS}


def test_a_commit_is_read_also_where_no_branch_is_checked_out(project: Project) -> None:
    project.run("git", "switch", "--quiet", "--detach", "HEAD~1")
    commit = project.run("git", "rev-parse", "HEAD@{1}").strip()
    assert read_metrics(project.folder, commit) == {"one": METRICS, "two": METRICS}
    assert read_metrics(project.folder) == {}


def test_a_commit_without_metrics_or_without_dvc_has_none(project: Project, tmp_path: Path) -> None:
    assert read_metrics(project.folder, "HEAD~1") == {}
    other = Project(tmp_path / "other", tmp_path)
    other.folder.mkdir()
    other.run("git", "init", "--quiet")
    (other.folder / "README.md").touch()
    other.commit("Without DVC")
    (other.folder / ".dvc").mkdir()
    (other.folder / ".dvc" / "config").touch()
    other.commit("With DVC")
    assert read_metrics(other.folder, "HEAD~1") == {}
    assert read_metrics(other.folder) == {}


def test_a_metrics_file_that_is_missing_or_broken_has_none(project: Project) -> None:
    (project.folder / "one.json").unlink()
    (project.folder / "two.json").write_text('{"accuracy": ')
    assert read_metrics(project.folder) == {}
    regressions = find_regressions(
        compare(read_metrics(project.folder, "HEAD"), read_metrics(project.folder), TOLERANCES)
    )
    assert [each.network for each in regressions] == ["one", "one", "two", "two"]


def test_a_number_that_is_none_stays_a_regression(project: Project) -> None:
    (project.folder / "one.json").write_text('{"accuracy": NaN}')
    (project.folder / "two.json").write_text('{"accuracy": null}')
    changes = compare(
        read_metrics(project.folder, "HEAD"), read_metrics(project.folder), TOLERANCES
    )
    assert all(each.is_regression for each in changes)
    assert len(changes) == 4  # accuracy and loss of two networks


def test_of_two_files_of_one_name_the_one_nearer_to_the_root_counts(project: Project) -> None:
    study = project.folder / "studies" / "seeds"
    study.mkdir(parents=True)
    (study / "one.json").write_text('{"accuracy": 0.1}')
    (study / "dvc.yaml").write_text("metrics: [one.json]\n")
    assert read_metrics(project.folder)["one"] == METRICS


@pytest.mark.parametrize("commit", ["0" * 40, "nonsense"])
def test_a_commit_that_is_not_there_is_named(project: Project, commit: str) -> None:
    with pytest.raises(DataError, match=f"^{commit}: .*unknown Git revision.*metrics diff"):
        read_metrics(project.folder, commit)


def test_stages_that_cannot_be_read_are_no_empty_metrics(project: Project) -> None:
    (project.folder / "dvc.yaml").write_text("stages: {")
    with pytest.raises(DataError, match=re.escape("workspace: DVC cannot read its metrics")):
        read_metrics(project.folder)

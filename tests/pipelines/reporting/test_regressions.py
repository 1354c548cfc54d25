"""What counts as worse, how it is shown, and the metrics that it is read from."""

import math
from pathlib import Path
from typing import Any, Literal

import pytest
import toy

from conftest import PROJECT
from convdepth.config.params import Tolerance, read_params
from convdepth.core.errors import DataError
from pipelines.reporting.regressions import RegressionError, compare, describe, read_metrics
from project import Project

# DVC 3.67 builds its graph with a call that its library pygtrie will drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")


def tolerance(
    better: Literal["higher", "lower"], absolute: float = 0, relative: float = 0
) -> Tolerance:
    return Tolerance(better=better, absolute=absolute, relative=relative)


TOLERANCES = {"accuracy": tolerance("higher", 0.003), "loss": tolerance("lower", 0.01, 0.2)}


@pytest.mark.parametrize(
    ("before", "after", "allowed", "is_regression"),
    [
        # Better and equal are never worse.
        (0.99, 0.995, tolerance("higher"), False),
        (0.99, 0.99, tolerance("higher"), False),
        (0.03, 0.02, tolerance("lower"), False),
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
    (change,) = compare(
        {"cnn1": {"metric": before}}, {"cnn1": {"metric": after}}, {"metric": allowed}
    )
    assert change.is_regression is is_regression


def test_each_metric_with_a_tolerance_is_compared_in_each_network() -> None:
    before = {"cnn1": {"accuracy": 0.9931, "loss": 0.03, "images": 5}, "gone": {"accuracy": 0.9}}
    after = {"new": {"accuracy": 0.98}, "cnn1": {"accuracy": 0.9894, "loss": 0.03, "images": 4}}
    changes = compare(before, after, TOLERANCES)
    shown = [line.split() for line in describe(changes).splitlines()]
    assert shown == [
        ["network", "metric", "before", "after", "change", "allowed"],
        ["cnn1", "accuracy", "0.9931", "0.9894", "-0.0037", "0.003"],
        ["cnn1", "loss", "0.03", "0.03", "+0", "0.01"],
        ["gone", "accuracy", "0.9", "none", "none", "0.003"],
        ["new", "accuracy", "none", "0.98", "none", "none"],
    ]
    worse = [each for each in changes if each.is_regression]
    assert [each.network for each in worse] == ["cnn1", "gone"]
    error = RegressionError(worse)
    assert error.exit_code == 6
    assert describe(worse) in str(error)
    assert "`tolerances` in params.yaml" in str(error)
    assert describe([]) == ""


def test_the_projects_own_tolerances_are_for_metrics_that_there_are() -> None:
    params, metrics = read_params(PROJECT / "params.yaml"), read_metrics(PROJECT)
    for network in params.architectures:
        assert set(params.tolerances) <= set(metrics[network])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return the toy without metrics in its first commit, and with them in its second."""
    home = tmp_path_factory.mktemp("finished")
    project = toy.create(home / "toy", home)
    project.repro()
    project.commit("results")
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    return finished.copy(tmp_path / "toy")


METRICS = {"accuracy": 0.5, "loss": 1.5, "digits.0": 0.25}


def test_metrics_are_read_from_the_workspace_and_from_a_commit(project: Project) -> None:
    (project.folder / "one.json").write_text('{"accuracy": 0.75, "classes": [1], "status": "ok"}')
    study = project.folder / "studies"
    study.mkdir()
    (study / "two.json").write_text('{"accuracy": 0.1}')  # the one nearer to the root counts
    (study / "dvc.yaml").write_text("metrics: [two.json]\n")
    assert read_metrics(project.folder) == {
        "one": {"accuracy": 0.75, "status": "ok"},
        "two": METRICS,
    }
    commit = project.run("git", "rev-parse", "HEAD").strip()
    project.run("git", "switch", "--quiet", "--detach", "--discard-changes", "HEAD~1")
    assert read_metrics(project.folder, commit) == {"one": METRICS, "two": METRICS}
    assert read_metrics(project.folder, "HEAD") == {}


def test_a_commit_without_dvc_has_none(tmp_path: Path) -> None:
    other = Project(tmp_path / "other", tmp_path)
    (other.folder / ".dvc").mkdir(parents=True)
    (other.folder / ".dvc" / "config").touch()
    other.run("git", "init", "--quiet")
    other.run("git", "commit", "--quiet", "--allow-empty", "--message", "Without DVC")
    other.commit("With DVC")
    assert read_metrics(other.folder, "HEAD~1") == {}
    assert read_metrics(other.folder) == {}


@pytest.mark.parametrize(
    "broken", [None, '{"accuracy": ', '{"accuracy": NaN, "loss": null}', "[1]"]
)
def test_a_metrics_file_that_is_missing_or_broken_has_none(
    project: Project, broken: str | None
) -> None:
    path = project.folder / "one.json"
    path.unlink() if broken is None else path.write_text(broken)
    before, after = read_metrics(project.folder, "HEAD"), read_metrics(project.folder)
    changes = compare(before, after, TOLERANCES)
    assert [(each.network, each.metric) for each in changes if each.is_regression] == [
        ("one", "accuracy"),
        ("one", "loss"),
    ]


@pytest.mark.parametrize("commit", ["0" * 40, "nonsense"])
def test_a_commit_that_is_not_there_is_named(project: Project, commit: str) -> None:
    with pytest.raises(DataError, match=f"^{commit}: .*metrics diff"):
        read_metrics(project.folder, commit)


def test_stages_that_cannot_be_read_are_no_empty_metrics(project: Project) -> None:
    (project.folder / "dvc.yaml").write_text("stages: {")
    with pytest.raises(DataError, match=r"^workspace: "):
        read_metrics(project.folder)

"""What counts as worse, how it is shown, and the metrics that it is read from."""

import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import cases

from conftest import PROJECT
from convdepth.config.params import Tolerance, read_params
from convdepth.core.errors import DataError
from pipelines.reporting.artifacts import compare_answers
from pipelines.reporting.regressions import RegressionError, compare, describe, read_metrics
from project import Project


def tolerance(
    better: Literal["higher", "lower"], absolute: float = 0, relative: float = 0
) -> Tolerance:
    return Tolerance(better=better, absolute=absolute, relative=relative)


TOLERANCES = {"accuracy": tolerance("higher", 0.003), "loss": tolerance("lower", 0.01, 0.2)}


VALUES = st.floats(-1e6, 1e6)
SIZES = st.floats(0, 1e3)


def is_worse(before: Any, after: Any, allowed: Tolerance) -> bool:
    (change,) = compare({"a": {"m": before}}, {"a": {"m": after}}, {"m": allowed})
    return change.is_regression


@pytest.mark.parametrize(
    ("before", "after", "allowed", "expected"),
    [
        # Exactly what is allowed. In binary, each of these is more or less than written.
        (0.9931, 0.9901, tolerance("higher", 0.003), False),
        (0.9931, 0.990099, tolerance("higher", 0.003), True),
        (0.3, 0.36, tolerance("lower", 0, 0.2), False),
        (-1.0, -1.2, tolerance("higher", 0, 0.2), False),
        (1e-7, 2e-7, tolerance("lower"), True),
        # What is no number.
        *((0.99, none, tolerance("higher", 1), True) for none in (None, math.inf, "0.99", True)),
        (math.nan, 0.1, tolerance("higher"), False),
    ],
)
def test_what_is_worse(before: Any, after: Any, allowed: Tolerance, *, expected: bool) -> None:
    assert is_worse(before, after, allowed) is expected


@cases(200)
@given(
    VALUES,
    st.floats(1e-6, 1e3),
    st.builds(tolerance, st.sampled_from(["higher", "lower"]), SIZES, st.floats(0, 10)),
)
def test_worse_is_beyond_the_larger_tolerance(before: float, by: float, allowed: Tolerance) -> None:
    def worse(difference: float) -> bool:
        change = -difference if allowed.better == "higher" else difference
        return is_worse(before, before + change, allowed)

    limit = max(allowed.absolute, allowed.relative * abs(before))
    assert worse(limit + by)
    assert not worse(max(0, limit - by))
    assert not worse(-by)


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
    params, metrics = read_params(PROJECT / "params.yaml"), read_metrics(PROJECT)
    for network in params.architectures:
        assert set(params.tolerances) <= set(metrics[network])


METRICS = {"accuracy": 0.5, "loss": 1.5, "digits.0": 0.25}

GRAPH = """
stages:
  evaluate:
    foreach: [one]
    do:
      cmd: cp ${item}.txt ${item}.csv
      deps: ["${item}.txt"]
      outs: ["${item}.csv"]
"""


def test_metrics_are_read_from_the_workspace_and_from_a_commit(ran: Project) -> None:
    folder, path = ran.folder, ran.folder / "one.json"
    commit = ran.run("git", "rev-parse", "HEAD").strip()
    path.write_text('{"accuracy": 0.75, "loss": 1.5, "status": "ok", "classes": [1]}')
    (folder / "studies").mkdir()
    (folder / "studies" / "two.json").write_text('{"accuracy": 0.1}')  # the other one counts
    (folder / "studies" / "dvc.yaml").write_text("metrics: [two.json]\n")
    one = {"accuracy": 0.75, "loss": 1.5, "status": "ok"}
    assert read_metrics(folder) == {"one": one, "two": METRICS}
    for broken in ('{"accuracy": ', '{"accuracy": NaN, "loss": null}', "[1]", None):
        path.unlink() if broken is None else path.write_text(broken)
        changes = compare(read_metrics(folder, "HEAD"), read_metrics(folder), TOLERANCES)
        assert [(each.network, each.metric) for each in changes if each.is_regression] == [
            ("one", "accuracy"),
            ("one", "loss"),
        ]
    ran.run("git", "switch", "--quiet", "--detach", "--discard-changes", "HEAD~1")
    assert read_metrics(folder, commit) == {"one": METRICS, "two": METRICS}
    assert read_metrics(folder, "HEAD") == {}
    for unknown in ("0" * 40, "nonsense"):
        with pytest.raises(DataError, match=f"^{unknown}: .*metrics diff"):
            read_metrics(folder, unknown)
    (folder / "dvc.yaml").write_text("stages: {")  # these are no empty metrics
    with pytest.raises(DataError, match=r"^workspace: "):
        read_metrics(folder)


def test_the_comparison_is_that_with_the_last_commit(project: Project) -> None:
    assert "dvc.lock" in compare_answers(project.folder)  # nothing was run yet
    (project.folder / "dvc.yaml").write_text(GRAPH)
    answers = project.folder / "one.txt"
    answers.write_text("index,label,predicted,loss\n0,1,1,0.5\n1,2,2,0.5\n2,3,3,0.5\n")
    project.repro()
    project.commit("Results")
    assert "| one | 100.00 | 100.00 | 0 | 0 | 0 |" in compare_answers(project.folder)
    answers.write_text(answers.read_text().replace("2,2,", "2,5,"))
    project.repro()
    assert "| 1 | 0 | 1 |" in compare_answers(project.folder)
    ran = project.run("git", "rev-parse", "HEAD").strip()
    project.commit("As `publish` commits")
    assert "| 1 | 0 | 1 |" in compare_answers(project.folder, ran)

"""Great Expectations passes nothing vacuously."""

import pandas as pd
import pytest

from convdepth.data.validation import run
from convdepth.data.validation.run import Outcome, gx, inspect

SMALL = gx.expectations.ExpectColumnValuesToBeBetween(
    column="size", min_value=0, max_value=9, description="small"
)
NOT_NULL = gx.expectations.ExpectColumnValuesToNotBeNull(column="size", description="not null")
FOUR = gx.expectations.ExpectTableRowCountToEqual(value=4, description="four rows")
MEAN = gx.expectations.ExpectColumnMeanToBeBetween(
    column="size", min_value=2, max_value=3, description="mean"
)


def outcomes_of(sizes: list[float | None], *rules: gx.expectations.Expectation) -> list[Outcome]:
    rows = pd.DataFrame({"split": "train", "index": range(len(sizes)), "size": sizes})
    return inspect("things", rows, ("split", "index"), [rule.copy() for rule in rules])


def test_a_kept_rule_gives_what_was_found_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    assert outcomes_of([1, 2, 3, 4], MEAN, SMALL, FOUR) == [
        Outcome("things", "mean", True, observed=2.5),
        Outcome("things", "small", True, num_broken=0),
        Outcome("things", "four rows", True, observed=4),
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("sizes", "rule", "num_broken", "facts"),
    [
        ([1, 12, 3, -1, *range(20, 30)], SMALL, 12, ["train 1: size 12; ", "train 6: size 22"]),
        ([1, None, 3, 4], NOT_NULL, 1, ["train 1: size no value"]),
        ([1, 1, 1, 2], MEAN, None, ["1.25"]),
    ],
)
def test_a_broken_rule_is_explained_by_its_first_rows(
    sizes: list[float | None],
    rule: gx.expectations.Expectation,
    num_broken: int | None,
    facts: list[str],
) -> None:
    (outcome,) = outcomes_of(sizes, rule)
    assert not outcome.holds
    assert outcome.num_broken == num_broken
    assert all(fact in outcome.reason for fact in facts), outcome.reason
    assert outcome.reason.count(";") < 5


def test_a_rule_that_cannot_be_computed_does_not_hold() -> None:
    typo = SMALL.copy(update={"column": "sise", "description": "typo"})
    good, bad = outcomes_of([1, 2], SMALL, typo)
    assert (good.holds, bad.holds) == (True, False)
    assert "sise" in bad.reason


def test_no_row_and_no_rule_are_no_success() -> None:
    for (outcome,) in (outcomes_of([], SMALL), outcomes_of([1, 2])):
        assert not outcome.holds


def test_a_rule_that_did_not_run_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    validate = run._validate

    def lose_one(*arguments: object) -> dict[str, object]:
        results = validate(*arguments)
        results.pop("four rows")
        return results

    monkeypatch.setattr(run, "_validate", lose_one)
    good, lost = outcomes_of([1, 2, 3, 4], SMALL, FOUR)
    assert (good.holds, lost.holds) == (True, False)

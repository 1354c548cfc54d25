"""Tests that Great Expectations passes over nothing."""

import pandas as pd
import pytest

from convdepth.core.errors import MachineError
from convdepth.data.validation import run as inspection
from convdepth.data.validation.run import Outcome, Table, gx, inspect, open_context

SMALL = gx.expectations.ExpectColumnValuesToBeBetween(
    column="size", min_value=0, max_value=9, description="each size is from 0 to 9"
)
NOT_NULL = gx.expectations.ExpectColumnValuesToNotBeNull(
    column="size", description="each row has a size"
)
FOUR = gx.expectations.ExpectTableRowCountToEqual(value=4, description="there are 4 rows")
MEAN = gx.expectations.ExpectColumnMeanToBeBetween(
    column="size", min_value=2, max_value=3, description="the mean size is from 2 to 3"
)


def test_no_room_for_a_temporary_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(gx, "get_context", full)
    with pytest.raises(MachineError, match="temporary folder cannot be made: No usable"):
        open_context()


def run(sizes: list[float | None], *rules: gx.expectations.Expectation) -> list[Outcome]:
    rows = pd.DataFrame({"split": "train", "index": range(len(sizes)), "size": sizes})
    copies = [rule.copy() for rule in rules]
    return inspect(open_context(), Table("things", rows, ("split", "index"), copies))


def test_what_holds_is_said_with_what_was_found() -> None:
    outcomes = run([1, 2, 3, 4], MEAN, SMALL, FOUR)

    assert outcomes == [
        Outcome("things", "the mean size is from 2 to 3", True, observed=2.5),
        Outcome("things", "each size is from 0 to 9", True, num_broken=0),
        Outcome("things", "there are 4 rows", True, observed=4),
    ]


def test_the_first_rows_that_break_a_rule_are_named() -> None:
    (outcome,) = run([1, 12, 3, -1, *range(20, 30)], SMALL)

    assert not outcome.holds
    assert outcome.num_broken == 12
    assert outcome.reason == (
        "12 rows break it, first train 1: size 12; train 3: size -1; train 4: size 20; "
        "train 5: size 21; train 6: size 22"
    )


def test_an_average_out_of_range_is_said() -> None:
    (outcome,) = run([1, 1, 1, 2], MEAN)

    assert outcome.reason == "found 1.25"


def test_a_missing_value_is_said() -> None:
    (outcome,) = run([1, None, 3, 4], NOT_NULL)

    assert outcome.reason == "1 row breaks it, first train 1: size no value"


def test_a_rule_that_cannot_be_computed_does_not_hold() -> None:
    broken = gx.expectations.ExpectColumnValuesToBeBetween(
        column="sise", min_value=0, description="a typo"
    )

    good, bad = run([1, 2], SMALL, broken)

    assert good.holds
    assert not bad.holds
    assert bad.reason.startswith("it cannot be computed")
    assert "sise" in bad.reason


def test_no_row_and_no_rule_are_no_success() -> None:
    for outcomes in (run([], SMALL), run([1, 2])):
        (outcome,) = outcomes
        assert not outcome.holds
        assert "rows and" in outcome.reason


def test_a_rule_that_did_not_run_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    validate = inspection._validate

    def lose_one(*arguments: object) -> dict[str, object]:
        results = validate(*arguments)
        results.pop("there are 4 rows")
        return results

    monkeypatch.setattr(inspection, "_validate", lose_one)

    good, lost = run([1, 2, 3, 4], SMALL, FOUR)

    assert good.holds
    assert not lost.holds
    assert lost.reason == "it was not run"


def test_nothing_is_printed_and_nobody_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    context = open_context()
    rows = pd.DataFrame({"split": ["train"], "index": [0], "size": [1.0]})
    inspect(context, Table("things", rows, ("split", "index"), [SMALL.copy(), NOT_NULL.copy()]))

    assert capfd.readouterr() == ("", "")
    assert context.variables.analytics_enabled is False

"""A regression is what is worse by more than is allowed, in the direction of its metric."""

from hypothesis import given
from hypothesis import strategies as st
from properties import cases

from convdepth.config.params import Tolerance
from pipelines.reporting.regressions import Change, compare

BETTER = st.sampled_from(["higher", "lower"])
VALUES = st.floats(-1e6, 1e6)
SIZES = st.floats(0, 1e3)
TOLERANCES = st.builds(Tolerance, better=BETTER, absolute=SIZES, relative=st.floats(0, 10))


def judge(before: float, after: float, tolerance: Tolerance) -> Change:
    (change,) = compare({"a": {"m": before}}, {"a": {"m": after}}, {"m": tolerance})
    return change


def worsen(before: float, by: float, tolerance: Tolerance) -> float:
    return before - by if tolerance.better == "higher" else before + by


@cases(200)
@given(VALUES, SIZES, TOLERANCES)
def test_equal_or_better_is_no_regression(before: float, by: float, tolerance: Tolerance) -> None:
    assert not judge(before, worsen(before, -by, tolerance), tolerance).is_regression


@cases(200)
@given(VALUES, st.floats(1e-6, 1e3), TOLERANCES)
def test_worse_beyond_the_larger_tolerance(before: float, by: float, tolerance: Tolerance) -> None:
    allowed = max(tolerance.absolute, tolerance.relative * abs(before))
    assert judge(before, worsen(before, allowed + by, tolerance), tolerance).is_regression
    within = worsen(before, max(0, allowed - by), tolerance)
    assert not judge(before, within, tolerance).is_regression

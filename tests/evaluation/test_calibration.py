"""Calibration, against cases computed by hand."""

import pandas as pd
import pytest

from convdepth.evaluation.calibration import BINS, calibration_error, reliability


def predictions(*rows: tuple[float, bool]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": 1,
            "predicted": [1 if right else 2 for _, right in rows],
            "probability": [probability for probability, _ in rows],
        }
    )


def test_who_is_as_often_right_as_he_says_has_no_error() -> None:
    rows = [(0.75, True), (0.75, True), (0.75, True), (0.75, False)]
    assert calibration_error(predictions(*rows)) == 0


def test_the_error_by_hand() -> None:
    # Of the three in the last of 15 ranges, which are sure to 0.98 in the mean, two are right; the
    # one of 0.5 is right: 3/4 of |0.98 - 2/3| and 1/4 of |0.5 - 1|.
    table = predictions((0.98, True), (0.96, True), (1.0, False), (0.5, True))
    assert calibration_error(table) == pytest.approx(0.75 * (0.98 - 2 / 3) + 0.25 * 0.5, abs=1e-6)
    assert reliability(table) == [
        {"images": 1, "probability": 0.5, "accuracy": 1.0},
        {"images": 3, "probability": 0.98, "accuracy": 0.666667},
    ]


def test_each_probability_is_in_one_range() -> None:
    edges = [number / BINS for number in range(1, BINS + 1)]
    ranges = reliability(predictions(*[(edge, True) for edge in edges], (0.0, False)))
    assert sum(entry["images"] for entry in ranges) == BINS + 1
    assert len(ranges) == BINS

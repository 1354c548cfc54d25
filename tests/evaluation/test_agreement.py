"""Agreement and hard images, on a few answers by hand."""

import pandas as pd

from convdepth.evaluation.agreement import agreement, count_failures, find_hardest


def table(predicted: list[int], losses: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"index": range(4), "label": [1, 2, 3, 4], "predicted": predicted, "loss": losses}
    )


TABLES = {
    "a": table([1, 0, 0, 4], [0.1, 2.0, 3.0, 0.1]),
    "b": table([1, 2, 0, 0], [0.1, 0.1, 1.0, 5.0]),
    "c": table([1, 2, 5, 4], [0.1, 0.1, 1.0, 0.1]),
}


def test_networks_agree_also_where_both_are_wrong() -> None:
    assert agreement(TABLES) == {"a / b": 0.5, "a / c": 0.5, "b / c": 0.5}


def test_failures_are_counted_for_each_image() -> None:
    counted = count_failures(TABLES)
    assert counted["failing"].tolist() == [0, 1, 3, 1]
    assert counted["loss"].tolist() == [0.1, 0.733333, 1.666667, 1.733333]


def test_the_hardest_are_those_that_most_get_wrong_and_then_the_costliest() -> None:
    assert [entry["index"] for entry in find_hardest(TABLES, 10)] == [2, 3, 1]
    (hardest,) = find_hardest(TABLES, 1)
    assert hardest == {
        "index": 2,
        "label": 3,
        "answers": {"a": 0, "b": 0, "c": 5},
        "failing": 3,
        "loss": 1.666667,
    }


def test_an_image_that_all_get_right_is_not_hard() -> None:
    perfect = table([1, 2, 3, 4], [0.1] * 4)
    assert find_hardest({"a": perfect}, 3) == []

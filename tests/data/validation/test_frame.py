"""Tests of the tables that the data rules look at."""

import numpy as np
import pandas as pd
import pytest

from convdepth.data.arrays import Labels, Pixels, normalize
from convdepth.data.validation import frame as tables

Splits = dict[str, tuple[Pixels, Labels]]


@pytest.fixture
def splits() -> Splits:
    """A few images of noise in each split."""
    random = np.random.default_rng(1)
    return {
        split: (
            random.integers(0, 256, (size, 28, 28), dtype=np.uint8),
            random.integers(0, 10, size, dtype=np.uint8),
        )
        for split, size in (("train", 7), ("test", 3))
    }


def normalized(splits: Splits) -> dict[str, tuple[np.ndarray, Labels]]:
    return {split: (normalize(pixels), labels) for split, (pixels, labels) in splits.items()}


def test_each_image_has_a_row_with_its_numbers(splits: Splits) -> None:
    table = tables.tabulate_raw(splits)

    assert table["split"].tolist() == ["train"] * 7 + ["test"] * 3
    assert table["index"].tolist() == [*range(7), *range(3)]
    pixels, labels = splits["test"]
    row = table[table["split"] == "test"].iloc[1]
    assert row["label"] == labels[1]
    assert row["smallest"] == pixels[1].min()
    assert row["largest"] == pixels[1].max()
    assert row["mean"] == pytest.approx(pixels[1].mean())
    assert row["mean_square"] == pytest.approx(np.mean(pixels[1].astype(float) ** 2))
    assert row["ink"] == pytest.approx(np.mean(pixels[1] > 0))


def test_chunks_do_not_show(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tables.tabulate_raw(splits)
    made = tables.tabulate_normalized(normalized(splits), splits)

    monkeypatch.setattr(tables, "_CHUNK", 2)

    pd.testing.assert_frame_equal(tables.tabulate_raw(splits), raw)
    pd.testing.assert_frame_equal(tables.tabulate_normalized(normalized(splits), splits), made)


def test_an_image_has_the_same_digest_wherever_it_is(splits: Splits) -> None:
    splits["train"][0][4] = splits["test"][0][2]

    table = tables.tabulate_raw(splits)

    assert table["digest"].nunique() == 9
    assert table.index[table["in_both"]].tolist() == [4, 9]


def test_a_normalized_image_stands_beside_its_raw_one(splits: Splits) -> None:
    made = normalized(splits)
    made["train"][0][3, 0, 0, 0] += 0.001

    table = tables.tabulate_normalized(made, splits)

    assert table.index[table["digest"] != table["raw_digest"]].tolist() == [3]
    assert (table["label"] == table["raw_label"]).all()


def test_fewer_normalized_images_are_compared_with_the_first_raw_ones(splits: Splits) -> None:
    made = {
        split: (images[:2], labels[:2]) for split, (images, labels) in normalized(splits).items()
    }

    table = tables.tabulate_normalized(made, splits)

    assert len(table) == 4
    assert (table["digest"] == table["raw_digest"]).all()


def test_a_normalized_image_without_a_raw_one_has_missing_values(splits: Splits) -> None:
    raw = {split: (pixels[:2], labels[:2]) for split, (pixels, labels) in splits.items()}

    table = tables.tabulate_normalized(normalized(splits), raw)

    assert table["raw_digest"].isna().sum() == 6
    assert table["raw_label"].isna().sum() == 6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_said_to_be(splits: Splits, value: float) -> None:
    made = normalized(splits)
    made["test"][0][0, 5, 5, 0] = value
    made["test"][0][0, 6, 6, 0] = -value

    table = tables.tabulate_normalized(made, splits)

    assert table.index[~table["finite"]].tolist() == [7]


def test_an_empty_split_leaves_the_other(splits: Splits) -> None:
    splits["test"] = (np.empty((0, 28, 28), np.uint8), np.empty(0, np.uint8))

    table = tables.tabulate_raw(splits)

    assert table["split"].unique().tolist() == ["train"]


def test_each_class_is_counted_also_where_there_is_no_image(splits: Splits) -> None:
    splits["train"][1][:] = 3

    counts = tables.count_classes(tables.tabulate_raw(splits))

    assert len(counts) == 20
    train = counts[counts["split"] == "train"].set_index("label")["images"]
    assert train.to_dict() == {digit: 7 if digit == 3 else 0 for digit in range(10)}
    assert counts["images"].sum() == 10

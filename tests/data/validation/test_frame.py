"""The tables that the data rules look at."""

import numpy as np
import pandas as pd
import pytest

from convdepth.data.arrays import Labels, Pixels, normalize
from convdepth.data.validation import frame
from convdepth.data.validation.frame import count_classes, tabulate

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


def test_each_image_has_a_row_with_its_numbers(splits: Splits) -> None:
    table = tabulate(splits)
    assert table["split"].tolist() == ["train"] * 7 + ["test"] * 3
    assert table["index"].tolist() == [*range(7), *range(3)]
    pixels, labels = splits["test"]
    expected = {
        "label": labels[1],
        "smallest": pixels[1].min(),
        "largest": pixels[1].max(),
        "mean": pixels[1].mean(),
        "mean_square": np.mean(pixels[1].astype(float) ** 2),
        "ink": np.mean(pixels[1] > 0),
    }
    assert table.iloc[8][list(expected)].to_dict() == pytest.approx(expected)


def test_chunks_and_missing_raw_images(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    normalized = {split: (normalize(pixels), labels) for split, (pixels, labels) in splits.items()}
    raw = {split: (pixels[:2], labels[:2]) for split, (pixels, labels) in splits.items()}
    table = tabulate(normalized, raw)
    assert table[["raw_digest", "raw_label"]].isna().sum().tolist() == [6, 6]
    monkeypatch.setattr(frame, "_CHUNK", 2)
    pd.testing.assert_frame_equal(tabulate(normalized, raw), table)


def test_each_class_is_counted_also_in_an_empty_split(splits: Splits) -> None:
    splits["train"][1][:] = 3
    splits["test"] = (np.empty((0, 28, 28), np.uint8), np.empty(0, np.uint8))
    counts = count_classes(tabulate(splits))
    assert counts.set_index(["split", "label"])["images"].to_dict() == {
        (split, digit): 7 if (split, digit) == ("train", 3) else 0
        for split in ("train", "test")
        for digit in range(10)
    }

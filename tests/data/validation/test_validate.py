"""The stage `validate`: clean data pass, and each kind of damage breaks its rule."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import drawn
import numpy as np
import pandas as pd
import pytest

from conftest import PROJECT
from convdepth.config.dataset import SPLITS
from convdepth.config.params import read_params
from convdepth.core.errors import DataError, MachineError
from convdepth.data import arrays
from convdepth.data.validation import validate
from convdepth.data.validation.frame import tabulate
from convdepth.data.validation.rules import Stage, class_range

PARAMS = PROJECT / "params.yaml"
TOLERANCES = read_params(PARAMS).validation
SAMPLE = 1_000
RAW = Stage("raw", full_ink=255)
NORMALIZED = Stage("normalized", full_ink=1, max_images=SAMPLE)

Splits = dict[str, tuple[np.ndarray, np.ndarray]]


@cache
def clean(max_images: int | None = None) -> Splits:
    """The raw arrays, or the normalized ones of the first images. Read-only."""
    splits = {split: drawn.draw_split(split) for split in SPLITS}
    if max_images is None:
        return splits
    first = {split: (x[:max_images], y[:max_images]) for split, (x, y) in splits.items()}
    return {split: (arrays.normalize(x), y) for split, (x, y) in first.items()}


@cache
def clean_rows(max_images: int | None = None) -> pd.DataFrame:
    """The table of the clean arrays. Read-only."""
    return tabulate(clean(max_images), None if max_images is None else clean())


def broken(stage: Stage, rows: pd.DataFrame) -> str:
    outcomes = validate.inspect_stage(stage, rows, TOLERANCES)
    return "\n".join(f"{each.rule}: {each.reason}" for each in outcomes if not each.holds)


def test_each_image_is_described_by_its_numbers() -> None:
    pixels, label = (part[7_001] for part in clean()["test"])  # in the second chunk
    expected = {
        "index": 7_001,
        "label": label,
        "smallest": pixels.min(),
        "largest": pixels.max(),
        "mean": pixels.mean(),
        "mean_square": np.mean(pixels.astype(float) ** 2),
        "ink": np.mean(pixels > 0),
    }
    assert clean_rows().iloc[67_001][list(expected)].to_dict() == pytest.approx(expected)


@pytest.mark.parametrize("num_images", [10, 500, 5_000])
def test_a_sample_has_as_many_images_of_a_class_as_chance_allows(num_images: int) -> None:
    # An independent source of the same distribution: numpy draws from it.
    ones = drawn.CLASS_COUNTS["test"][1]
    counts = np.random.default_rng(1).hypergeometric(ones, 10_000 - ones, num_images, size=20_000)
    wide = class_range("test", 1, num_images, standard_errors=6)
    narrow = class_range("test", 1, num_images, standard_errors=1)
    assert wide[0] <= counts.min()
    assert counts.max() <= wide[1]
    assert 0.55 < np.mean((narrow[0] <= counts) & (counts <= narrow[1])) < 0.8


@pytest.mark.parametrize("max_images", [10, 20_000])
def test_clean_samples_hold(max_images: int) -> None:
    assert broken(Stage("normalized", 1, max_images), clean_rows(max_images)) == ""


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("split", "validation", "the splits are train and test"),
        ("label", 12, "is a digit from 0 to 9: 1 row breaks it, first train 5: label 12"),
        ("label", -1, "each label is a digit"),
        ("label", 1.7, "each label is a digit"),
        ("label", None, "each image has a label: 1 row breaks it, first train 5: label no value"),
        ("smallest", -0.1, "each image's smallest pixel"),
        ("largest", 0.4, "each image's largest pixel"),
        ("largest", 1.5, "each image's largest pixel"),
        ("mean", 0.01, "each image's mean pixel"),
        ("mean", 0.5, "each image's mean pixel"),
        ("ink", 0.02, "each image's share of ink"),
        ("ink", 0.6, "each image's share of ink"),
        ("finite", False, "each pixel is a finite number"),
        ("in_both", True, "no image is in both splits"),
        ("raw_label", 10, "each label is the raw one"),
        ("raw_digest", "other", "each image is the raw one"),
    ],
)
def test_one_bad_value_is_caught(column: str, value: object, rule: str) -> None:
    rows = clean_rows(SAMPLE).astype({column: object})
    rows.loc[5, column] = value
    assert rule in broken(NORMALIZED, rows.infer_objects())


def test_a_column_without_values_is_caught() -> None:
    rows = clean_rows(SAMPLE)
    columns = set(rows.columns) - {"split", "index"}
    found = broken(NORMALIZED, rows.assign(**dict.fromkeys(columns)))
    for column in columns:
        assert f"2,000 rows break it, first train 0: {column} no value" in found


def label(rows: pd.DataFrame, where: Any, digit: int) -> pd.DataFrame:
    rows = rows.copy()
    rows.loc[where, "label"] = digit
    return rows


@pytest.mark.parametrize(
    ("damage", "rules"),
    [
        (lambda rows: rows[:0], ["there is something to inspect"]),
        (lambda rows: rows.drop(columns="ink"), ["share of ink is from 0.03 to 0.5: it can"]),
        (lambda rows: rows[1:], ["train has 60,000 images", "there are 70,000 images"]),
        (lambda rows: rows[:60_000], ["the splits are train and test"]),
        (lambda rows: rows[60_000:], ["train: the mean pixel"]),
        (lambda rows: label(rows, 5, 4), ["no class has fewer", "no class has more"]),
        (lambda rows: label(rows, slice(60_000, 61_000), 0), ["test: the classes have MNIST's"]),
        (lambda rows: rows.assign(mean=rows["mean"] * 0.98), ["test: the mean pixel"]),
        (
            lambda rows: rows.assign(mean_square=rows["mean_square"] * 0.7),
            ["train: the mean squared pixel"],
        ),
    ],
)
def test_damage_to_raw_data_is_caught(
    damage: Callable[[pd.DataFrame], pd.DataFrame], rules: list[str]
) -> None:
    found = broken(RAW, damage(clean_rows()))
    assert [rule for rule in rules if rule not in found] == []


def put(array: np.ndarray, where: Any, what: Any) -> None:
    array[where] = what


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda x: put(x, (5, 9, 9), np.nan), "each pixel is a finite number"),
        (lambda x: put(x.view(np.uint32), (5, 9, 9), 1), "each image is the raw one"),
        (lambda x: put(x, ..., x[:, :, ::-1].copy()), "each image is the raw one"),
        (lambda x: put(x, 8, x[9]), "no image is twice in a split"),
    ],
)
def test_damage_to_images_is_caught(damage: Callable[[np.ndarray], None], rule: str) -> None:
    images, labels = (array.copy() for array in clean(SAMPLE)["train"])
    damage(images)
    splits = {**clean(SAMPLE), "train": (images, labels)}
    assert rule in broken(NORMALIZED, tabulate(splits, clean()))


def test_equal_splits_and_shuffled_labels_are_caught() -> None:
    images, labels = clean(SAMPLE)["train"]
    splits = {"train": (images, np.random.default_rng(1).permutation(labels))}
    found = broken(NORMALIZED, tabulate({**splits, "test": (images, labels)}, clean()))
    assert "each label is the raw one" in found
    assert "no image is in both splits: 2,000 rows" in found


@pytest.fixture
def params(tmp_path: Path, params_text: str) -> Path:
    """Parameters that keep the first images of each split."""
    path = tmp_path / "params.yaml"
    path.write_text(params_text.replace("max_images: null", f"max_images: {SAMPLE}"))
    return path


@pytest.fixture
def normalized(tmp_path: Path) -> Path:
    """A folder with the clean normalized data, to be damaged."""
    for split, (array, labels) in clean(SAMPLE).items():
        arrays.write_split(tmp_path / "normalized", split, array, labels)
    return tmp_path / "normalized"


def test_clean_data_give_the_same_summary_and_page_again(
    raw: Path, normalized: Path, params: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page, checked = tmp_path / "docs" / "index.html", tmp_path / "data.txt"
    written = []
    for _ in range(2):
        validate.main(raw, normalized, tmp_path / "new" / "a.json", page.parent, checked, params)
        assert checked.read_text() == "valid\n"
        written.append((tmp_path / "new" / "a.json").read_bytes() + page.read_bytes())
    assert written[0] == written[1]
    report = json.loads((tmp_path / "new" / "a.json").read_bytes())
    assert report["success"] is True
    assert report["images"] == {"raw": 70_000, "normalized": 2 * SAMPLE}
    assert report["num_rules"] == len(report["rules"]) >= 28
    found = {(rule["table"], rule["rule"]): rule for rule in report["rules"]}
    assert found["raw_images", "each label is a digit from 0 to 9"]["num_broken"] == 0
    assert found["raw_images", "train has 60,000 images"]["observed"] == 60_000
    out, err = capfd.readouterr()
    assert str(page) in out
    assert err == ""


def fail(raw: Path, normalized: Path, params: Path, tmp_path: Path) -> str:
    """Run the stage on bad data; give the message. A former summary is left as it was."""
    summary, docs = tmp_path / "validation.json", tmp_path / "docs"
    summary.write_text("former")
    with pytest.raises(DataError) as caught:
        validate.main(raw, normalized, summary, docs, tmp_path / "data.txt", params)
    assert summary.read_text() == "former"
    assert not (tmp_path / "data.txt").exists()
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_bad_labels_and_a_missing_class_stop_the_stage_with_rule_and_rows(
    normalized: Path, params: Path, tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    labels = {split: labels.copy() for split, (_, labels) in clean().items()}
    labels["train"][[2_000, 3_000]] = 12
    labels["test"][labels["test"] == 6] = 7
    for split in SPLITS:
        drawn.write_split(tmp_path / "raw", split, clean()[split][0], labels[split])
    images, kept = (part.copy() for part in arrays.read_split(normalized, "test"))
    images[3, 0, 0, 0] = np.nan
    arrays.write_split(normalized, "test", images, kept)
    message = fail(tmp_path / "raw", normalized, params, tmp_path)
    rows = "train 2000: label 12; train 3000: label 12"
    page = tmp_path / "docs" / "index.html"
    for part in (
        f"raw_images: each label is a digit from 0 to 9: 2 rows break it, first {rows}",
        "train: the classes have MNIST's shares",
        "test 6: images 0, fewest 958",
        "test 7: most 1028, images 1986",
        "normalized_images: each pixel is a finite number: 1 row breaks it, first test 3",
        str(page),
    ):
        assert part in message
    text = page.read_text(encoding="utf-8")
    assert text.index(rows) < text.index("there are 70,000 images")  # which holds
    assert not any(word in text for word in ("http", "src=", "href=", "url(", "@import"))


def test_missing_data_are_named(raw: Path, normalized: Path, params: Path, tmp_path: Path) -> None:
    assert "train_images.npy" in fail(raw, tmp_path / "none", params, tmp_path)
    (tmp_path / "docs").write_text("a file in the way")
    with pytest.raises(MachineError, match="docs"):
        fail(raw, normalized, params, tmp_path)

"""The stage `validate`: clean data pass, and each kind of damage breaks its rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import drawn
import numpy as np
import pandas as pd
import pytest

from convdepth.config.dataset import SPLITS
from convdepth.config.params import read_params
from convdepth.core.errors import DataError, MachineError
from convdepth.data import arrays, idx
from convdepth.data.validation import validate
from convdepth.data.validation.frame import tabulate
from convdepth.data.validation.rules import Stage

PARAMS = Path(__file__).parents[3] / "params.yaml"
TOLERANCES = read_params(PARAMS).validation
SAMPLE = 1_000
RAW = Stage("raw", full_ink=255)
RAW_SAMPLE = Stage("raw", full_ink=255, max_images=5_000)
NORMALIZED = Stage("normalized", full_ink=1, max_images=SAMPLE)

Splits = dict[str, tuple[np.ndarray, np.ndarray]]
Damage = Callable[[Any], Any]


@pytest.fixture(scope="module")
def raw_splits(raw: Path) -> Splits:
    """The clean raw arrays. Read-only."""
    return {split: idx.read_split(raw, split) for split in SPLITS}


@pytest.fixture(scope="module")
def normalized_splits(raw_splits: Splits) -> Splits:
    """The clean normalized arrays of the first images. Read-only by agreement."""
    return {
        split: (arrays.normalize(x[:SAMPLE]), y[:SAMPLE]) for split, (x, y) in raw_splits.items()
    }


@pytest.fixture(scope="module")
def normalized_rows(normalized_splits: Splits, raw_splits: Splits) -> pd.DataFrame:
    """The clean normalized table. Read-only by agreement."""
    return tabulate(normalized_splits, raw_splits)


def broken(stage: Stage, rows: pd.DataFrame) -> list[str]:
    outcomes = validate.inspect_stage(stage, rows, TOLERANCES)
    return [f"{outcome.rule}: {outcome.reason}" for outcome in outcomes if not outcome.holds]


def assert_named(rule: str, found: list[str]) -> None:
    assert any(line.startswith(rule) for line in found), "\n".join(found) or "nothing is broken"


# Damage to arrays: each function gets fresh copies of one split, or of all, and damages them.


def train(change: Callable[[np.ndarray, np.ndarray], None]) -> Damage:
    def damage(splits: Splits) -> Splits:
        change(*splits["train"])
        return splits

    return damage


def both(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    return lambda splits: {split: (change(x), labels) for split, (x, labels) in splits.items()}


def keep(split: str, rows: slice) -> Damage:
    return lambda splits: {**splits, split: (splits[split][0][rows], splits[split][1][rows])}


def put(array: np.ndarray, where: Any, what: Any) -> None:
    array[where] = what


def copy_into_train(splits: Splits) -> Splits:
    splits["train"][0][7] = splits["test"][0][9]
    return splits


def append_one(splits: Splits) -> Splits:
    pixels, labels = splits["test"]
    extra = np.roll(pixels[:1], 3, axis=1)
    return {**splits, "test": (np.concatenate([pixels, extra]), np.append(labels, labels[0]))}


def flatten_ink(pixels: np.ndarray) -> np.ndarray:
    """Give each pixel with ink the same value, such that the mean stays."""
    return np.where(pixels > 0, pixels[pixels > 0].mean(), 0).astype(np.uint8)


BOLD = np.where(np.arange(784).reshape(28, 28) % 100 < 49, 255, 0)
NOISE = 1 + np.arange(784).reshape(28, 28) % 200 * (np.arange(784).reshape(28, 28) > 300)
DOT = np.where(np.arange(784).reshape(28, 28) == 400, 255, 0)

WHOLE_DAMAGE: dict[str, tuple[Damage, str]] = {
    "one wrong label": (train(lambda _, y: put(y, 5, (y[5] + 1) % 10)), "no class has fewer"),
    "the last image lost": (keep("train", slice(0, -1)), "train has 60,000 images"),
    "one image too many": (append_one, "test has 10,000 images"),
    "the splits swapped": (
        lambda splits: {"train": splits["test"], "test": splits["train"]},
        "train has 60,000 images",
    ),
    "darker images": (
        lambda splits: {**splits, "test": (splits["test"][0] // 20 * 19, splits["test"][1])},
        "test: the mean pixel",
    ),
}

RAW_DAMAGE: dict[str, tuple[Damage, str]] = {
    "label 12": (train(lambda _, y: put(y, 5, 12)), "each label is a digit"),
    "label -1 as a byte": (train(lambda _, y: put(y, 5, 255)), "each label is a digit"),
    "a class missing": (train(lambda _, y: put(y, y == 3, 5)), "no class has fewer"),
    "a class in excess": (train(lambda _, y: put(y, y == 3, 5)), "no class has more"),
    "skewed classes": (
        train(lambda _, y: put(y, slice(0, 2_000), 0)),
        "train: the classes have MNIST's shares",
    ),
    "skewed test classes": (
        lambda splits: {**splits, "test": (splits["test"][0], splits["test"][1] // 2)},
        "test: the classes have MNIST's shares",
    ),
    "half of the images": (keep("train", slice(0, 2_500)), "there are 10,000 images"),
    "an empty test set": (keep("test", slice(0, 0)), "test has 5,000 images"),
    "an empty training set": (keep("train", slice(0, 0)), "the splits are train and test"),
    "an image twice": (train(lambda x, _: put(x, 8, x[9])), "no image is twice in a split"),
    "a test image in train": (copy_into_train, "no image is in both splits"),
    "the test set from train": (
        lambda splits: {**splits, "test": splits["train"]},
        "no image is in both splits",
    ),
    "a blank image": (train(lambda x, _: put(x, 5, 0)), "each image's largest pixel"),
    "a black image": (train(lambda x, _: put(x, 5, 255)), "each image's smallest pixel"),
    "an inverted image": (train(lambda x, _: put(x, 5, 255 - x[5])), "each image's smallest pixel"),
    "inverted images": (both(lambda x: 255 - x), "test: the mean pixel"),
    "a faint image": (train(lambda x, _: put(x, 5, x[5] // 3)), "each image's largest pixel"),
    "a bold image": (train(lambda x, _: put(x, 5, BOLD)), "each image's mean pixel"),
    "an image of noise": (train(lambda x, _: put(x, 5, NOISE)), "each image's share of ink"),
    "a dot": (train(lambda x, _: put(x, 5, DOT)), "each image's share of ink"),
    "black and white": (both(lambda x: (x > 127) * np.uint8(255)), "train: the mean pixel"),
    "no grey levels": (both(flatten_ink), "train: the mean squared pixel"),
    "test without grey levels": (
        lambda splits: {**splits, "test": (flatten_ink(splits["test"][0]), splits["test"][1])},
        "test: the mean squared pixel",
    ),
}

NORMALIZED_DAMAGE: dict[str, tuple[Damage, str]] = {
    "not a number": (train(lambda x, _: put(x, (5, 9, 9), np.nan)), "each pixel is a finite"),
    "infinite": (train(lambda x, _: put(x, (5, 9, 9), np.inf)), "each pixel is a finite"),
    "below 0": (train(lambda x, _: put(x, (5, 9, 9), -0.1)), "each image's smallest pixel"),
    "above 1": (train(lambda x, _: put(x, (5, 9, 9), 1.5)), "each image's largest pixel"),
    "not divided": (both(lambda x: x * 255), "each image's largest pixel"),
    "divided twice": (both(lambda x: x / 255), "each image's largest pixel"),
    "standardized": (both(lambda x: (x - 0.1307) / 0.3081), "each image's smallest pixel"),
    "from -1 to 1": (both(lambda x: 2 * x - 1), "train: the mean pixel"),
    "divided by 256": (both(lambda x: x * (255 / 256)), "each image is the raw one"),
    "rounded to float16": (both(lambda x: x.astype(np.float16)), "each image is the raw one"),
    "one bit flipped": (
        train(lambda x, _: put(x.view(np.uint32), (5, 9, 9, 0), 1)),
        "each image is the raw one",
    ),
    "transposed": (both(lambda x: x.swapaxes(1, 2)), "each image is the raw one"),
    "mirrored": (both(lambda x: x[:, :, ::-1]), "each image is the raw one"),
    "images in another order": (both(lambda x: x[::-1]), "each image is the raw one"),
    "labels shuffled": (
        train(lambda _, y: np.random.default_rng(1).shuffle(y)),
        "each label is the raw one",
    ),
    "labels off by one": (train(lambda _, y: put(y, ..., (y + 1) % 10)), "each label is the raw"),
    "a class missing": (train(lambda _, y: put(y, y == 3, 5)), "no class has fewer"),
    "skewed classes": (
        train(lambda _, y: put(y, slice(0, 500), 0)),
        "train: the classes have MNIST's shares",
    ),
    "an image lost": (keep("train", slice(0, SAMPLE - 1)), "train has 1,000 images"),
    "the first image lost": (keep("test", slice(1, None)), "each image is the raw one"),
    "an image twice": (train(lambda x, _: put(x, 8, x[9])), "no image is twice in a split"),
    "a test image in train": (copy_into_train, "no image is in both splits"),
}

ROW_DAMAGE: dict[str, tuple[Damage, str]] = {
    "label 1.7": (lambda rows: rows.assign(label=rows["label"] + 0.7), "each label is a digit"),
    "label missing": (
        lambda rows: rows.assign(label=rows["label"].where(rows["index"] > 0)),
        "each image has a label: 2 rows break it, first train 0: label no value; test 0",
    ),
    "no label at all": (lambda rows: rows.assign(label=None), "each image has a label"),
    "a third split": (
        lambda rows: rows.assign(split=rows["split"].where(rows["index"] > 0, "validation")),
        "the splits are train and test",
    ),
    "a column lost": (
        lambda rows: rows.drop(columns="ink"),
        "each image's share of ink is from 0.03 to 0.5: it cannot be computed",
    ),
    "no row": (lambda rows: rows[:0], "there is something to inspect"),
}


def copies(splits: Splits) -> Splits:
    return {split: (array.copy(), labels.copy()) for split, (array, labels) in splits.items()}


@pytest.mark.parametrize("max_images", [10, 100, SAMPLE])
def test_clean_samples_hold(max_images: int, normalized_splits: Splits, raw_splits: Splits) -> None:
    first = {split: (x[:max_images], y[:max_images]) for split, (x, y) in normalized_splits.items()}
    rows = tabulate(first, raw_splits)
    assert broken(Stage("normalized", 1, max_images), rows) == []


@pytest.mark.parametrize("name", WHOLE_DAMAGE)
def test_slight_damage_to_whole_raw_data_is_caught(name: str, raw_splits: Splits) -> None:
    damage, rule = WHOLE_DAMAGE[name]
    assert_named(rule, broken(RAW, tabulate(damage(copies(raw_splits)))))


@pytest.mark.parametrize("name", RAW_DAMAGE)
def test_damage_to_raw_data_is_caught(name: str, raw_splits: Splits) -> None:
    damage, rule = RAW_DAMAGE[name]
    first = {split: (x[:5_000], labels[:5_000]) for split, (x, labels) in raw_splits.items()}
    assert_named(rule, broken(RAW_SAMPLE, tabulate(damage(copies(first)))))


@pytest.mark.parametrize("name", NORMALIZED_DAMAGE)
def test_damage_to_normalized_data_is_caught(
    name: str, normalized_splits: Splits, raw_splits: Splits
) -> None:
    damage, rule = NORMALIZED_DAMAGE[name]
    damaged = damage(copies(normalized_splits))
    splits = {split: (x.astype(np.float32), labels) for split, (x, labels) in damaged.items()}
    assert_named(rule, broken(NORMALIZED, tabulate(splits, raw_splits)))


@pytest.mark.parametrize("name", ROW_DAMAGE)
def test_damage_that_bytes_cannot_hold_is_caught(name: str, normalized_rows: pd.DataFrame) -> None:
    damage, rule = ROW_DAMAGE[name]
    assert_named(rule, broken(NORMALIZED, damage(normalized_rows)))


def test_a_column_without_values_is_caught(normalized_rows: pd.DataFrame) -> None:
    columns = set(normalized_rows.columns) - {"split", "index"}
    found = "\n".join(broken(NORMALIZED, normalized_rows.assign(**dict.fromkeys(columns))))
    for column in columns:
        assert f"2,000 rows break it, first train 0: {column} no value" in found


# The whole stage, on files


@pytest.fixture
def params(tmp_path: Path, params_text: str) -> Path:
    """Parameters that keep the first images of each split."""
    path = tmp_path / "params.yaml"
    path.write_text(params_text.replace("max_images: null", f"max_images: {SAMPLE}"))
    return path


@pytest.fixture
def normalized(tmp_path: Path, normalized_splits: Splits) -> Path:
    """A folder with the clean normalized data, to be damaged."""
    for split, (array, labels) in normalized_splits.items():
        arrays.write_split(tmp_path / "normalized", split, array, labels)
    return tmp_path / "normalized"


@pytest.fixture
def raw_links(tmp_path: Path, raw: Path) -> Path:
    """A folder with links to the clean raw files; replace one to damage it."""
    (tmp_path / "raw").mkdir()
    for file in raw.iterdir():
        (tmp_path / "raw" / file.name).symlink_to(file)
    return tmp_path / "raw"


def replace_labels(folder: Path, split: str, labels: np.ndarray) -> None:
    path = folder / idx.FILE_NAMES[split, "labels"]
    path.unlink()
    path.write_bytes(idx.encode(labels))


def test_clean_data_give_the_same_summary_and_page_again(
    raw: Path, raw_splits: Splits, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    normalized, page = tmp_path / "normalized", tmp_path / "docs" / "index.html"
    for split, (pixels, labels) in raw_splits.items():
        arrays.write_split(normalized, split, arrays.normalize(pixels), labels)
    written = []
    for _ in range(2):
        validate.main(raw, normalized, tmp_path / "new" / "a.json", page.parent, params=PARAMS)
        written.append((tmp_path / "new" / "a.json").read_bytes() + page.read_bytes())
    assert written[0] == written[1]
    report = json.loads((tmp_path / "new" / "a.json").read_bytes())
    assert report["success"] is True
    assert report["images"] == {"raw": 70_000, "normalized": 70_000}
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
        validate.main(raw, normalized, summary, docs, params=params)
    assert summary.read_text() == "former"
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_bad_labels_stop_the_stage_with_rule_and_rows(
    raw_links: Path, normalized: Path, params: Path, raw_splits: Splits, tmp_path: Path
) -> None:
    labels = raw_splits["train"][1].copy()
    labels[[2_000, 3_000]] = 12
    replace_labels(raw_links, "train", labels)
    images, kept = (part.copy() for part in arrays.read_split(normalized, "test"))
    images[3, 0, 0, 0] = np.nan
    arrays.write_split(normalized, "test", images, kept)

    message = fail(raw_links, normalized, params, tmp_path)

    rows = "train 2000: label 12; train 3000: label 12"
    assert (
        f"raw_images: each label is a digit from 0 to 9: 2 rows break it, first {rows}" in message
    )
    assert "train: the classes have MNIST's shares" in message
    assert (
        "normalized_images: each pixel is a finite number: 1 row breaks it, first test 3" in message
    )
    page = tmp_path / "docs" / "index.html"
    assert str(page) in message
    assert rows in page.read_text(encoding="utf-8")


def test_a_missing_class_is_named(
    raw_links: Path, normalized: Path, params: Path, raw_splits: Splits, tmp_path: Path
) -> None:
    labels = raw_splits["test"][1].copy()
    labels[labels == 6] = 7
    replace_labels(raw_links, "test", labels)
    message = fail(raw_links, normalized, params, tmp_path)
    assert "test 6: images 0, fewest 958" in message
    assert "test 7: most 1028, images 1986" in message


@pytest.mark.parametrize(
    ("pixels", "labels", "found"),
    [
        (np.zeros((5, 28, 27), np.uint8), np.zeros(5, np.uint8), "(5, 28, 27)"),
        (np.zeros((5, 28, 28), np.uint8), np.zeros(4, np.uint8), "(4,)"),
        (np.zeros((5, 28, 28), np.uint8), np.zeros((5, 10), np.uint8), "(5, 10)"),
    ],
)
def test_raw_files_of_another_shape_are_refused(
    pixels: np.ndarray, labels: np.ndarray, found: str, params: Path, tmp_path: Path
) -> None:
    drawn.write_split(tmp_path, "train", pixels, labels)
    message = fail(tmp_path, tmp_path, params, tmp_path)
    assert message.startswith(f"{tmp_path}: train: ")
    assert found in message


def test_missing_normalized_data_are_named(raw: Path, params: Path, tmp_path: Path) -> None:
    assert "train_images.npy" in fail(raw, tmp_path / "none", params, tmp_path)


def test_pages_that_cannot_be_written_are_the_machines_fault(
    raw: Path, normalized: Path, params: Path, tmp_path: Path
) -> None:
    (tmp_path / "docs").write_text("a file in the way")
    with pytest.raises(MachineError, match="docs"):
        validate.main(raw, normalized, tmp_path / "validation.json", tmp_path / "docs", params)

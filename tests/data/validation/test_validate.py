"""Tests of the stage `validate`: clean data pass, and each way to damage them is caught."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from convdepth.config.dataset import SPLITS
from convdepth.config.params import read_params
from convdepth.core.errors import DataError, MachineError
from convdepth.data import arrays as images
from convdepth.data import idx
from convdepth.data.validation import frame as tables
from convdepth.data.validation import validate
from convdepth.data.validation.rules import Stage
from convdepth.data.validation.run import Outcome, inspect, open_context

PARAMS = Path(__file__).parents[3] / "params.yaml"
TOLERANCES = read_params(PARAMS).validation
SAMPLE = 1_000
RAW = Stage("raw", full_ink=255)
RAW_SAMPLE = Stage("raw", full_ink=255, max_images=5_000)
NORMALIZED = Stage("normalized", full_ink=1, max_images=SAMPLE)

Splits = dict[str, tuple[np.ndarray, np.ndarray]]
Damage = Callable[[Any], Any]


@pytest.fixture(scope="session")
def raw_splits(raw: Path) -> Splits:
    """The clean raw arrays. Read-only."""
    return {split: idx.read_split(raw, split) for split in SPLITS}


@pytest.fixture(scope="session")
def normalized_splits(raw_splits: Splits) -> Splits:
    """The clean normalized arrays of the first images. Read-only by agreement."""
    return {
        split: (images.normalize(pixels[:SAMPLE]), labels[:SAMPLE])
        for split, (pixels, labels) in raw_splits.items()
    }


@pytest.fixture(scope="session")
def raw_rows(raw_splits: Splits) -> pd.DataFrame:
    """The clean raw table. Read-only by agreement."""
    return tables.tabulate_raw(raw_splits)


@pytest.fixture(scope="session")
def normalized_rows(normalized_splits: Splits, raw_splits: Splits) -> pd.DataFrame:
    """The clean normalized table. Read-only by agreement."""
    return tables.tabulate_normalized(normalized_splits, raw_splits)


def broken(stage: Stage, rows: pd.DataFrame) -> list[str]:
    context = open_context()
    outcomes = [
        outcome
        for table in validate.stage_tables(stage, rows, TOLERANCES)
        for outcome in inspect(context, table)
    ]
    return [show(outcome) for outcome in outcomes if not outcome.holds]


def show(outcome: Outcome) -> str:
    return f"{outcome.rule}: {outcome.reason}"


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


def test_clean_raw_data_hold(raw_rows: pd.DataFrame) -> None:
    assert broken(RAW, raw_rows) == []


@pytest.mark.parametrize("max_images", [10, 100, SAMPLE])
def test_clean_normalized_data_hold(
    max_images: int, normalized_splits: Splits, raw_splits: Splits
) -> None:
    first = {
        split: (array[:max_images], labels[:max_images])
        for split, (array, labels) in normalized_splits.items()
    }
    rows = tables.tabulate_normalized(first, raw_splits)

    assert broken(Stage("normalized", 1, max_images), rows) == []


@pytest.mark.parametrize("name", WHOLE_DAMAGE)
def test_slight_damage_to_whole_raw_data_is_caught(name: str, raw_splits: Splits) -> None:
    damage, rule = WHOLE_DAMAGE[name]

    rows = tables.tabulate_raw(damage(copies(raw_splits)))

    assert_named(rule, broken(RAW, rows))


@pytest.mark.parametrize("name", RAW_DAMAGE)
def test_damage_to_raw_data_is_caught(name: str, raw_splits: Splits) -> None:
    damage, rule = RAW_DAMAGE[name]
    first = {split: (x[:5_000], labels[:5_000]) for split, (x, labels) in raw_splits.items()}

    rows = tables.tabulate_raw(damage(copies(first)))

    assert_named(rule, broken(RAW_SAMPLE, rows))


@pytest.mark.parametrize("name", NORMALIZED_DAMAGE)
def test_damage_to_normalized_data_is_caught(
    name: str, normalized_splits: Splits, raw_splits: Splits
) -> None:
    damage, rule = NORMALIZED_DAMAGE[name]
    damaged = {
        split: (array.astype(np.float32), labels)
        for split, (array, labels) in damage(copies(normalized_splits)).items()
    }

    rows = tables.tabulate_normalized(damaged, raw_splits)

    assert_named(rule, broken(NORMALIZED, rows))


@pytest.mark.parametrize("name", ROW_DAMAGE)
def test_damage_that_bytes_cannot_hold_is_caught(name: str, normalized_rows: pd.DataFrame) -> None:
    damage, rule = ROW_DAMAGE[name]

    assert_named(rule, broken(NORMALIZED, damage(normalized_rows)))


COLUMNS = {
    "split": "in a split",
    "smallest": "smallest pixel",
    "largest": "largest pixel",
    "mean": "mean pixel",
    "mean_square": "mean squared pixel",
    "ink": "share of ink",
    "finite": "known to be finite",
    "digest": "a digest",
    "in_both": "looked for in the other split",
    "raw_label": "a raw label",
    "raw_digest": "a raw image",
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_without_values_is_caught(column: str, normalized_rows: pd.DataFrame) -> None:
    found = broken(NORMALIZED, normalized_rows.assign(**{column: None}))

    assert any(COLUMNS[column] in line and "2,000 rows break it" in line for line in found), found


# The whole stage, on files.


@pytest.fixture
def params(tmp_path: Path, params_text: str) -> Path:
    """Parameters that keep the first images of each split."""
    path = tmp_path / "params.yaml"
    changed = params_text.replace("max_images: null", f"max_images: {SAMPLE}")
    assert changed != params_text
    path.write_text(changed, encoding="utf-8")
    return path


@pytest.fixture
def normalized(tmp_path: Path, normalized_splits: Splits) -> Path:
    """A folder of its own with the clean normalized data."""
    folder = tmp_path / "normalized"
    for split, (array, labels) in normalized_splits.items():
        images.write_split(folder, split, array, labels)
    return folder


@pytest.fixture
def raw_links(tmp_path: Path, raw: Path) -> Path:
    """A folder of its own with links to the clean raw files; replace one to damage it."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for file in raw.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def replace_labels(folder: Path, split: str, labels: np.ndarray) -> None:
    path = folder / idx.FILE_NAMES[split, "labels"]
    path.unlink()
    path.write_bytes(idx.encode(labels))


def test_clean_data_give_a_summary_and_pages(
    raw: Path, normalized: Path, params: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    summary, docs = tmp_path / "metrics" / "validation.json", tmp_path / "docs"

    validate.main(raw, normalized, summary, docs, params=params)

    report = json.loads(summary.read_bytes())
    assert report["success"] is True
    assert report["images"] == {"raw": 70_000, "normalized": 2 * SAMPLE}
    assert report["num_rules"] == len(report["rules"]) >= 28
    assert {
        "table": "raw_images",
        "rule": "each label is a digit from 0 to 9",
        "num_broken": 0,
    } in (report["rules"])
    assert {"table": "raw_images", "rule": "train has 60,000 images", "observed": 60_000} in (
        report["rules"]
    )
    out, err = capfd.readouterr()
    assert out == (
        f"validate: {report['num_rules']} rules hold for 70,000 raw and 2,000 normalized images; "
        f"pages: {docs / 'index.html'}\n"
    )
    assert err == ""


def test_a_whole_run_gives_the_same_bytes_again(
    raw: Path, raw_splits: Splits, tmp_path: Path
) -> None:
    normalized, docs = tmp_path / "normalized", tmp_path / "docs"
    for split, (pixels, labels) in raw_splits.items():
        images.write_split(normalized, split, images.normalize(pixels), labels)

    for name in ("first.json", "second.json"):
        validate.main(raw, normalized, tmp_path / name, docs, params=PARAMS)

    first = (tmp_path / "first.json").read_bytes()
    assert first == (tmp_path / "second.json").read_bytes()
    assert json.loads(first)["images"] == {"raw": 70_000, "normalized": 70_000}
    assert "0.13" in first.decode()


def fail(raw: Path, normalized: Path, params: Path, tmp_path: Path) -> str:
    summary, docs = tmp_path / "validation.json", tmp_path / "docs"
    with pytest.raises(DataError) as caught:
        validate.main(raw, normalized, summary, docs, params=params)
    assert not summary.exists()
    assert str(docs / "index.html") in str(caught.value)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_bad_labels_stop_the_stage_with_rule_and_rows(
    raw_links: Path, normalized: Path, params: Path, raw_splits: Splits, tmp_path: Path
) -> None:
    labels = raw_splits["train"][1].copy()
    labels[[2_000, 3_000]] = 12
    replace_labels(raw_links, "train", labels)

    message = fail(raw_links, normalized, params, tmp_path)

    assert (
        "raw_images: each label is a digit from 0 to 9: 2 rows break it, first "
        "train 2000: label 12; train 3000: label 12"
    ) in message
    assert "train: the classes have MNIST's shares" in message
    assert "found no finite value" in message
    page = (tmp_path / "docs" / "index.html").read_text(encoding="utf-8")
    assert "train 2000: label 12" in page


def test_a_missing_class_is_named(
    raw_links: Path, normalized: Path, params: Path, raw_splits: Splits, tmp_path: Path
) -> None:
    labels = raw_splits["test"][1].copy()
    labels[labels == 6] = 7
    replace_labels(raw_links, "test", labels)

    message = fail(raw_links, normalized, params, tmp_path)

    assert "test 6: images 0, fewest 958" in message
    assert "test 7: most 1028, images 1986" in message


def test_raw_and_normalized_faults_are_reported_together(
    raw_links: Path, normalized: Path, params: Path, raw_splits: Splits, tmp_path: Path
) -> None:
    labels = raw_splits["train"][1].copy()
    labels[50_000] = 12
    replace_labels(raw_links, "train", labels)
    array, kept = (part.copy() for part in images.read_split(normalized, "test"))
    array[3, 0, 0, 0] = np.nan
    images.write_split(normalized, "test", array, kept)

    message = fail(raw_links, normalized, params, tmp_path)

    assert "raw_images: each label is a digit from 0 to 9: 1 row breaks it" in message
    assert (
        "normalized_images: each pixel is a finite number: 1 row breaks it, first test 3" in message
    )


def test_a_damaged_normalized_file_does_not_hide_raw_faults(
    raw_links: Path, normalized: Path, params: Path, tmp_path: Path
) -> None:
    replace_labels(raw_links, "test", np.zeros(10_000, np.uint8))
    (normalized / "train_images.npy").write_bytes(b"not an array")

    message = fail(raw_links, normalized, params, tmp_path)

    assert "normalized: the files of train can be read" in message
    assert "train_images.npy" in message
    assert "raw_classes: no class has fewer images" in message
    assert "normalized_images" not in message


@pytest.mark.parametrize(
    ("pixels", "labels", "found"),
    [
        (np.zeros((5, 28, 27), np.uint8), np.zeros(5, np.uint8), "(5, 28, 27)"),
        (np.zeros((5, 784), np.uint8), np.zeros(5, np.uint8), "(5, 784)"),
        (np.zeros((5, 28, 28), np.uint8), np.zeros(4, np.uint8), "labels of shape (4,)"),
        (np.zeros((5, 28, 28), np.uint8), np.zeros((5, 10), np.uint8), "labels of shape (5, 10)"),
    ],
)
def test_raw_files_of_another_shape_are_refused(
    pixels: np.ndarray,
    labels: np.ndarray,
    found: str,
    normalized: Path,
    params: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "odd"
    for split in SPLITS:
        idx.write_split(folder, split, pixels, labels)

    message = fail(folder, normalized, params, tmp_path)

    assert "raw: the files of train can be read" in message
    assert "raw: the files of test can be read" in message
    assert found in message


def test_normalized_labels_that_are_no_integers_are_refused(
    raw: Path, normalized: Path, params: Path, tmp_path: Path
) -> None:
    np.save(normalized / "test_labels.npy", np.full(SAMPLE, 1.7))

    message = fail(raw, normalized, params, tmp_path)

    assert "test_labels.npy: expected uint8 of shape (n), got float64" in message


def test_missing_folders_are_named(params: Path, tmp_path: Path) -> None:
    message = fail(tmp_path / "no raw", tmp_path / "no normalized", params, tmp_path)

    assert "the data break 4 of 4 rules" in message
    assert "train-images-idx3-ubyte" in message
    assert "test_images.npy" in message


def test_bad_data_leave_a_former_summary_as_it_was(
    raw: Path, normalized: Path, params: Path, tmp_path: Path
) -> None:
    summary = tmp_path / "validation.json"
    summary.write_text("former")
    (normalized / "test_images.npy").unlink()

    with pytest.raises(DataError, match="test_images"):
        validate.main(raw, normalized, summary, tmp_path / "docs", params=params)

    assert summary.read_text() == "former"


def test_pages_that_cannot_be_written_are_the_machines_fault(
    raw: Path, normalized: Path, params: Path, tmp_path: Path
) -> None:
    (tmp_path / "docs").write_text("a file in the way")

    with pytest.raises(MachineError, match="docs"):
        validate.main(raw, normalized, tmp_path / "validation.json", tmp_path / "docs", params)

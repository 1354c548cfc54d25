"""Tests of the data rules by themselves; `test_validate` breaks each of them."""

import numpy as np
import pytest
from drawn import CLASS_COUNTS

from convdepth.config.dataset import SPLIT_SIZES, SPLITS
from convdepth.config.params import Validate
from convdepth.data.validation import rules

TOLERANCES = Validate(
    pixel_mean_tolerance=0.002,
    sample_mean_tolerance=0.01,
    pixel_deviation_tolerance=0.03,
    class_balance_divergence=0.002,
    standard_errors=5,
)
STAGES = [
    rules.Stage("raw", 255),
    rules.Stage("normalized", 1),
    rules.Stage("normalized", 1, max_images=500),
]


def test_the_class_counts_are_those_of_the_whole_mnist() -> None:
    assert rules.CLASS_COUNTS == CLASS_COUNTS
    assert {split: sum(rules.CLASS_COUNTS[split]) for split in SPLITS} == SPLIT_SIZES


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_there_are_many_rules_and_each_says_something_of_its_own(stage: rules.Stage) -> None:
    words = [rule.description for rule in rules.image_rules(stage, TOLERANCES)]

    assert len(words) >= 14
    assert all(words)
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_each_column_that_a_rule_looks_at_must_have_values(stage: rules.Stage) -> None:
    expectations = rules.image_rules(stage, TOLERANCES)
    named = [
        name
        for rule in expectations
        for name in (
            getattr(rule, "column", None),
            getattr(rule, "column_A", None),
            getattr(rule, "column_B", None),
            *getattr(rule, "column_list", ()),
        )
        if name
    ]
    not_null = {
        rule.column
        for rule in expectations
        if type(rule).__name__ == "ExpectColumnValuesToNotBeNull"
    }

    assert set(named) == not_null


@pytest.mark.parametrize(
    ("max_images", "train", "test"),
    [(None, 60_000, 10_000), (500, 500, 500), (20_000, 20_000, 10_000), (90_000, 60_000, 10_000)],
)
def test_a_split_has_at_most_max_images(max_images: int | None, train: int, test: int) -> None:
    stage = rules.Stage("normalized", 1, max_images)

    assert (stage.size("train"), stage.size("test")) == (train, test)


@pytest.mark.parametrize("split", SPLITS)
def test_a_whole_split_has_exactly_the_images_of_mnist(split: str) -> None:
    for digit, count in enumerate(CLASS_COUNTS[split]):
        assert rules.class_range(split, digit, SPLIT_SIZES[split], 5) == (count, count)


@pytest.mark.parametrize("num_images", [10, 500, 5_000])
def test_a_sample_has_as_many_images_of_a_class_as_chance_allows(num_images: int) -> None:
    # An independent source of the same distribution: numpy draws from it.
    ones = CLASS_COUNTS["test"][1]
    drawn = np.random.default_rng(1).hypergeometric(ones, 10_000 - ones, num_images, size=20_000)

    wide = rules.class_range("test", 1, num_images, standard_errors=6)
    narrow = rules.class_range("test", 1, num_images, standard_errors=1)

    assert wide[0] <= drawn.min()
    assert drawn.max() <= wide[1]
    inside = np.mean((narrow[0] <= drawn) & (drawn <= narrow[1]))
    assert 0.55 < inside < 0.8


def test_a_small_sample_may_miss_a_class_and_a_large_one_may_not() -> None:
    assert rules.class_range("train", 5, 10, 5)[0] == 0
    assert rules.class_range("train", 5, 2_000, 5)[0] > 100


def test_a_larger_sample_must_be_nearer_to_mnist() -> None:
    allowed = [
        rule.threshold
        for size in (10, 100, 1_000, 10_000)
        for rule in rules.image_rules(rules.Stage("normalized", 1, size), TOLERANCES)
        if (rule.description or "").startswith("test: the classes")
    ]

    assert allowed == sorted(allowed, reverse=True)
    assert allowed[-1] == TOLERANCES.class_balance_divergence

"""The data rules by themselves; `test_validate` breaks each of them."""

import numpy as np
import pytest
from drawn import CLASS_COUNTS

from conftest import PROJECT
from convdepth.config.dataset import SPLIT_SIZES, SPLITS
from convdepth.config.params import read_params
from convdepth.data.validation import rules


def test_the_class_counts_are_those_of_the_whole_mnist() -> None:
    assert rules.CLASS_COUNTS == CLASS_COUNTS
    assert {split: sum(rules.CLASS_COUNTS[split]) for split in SPLITS} == SPLIT_SIZES


@pytest.mark.parametrize("stage", [rules.Stage("raw", 255), rules.Stage("normalized", 1, 500)])
def test_each_column_of_a_rule_must_have_values(stage: rules.Stage) -> None:
    expectations = rules.image_rules(stage, read_params(PROJECT / "params.yaml").validation)
    attributes = ("column", "column_A", "column_B")
    columns = {getattr(rule, name, None) for rule in expectations for name in attributes} - {None}
    assert columns == {each.column for each in expectations if isinstance(each, rules.NotNull)}
    assert len({rule.description for rule in expectations}) == len(expectations) > 20


@pytest.mark.parametrize(
    ("max_images", "train", "test"),
    [(None, 60_000, 10_000), (500, 500, 500), (20_000, 20_000, 10_000), (90_000, 60_000, 10_000)],
)
def test_a_split_has_at_most_max_images(max_images: int | None, train: int, test: int) -> None:
    stage = rules.Stage("normalized", 1, max_images)
    assert (stage.size("train"), stage.size("test")) == (train, test)


@pytest.mark.parametrize("num_images", [10, 500, 5_000])
def test_a_sample_has_as_many_images_of_a_class_as_chance_allows(num_images: int) -> None:
    # An independent source of the same distribution: numpy draws from it.
    ones = CLASS_COUNTS["test"][1]
    drawn = np.random.default_rng(1).hypergeometric(ones, 10_000 - ones, num_images, size=20_000)
    wide = rules.class_range("test", 1, num_images, standard_errors=6)
    narrow = rules.class_range("test", 1, num_images, standard_errors=1)
    assert wide[0] <= drawn.min()
    assert drawn.max() <= wide[1]
    assert 0.55 < np.mean((narrow[0] <= drawn) & (drawn <= narrow[1])) < 0.8

"""What is expected of the data: the rules, as Great Expectations' expectations.

Each rule's ``description`` says it in words; these words stand on the pages, in the summary and in
an error. Great Expectations passes over what is missing: a column without any value is in every
range, and a table without rows keeps every rule about a column. So each column has a rule that no
value is missing, and each table has its number of rows.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

from convdepth.config.dataset import NUM_CLASSES, SPLIT_SIZES, SPLITS
from convdepth.config.params import Validate

with warnings.catch_warnings():
    # It imports a module that Python has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import great_expectations.expectations as gxe
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.row_conditions import Column

CLASS_COUNTS = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
"""MNIST's number of images of each digit, counted in its label files."""

PIXEL_MEAN = 0.13066
"""Mean of all pixels of MNIST's training images, on the scale from 0 to 1."""

PIXEL_DEVIATION = 0.30811
"""Standard deviation of the same pixels."""

IMAGE_MEAN_DEVIATION = 0.0433
"""Standard deviation, over MNIST's training images, of an image's mean pixel."""

IMAGE_MEAN_SQUARE_DEVIATION = 0.0407
"""Standard deviation, over MNIST's training images, of an image's mean squared pixel."""

MEAN_RANGE = (0.02, 0.45)
"""A little more than the mean pixel of MNIST's faintest and boldest image, 0.0254 and 0.3976."""

INK_RANGE = (0.03, 0.50)
"""A little more than the least and the most ink on an image of MNIST, 0.0434 and 0.4477."""

FAINTEST_STROKE = 0.5
"""The least that the darkest pixel of an image may have; in MNIST it is 0.996 or 1."""


@dataclass(frozen=True)
class Stage:
    """A stage's output that is looked at.

    Attributes:
        name: ``raw`` or ``normalized``.
        full_ink: The largest pixel value, 255 or 1.
        max_images: At most so many images of each split are in it; none: all.
    """

    name: str
    full_ink: int
    max_images: int | None = None

    def size(self, split: str) -> int:
        """The number of images that a split has in this stage."""
        whole = SPLIT_SIZES[split]
        return min(self.max_images or whole, whole)


def image_rules(stage: Stage, tolerances: Validate) -> list[Expectation]:
    """List the rules for a table with one row per image.

    Args:
        stage: Which table, as `tables.tabulate_raw` or `tables.tabulate_normalized` makes it.
        tolerances: How far the data may be from MNIST.

    Returns:
        Expectations, each with its rule in words, which no other one has, as its description.
    """
    rules = [*_row_rules(stage), *_label_rules(), *_pixel_rules(stage), *_digest_rules()]
    for split in SPLITS:
        rules += _split_rules(stage, split, tolerances)
    return rules + _origin_rules() if stage.name == "normalized" else rules


def class_rules() -> list[Expectation]:
    """List the rules for a table with one row per split and class.

    Returns:
        Expectations for the columns ``images``, ``fewest`` and ``most``, described as those of
        `image_rules`.
    """
    return [
        gxe.ExpectTableRowCountToEqual(
            value=len(SPLITS) * NUM_CLASSES, description="each split has a row for each class"
        ),
        _not_null("images", "each class is counted"),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="images",
            column_B="fewest",
            or_equal=True,
            description="no class has fewer images than MNIST has, or a sample of it can have",
        ),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="most",
            column_B="images",
            or_equal=True,
            description="no class has more images than MNIST has, or a sample of it can have",
        ),
    ]


def class_range(split: str, digit: int, num_images: int, standard_errors: float) -> tuple[int, int]:
    """Give the fewest and the most images of a class that a split's first images can have.

    The number is taken to be hypergeometric (images drawn without putting back), with the mean
    ``n K / N`` and the variance ``n K/N (1 - K/N) (N - n)/(N - 1)``. For the whole split the
    variance is 0: the class has exactly MNIST's number of images.

    Args:
        split: ``train`` or ``test``.
        digit: 0 to 9.
        num_images: How many of the split's images there are, at most all.
        standard_errors: How many standard errors around the mean are allowed.

    Returns:
        Fewest and most, both allowed.
    """
    share = CLASS_COUNTS[split][digit] / SPLIT_SIZES[split]
    variance = num_images * share * (1 - share) * _unseen(split, num_images)
    middle, margin = num_images * share, standard_errors * math.sqrt(variance)
    # Rounded, so that 5922.999999 counts as 5923.
    fewest, most = round(middle - margin, 6), round(middle + margin, 6)
    return max(0, math.ceil(fewest)), math.floor(most)


def _unseen(split: str, num_images: int) -> float:
    """The finite population correction: 1 for a tiny sample, 0 for the whole split."""
    whole = SPLIT_SIZES[split]
    return (whole - num_images) / (whole - 1)


def _not_null(column: str, description: str) -> Expectation:
    return gxe.ExpectColumnValuesToNotBeNull(column=column, description=description)


def _row_rules(stage: Stage) -> list[Expectation]:
    total = sum(stage.size(split) for split in SPLITS)
    return [
        gxe.ExpectTableRowCountToEqual(value=total, description=f"there are {total:,} images"),
        _not_null("split", "each image is in a split"),
        gxe.ExpectColumnDistinctValuesToEqualSet(
            column="split", value_set=list(SPLITS), description="the splits are train and test"
        ),
    ]


def _label_rules() -> list[Expectation]:
    return [
        _not_null("label", "each image has a label"),
        gxe.ExpectColumnValuesToBeInSet(
            column="label",
            value_set=list(range(NUM_CLASSES)),
            description="each label is a digit from 0 to 9",
        ),
    ]


def _pixel_rules(stage: Stage) -> list[Expectation]:
    full = stage.full_ink
    ranges: list[tuple[str, str, float, float]] = [
        ("smallest", "smallest pixel", 0, 0),
        ("largest", "largest pixel", FAINTEST_STROKE * full, full),
        ("mean", "mean pixel", MEAN_RANGE[0] * full, MEAN_RANGE[1] * full),
        ("ink", "share of ink", *INK_RANGE),
    ]
    rules = [_not_null("mean_square", "each image has a mean squared pixel")]
    for column, words, least, most in ranges:
        rules += _range_rules(column, words, least, most)
    return [
        *rules,
        _not_null("finite", "each image is known to be finite or not"),
        _all_equal("finite", True, "each pixel is a finite number"),
    ]


def _range_rules(column: str, words: str, least: float, most: float) -> list[Expectation]:
    span = f"{least:g}" if least == most else f"from {least:g} to {most:g}"
    return [
        _not_null(column, f"each image has a {words}"),
        gxe.ExpectColumnValuesToBeBetween(
            column=column,
            min_value=least,
            max_value=most,
            description=f"each image's {words} is {span}",
        ),
    ]


def _all_equal(column: str, value: bool, description: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(
        column=column, value_set=[value], description=description
    )


def _digest_rules() -> list[Expectation]:
    return [
        _not_null("digest", "each image has a digest"),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["split", "digest"], description="no image is twice in a split"
        ),
        _not_null("in_both", "each image is looked for in the other split"),
        _all_equal("in_both", False, "no image is in both splits"),
    ]


def _split_rules(stage: Stage, split: str, tolerances: Validate) -> list[Expectation]:
    size, in_split = stage.size(split), Column("split") == split
    return [
        gxe.ExpectTableRowCountToEqual(
            value=size, row_condition=in_split, description=f"{split} has {size:,} images"
        ),
        _mean_rule(stage, split, tolerances),
        _deviation_rule(stage, split, tolerances),
        _balance_rule(size, split, tolerances),
    ]


def _mean_rule(stage: Stage, split: str, tolerances: Validate) -> Expectation:
    size = stage.size(split)
    margin = tolerances.pixel_mean_tolerance
    if size < SPLIT_SIZES[split]:
        error = IMAGE_MEAN_DEVIATION * math.sqrt(_unseen(split, size) / size)
        margin = tolerances.sample_mean_tolerance + tolerances.standard_errors * error
    least, most = (stage.full_ink * (PIXEL_MEAN + sign * margin) for sign in (-1, 1))
    return _average_rule(split, "mean", "the mean pixel", least, most)


def _deviation_rule(stage: Stage, split: str, tolerances: Validate) -> Expectation:
    size = stage.size(split)
    error = IMAGE_MEAN_SQUARE_DEVIATION * math.sqrt(_unseen(split, size) / size)
    # The mean of the squares is the square of the mean and of the deviation; unlike the
    # deviation, it is an average over the images.
    least, most = (
        PIXEL_MEAN**2
        + (PIXEL_DEVIATION + sign * tolerances.pixel_deviation_tolerance) ** 2
        + sign * tolerances.standard_errors * error
        for sign in (-1, 1)
    )
    scale = stage.full_ink**2
    return _average_rule(
        split, "mean_square", "the mean squared pixel", scale * least, scale * most
    )


def _average_rule(split: str, column: str, words: str, least: float, most: float) -> Expectation:
    return gxe.ExpectColumnMeanToBeBetween(
        column=column,
        min_value=least,
        max_value=most,
        row_condition=Column("split") == split,
        description=f"{split}: {words} is from {least:.6g} to {most:.6g}",
    )


def _balance_rule(size: int, split: str, tolerances: Validate) -> Expectation:
    # Wilks: 2 n times the divergence of a sample follows chi-squared, here with 9 degrees of
    # freedom, so with the mean 9 and the variance 18.
    freedom = NUM_CLASSES - 1
    chi_squared = freedom + tolerances.standard_errors * math.sqrt(2 * freedom)
    sampling = chi_squared / (2 * size) * _unseen(split, size)
    allowed = tolerances.class_balance_divergence + sampling
    shares: dict[str, Any] = {
        "values": list(range(NUM_CLASSES)),
        "weights": [count / SPLIT_SIZES[split] for count in CLASS_COUNTS[split]],
    }
    return gxe.ExpectColumnKLDivergenceToBeLessThan(
        column="label",
        partition_object=shares,
        threshold=allowed,
        row_condition=Column("split") == split,
        description=f"{split}: the classes have MNIST's shares, to a divergence of {allowed:.4g}",
    )


def _origin_rules() -> list[Expectation]:
    return [
        _not_null("raw_label", "each image has a raw label"),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="label", column_B="raw_label", description="each label is the raw one"
        ),
        _not_null("raw_digest", "each image has a raw image"),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="digest",
            column_B="raw_digest",
            description="each image is the raw one divided by 255",
        ),
    ]

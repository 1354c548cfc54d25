"""The data rules, as expectations of Great Expectations.

To add a rule, add one line to `image_rules` or `class_rules`; the summary, the pages and the errors
show its description. Great Expectations skips missing values, so each column also needs
`_not_null`, and each table its number of rows.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convdepth.config.dataset import NUM_CLASSES, SPLIT_SIZES, SPLITS
from convdepth.config.params import Validate

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports a deprecated module
    import great_expectations.expectations as gxe
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.row_conditions import Column

CLASS_COUNTS = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
"""Images of each digit in MNIST."""

# MNIST's training images, on the scale from 0 to 1: mean and standard deviation of all pixels, and
# the standard deviation over the images of their mean pixel and of their mean squared pixel.
PIXEL_MEAN, PIXEL_DEVIATION = 0.13066, 0.30811
IMAGE_MEAN_DEVIATION, IMAGE_MEAN_SQUARE_DEVIATION = 0.0433, 0.0407

# Bounds for one image, a little wider than MNIST's own range in the comment.
LARGEST_PIXEL_RANGE = (0.5, 1)  # 0.996 to 1
MEAN_RANGE = (0.02, 0.45)  # 0.0254 to 0.3976
INK_RANGE = (0.03, 0.50)  # 0.0434 to 0.4477


@dataclass(frozen=True)
class Stage:
    """Output of a stage.

    Attributes:
        name: ``raw`` or ``normalized``.
        full_ink: The largest pixel value, 255 or 1.
        max_images: Images of each split at most; None for all.
    """

    name: str
    full_ink: int
    max_images: int | None = None

    def size(self, split: str) -> int:
        """Return the number of images of a split."""
        return min(self.max_images or SPLIT_SIZES[split], SPLIT_SIZES[split])


def image_rules(stage: Stage, tolerances: Validate) -> list[Expectation]:
    """List the rules for a table of `frame` with one row per image.

    Args:
        stage: ``raw`` or ``normalized``.
        tolerances: Allowed distance from MNIST.
    """
    full, total = stage.full_ink, sum(map(stage.size, SPLITS))
    rules = [
        gxe.ExpectTableRowCountToEqual(value=total, description=f"there are {total:,} images"),
        _not_null("split", "each image is in a split"),
        gxe.ExpectColumnDistinctValuesToEqualSet(
            column="split", value_set=list(SPLITS), description="the splits are train and test"
        ),
        _not_null("label", "each image has a label"),
        _one_of("label", range(NUM_CLASSES), "each label is a digit from 0 to 9"),
        _not_null("mean_square", "each image has a mean squared pixel"),
        *_in_range("smallest", "smallest pixel", (0, 0)),
        *_in_range("largest", "largest pixel", LARGEST_PIXEL_RANGE, full),
        *_in_range("mean", "mean pixel", MEAN_RANGE, full),
        *_in_range("ink", "share of ink", INK_RANGE),
        _not_null("finite", "each image is known to be finite or not"),
        _one_of("finite", [True], "each pixel is a finite number"),
        _not_null("digest", "each image has a digest"),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["split", "digest"], description="no image is twice in a split"
        ),
        _not_null("in_both", "each image is looked for in the other split"),
        _one_of("in_both", [False], "no image is in both splits"),
        *(rule for split in SPLITS for rule in _split_rules(stage, split, tolerances)),
    ]
    if stage.name == "raw":
        return rules
    return [
        *rules,
        _not_null("raw_label", "each image has a raw label"),
        _equal("label", "raw_label", "each label is the raw one"),
        _not_null("raw_digest", "each image has a raw image"),
        _equal("digest", "raw_digest", "each image is the raw one divided by 255"),
    ]


def class_rules() -> list[Expectation]:
    """List the rules for a table of one row per class: columns ``images``, ``fewest``, ``most``."""
    have = "images than MNIST has, or a sample of it can have"
    return [
        gxe.ExpectTableRowCountToEqual(
            value=len(SPLITS) * NUM_CLASSES, description="each split has a row for each class"
        ),
        _not_null("images", "each class is counted"),
        _at_least("images", "fewest", f"no class has fewer {have}"),
        _at_least("most", "images", f"no class has more {have}"),
    ]


def class_range(split: str, digit: int, num_images: int, standard_errors: float) -> tuple[int, int]:
    """Return the fewest and most images of a class that a split's first images can have.

    The number is hypergeometric, with mean ``n K / N`` and variance
    ``n K/N (1 - K/N) (N - n)/(N - 1)``. For the whole split the variance is 0.

    Args:
        split: ``train`` or ``test``.
        digit: 0 to 9.
        num_images: Images of the split, at most all.
        standard_errors: Allowed distance from the mean.
    """
    share = CLASS_COUNTS[split][digit] / SPLIT_SIZES[split]
    variance = num_images * share * (1 - share) * _unseen(split, num_images)
    middle, margin = num_images * share, standard_errors * math.sqrt(variance)
    # Rounded, so that 5922.999999 counts as 5923.
    fewest, most = round(middle - margin, 6), round(middle + margin, 6)
    return max(0, math.ceil(fewest)), math.floor(most)


def _unseen(split: str, num_images: int) -> float:
    # The finite population correction: 0 for the whole split.
    return (SPLIT_SIZES[split] - num_images) / (SPLIT_SIZES[split] - 1)


def _not_null(column: str, description: str) -> Expectation:
    return gxe.ExpectColumnValuesToNotBeNull(column=column, description=description)


def _one_of(column: str, values: Sequence[Any], description: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(
        column=column, value_set=list(values), description=description
    )


def _in_range(
    column: str, words: str, bounds: tuple[float, float], scale: int = 1
) -> list[Expectation]:
    least, most = (scale * bound for bound in bounds)
    span = f"{least:g}" if least == most else f"from {least:g} to {most:g}"
    description = f"each image's {words} is {span}"
    return [
        _not_null(column, f"each image has a {words}"),
        gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=least, max_value=most, description=description
        ),
    ]


def _equal(first: str, second: str, description: str) -> Expectation:
    return gxe.ExpectColumnPairValuesToBeEqual(
        column_A=first, column_B=second, description=description
    )


def _at_least(larger: str, smaller: str, description: str) -> Expectation:
    return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=larger, column_B=smaller, or_equal=True, description=description
    )


def _split_rules(stage: Stage, split: str, tolerances: Validate) -> list[Expectation]:
    size, full, in_split = stage.size(split), stage.full_ink, Column("split") == split
    errors = tolerances.standard_errors * math.sqrt(_unseen(split, size) / size)
    margin = tolerances.pixel_mean_tolerance
    if size < SPLIT_SIZES[split]:
        margin = tolerances.sample_mean_tolerance + IMAGE_MEAN_DEVIATION * errors
    mean = [PIXEL_MEAN - margin, PIXEL_MEAN + margin]
    # Mean of the squares: square of the mean plus square of the standard deviation. Unlike the
    # deviation, it is an average over the images.
    mean_square = [
        PIXEL_MEAN**2
        + (PIXEL_DEVIATION + sign * tolerances.pixel_deviation_tolerance) ** 2
        + sign * errors * IMAGE_MEAN_SQUARE_DEVIATION
        for sign in (-1, 1)
    ]
    return [
        gxe.ExpectTableRowCountToEqual(
            value=size, row_condition=in_split, description=f"{split} has {size:,} images"
        ),
        _mean_in_range(split, "mean", "the mean pixel", mean, full),
        _mean_in_range(split, "mean_square", "the mean squared pixel", mean_square, full**2),
        _balance(split, size, tolerances),
    ]


def _mean_in_range(
    split: str, column: str, words: str, bounds: Sequence[float], scale: int
) -> Expectation:
    least, most = (scale * bound for bound in bounds)
    return gxe.ExpectColumnMeanToBeBetween(
        column=column,
        min_value=least,
        max_value=most,
        row_condition=Column("split") == split,
        description=f"{split}: {words} is from {least:.6g} to {most:.6g}",
    )


def _balance(split: str, size: int, tolerances: Validate) -> Expectation:
    # Wilks: 2 n times the divergence of a sample is chi-squared distributed, here with 9 degrees
    # of freedom, so with mean 9 and variance 18.
    freedom = NUM_CLASSES - 1
    chi_squared = freedom + tolerances.standard_errors * math.sqrt(2 * freedom)
    sampling = chi_squared / (2 * size) * _unseen(split, size)
    allowed = tolerances.class_balance_divergence + sampling
    weights = [count / SPLIT_SIZES[split] for count in CLASS_COUNTS[split]]
    return gxe.ExpectColumnKLDivergenceToBeLessThan(
        column="label",
        partition_object={"values": list(range(NUM_CLASSES)), "weights": weights},
        threshold=allowed,
        row_condition=Column("split") == split,
        description=f"{split}: the classes have MNIST's shares, to a divergence of {allowed:.4g}",
    )

"""The data rules, as expectations of Great Expectations.

To add a rule, add one line to `image_rules` or `class_rules`; the summary, the pages and the errors
show its description. Great Expectations skips missing values, so each column also needs `NotNull`,
and each table its `RowCount`.
"""

import math
import warnings
from dataclasses import dataclass

from convdepth.config.dataset import NUM_CLASSES, SPLIT_SIZES, SPLITS
from convdepth.config.params import Validate

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports a deprecated module
    import great_expectations.expectations as gxe
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.row_conditions import Column

RowCount = gxe.ExpectTableRowCountToEqual
NotNull = gxe.ExpectColumnValuesToNotBeNull
OneOf = gxe.ExpectColumnValuesToBeInSet
Equal = gxe.ExpectColumnPairValuesToBeEqual
AtLeast = gxe.ExpectColumnPairValuesAToBeGreaterThanB

DIGITS = list(range(NUM_CLASSES))

CLASS_COUNTS = {  # images of each digit in MNIST
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}

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
    """Output of a stage: ``raw`` or ``normalized``."""

    name: str
    full_ink: int  # the largest pixel value, 255 or 1
    max_images: int | None = None  # images of each split at most; None for all

    def size(self, split: str) -> int:
        """Return the number of images of a split."""
        return min(self.max_images or SPLIT_SIZES[split], SPLIT_SIZES[split])


def image_rules(stage: Stage, tolerances: Validate) -> list[Expectation]:
    """List the rules for a table of `frame` with one row per image."""
    full, total = stage.full_ink, sum(map(stage.size, SPLITS))
    rules = [
        RowCount(value=total, description=f"there are {total:,} images"),
        NotNull(column="split", description="each image is in a split"),
        gxe.ExpectColumnDistinctValuesToEqualSet(
            column="split", value_set=list(SPLITS), description="the splits are train and test"
        ),
        NotNull(column="label", description="each image has a label"),
        OneOf(column="label", value_set=DIGITS, description="each label is a digit from 0 to 9"),
        NotNull(column="mean_square", description="each image has a mean squared pixel"),
        *_in_range("smallest", "smallest pixel", (0, 0)),
        *_in_range("largest", "largest pixel", LARGEST_PIXEL_RANGE, full),
        *_in_range("mean", "mean pixel", MEAN_RANGE, full),
        *_in_range("ink", "share of ink", INK_RANGE),
        NotNull(column="finite", description="each image is known to be finite or not"),
        OneOf(column="finite", value_set=[True], description="each pixel is a finite number"),
        NotNull(column="digest", description="each image has a digest"),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["split", "digest"], description="no image is twice in a split"
        ),
        NotNull(column="in_both", description="each image is looked for in the other split"),
        OneOf(column="in_both", value_set=[False], description="no image is in both splits"),
        *(rule for split in SPLITS for rule in _split_rules(stage, split, tolerances)),
    ]
    if stage.name == "raw":
        return rules
    divided = "each image is the raw one divided by 255"
    return [
        *rules,
        NotNull(column="raw_label", description="each image has a raw label"),
        Equal(column_A="label", column_B="raw_label", description="each label is the raw one"),
        NotNull(column="raw_digest", description="each image has a raw image"),
        Equal(column_A="digest", column_B="raw_digest", description=divided),
    ]


def class_rules() -> list[Expectation]:
    """List the rules for a table of one row per class: columns ``images``, ``fewest``, ``most``."""
    have = "images than MNIST has, or a sample of it can have"
    rows = len(SPLITS) * NUM_CLASSES
    return [
        RowCount(value=rows, description="each split has a row for each class"),
        NotNull(column="images", description="each class is counted"),
        AtLeast(
            column_A="images",
            column_B="fewest",
            or_equal=True,
            description=f"no class has fewer {have}",
        ),
        AtLeast(
            column_A="most",
            column_B="images",
            or_equal=True,
            description=f"no class has more {have}",
        ),
    ]


def class_range(split: str, digit: int, num_images: int, standard_errors: float) -> tuple[int, int]:
    """Return the fewest and most images of a class that a split's first images can have.

    The number is hypergeometric, with mean ``n K / N`` and variance
    ``n K/N (1 - K/N) (N - n)/(N - 1)``. For the whole split the variance is 0.
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


def _in_range(
    column: str, words: str, bounds: tuple[float, float], scale: int = 1
) -> list[Expectation]:
    least, most = (scale * bound for bound in bounds)
    span = f"{least:g}" if least == most else f"from {least:g} to {most:g}"
    description = f"each image's {words} is {span}"
    return [
        NotNull(column=column, description=f"each image has a {words}"),
        gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=least, max_value=most, description=description
        ),
    ]


def _split_rules(stage: Stage, split: str, tolerances: Validate) -> list[Expectation]:
    size, full, in_split = stage.size(split), stage.full_ink, Column("split") == split
    errors = tolerances.standard_errors * math.sqrt(_unseen(split, size) / size)
    margin = tolerances.pixel_mean_tolerance
    if size < SPLIT_SIZES[split]:
        margin = tolerances.sample_mean_tolerance + IMAGE_MEAN_DEVIATION * errors
    # Mean of the squares: square of the mean plus square of the standard deviation. Unlike the
    # deviation, it is an average over the images.
    mean_square = [
        PIXEL_MEAN**2
        + (PIXEL_DEVIATION + sign * tolerances.pixel_deviation_tolerance) ** 2
        + sign * errors * IMAGE_MEAN_SQUARE_DEVIATION
        for sign in (-1, 1)
    ]
    means = (
        ("mean", "mean pixel", full, (PIXEL_MEAN - margin, PIXEL_MEAN + margin)),
        ("mean_square", "mean squared pixel", full**2, mean_square),
    )
    return [
        RowCount(value=size, row_condition=in_split, description=f"{split} has {size:,} images"),
        *(
            gxe.ExpectColumnMeanToBeBetween(
                column=column,
                min_value=scale * least,
                max_value=scale * most,
                row_condition=in_split,
                description=f"{split}: the {words} is from {scale * least:.6g} to "
                f"{scale * most:.6g}",
            )
            for column, words, scale, (least, most) in means
        ),
        _balance(split, size, tolerances),
    ]


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
        partition_object={"values": DIGITS, "weights": weights},
        threshold=allowed,
        row_condition=Column("split") == split,
        description=f"{split}: the classes have MNIST's shares, to a divergence of {allowed:.4g}",
    )

"""Whether two networks differ in what they get right, beyond what chance would do.

Both have answered the same images, so only those count that one has right and the other wrong.
Of two trainings, `mcnemar` tells whether they differ; of what trains them, `mean_p`, over seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from convdepth.core.errors import DataError

LEVEL = 0.05
"""Below this corrected p there is evidence of a difference."""

NO_EVIDENCE = "no evidence of a difference"


@dataclass(frozen=True)
class Paired:
    """Two networks' answers to the same images.

    Attributes:
        images: How many there are.
        both: How many both have right.
        only_first: How many only the first has right.
        only_second: How many only the second has right.
        differing: To how many they give different answers, right or wrong.
    """

    images: int
    both: int
    only_first: int
    only_second: int
    differing: int

    @property
    def first_accuracy(self) -> float:
        """The share that the first has right, 0 to 1."""
        return (self.both + self.only_first) / self.images

    @property
    def second_accuracy(self) -> float:
        """The share that the second has right, 0 to 1."""
        return (self.both + self.only_second) / self.images

    @property
    def difference(self) -> float:
        """The accuracy of the second less that of the first, -1 to 1."""
        return (self.only_second - self.only_first) / self.images

    @property
    def p(self) -> float:
        """The p of `mcnemar`."""
        return mcnemar(self.only_first, self.only_second)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference, see `difference_interval`."""
        return difference_interval(self.only_first, self.only_second, self.images)


def pair(first: pd.DataFrame, second: pd.DataFrame) -> Paired:
    """Put the answers of two networks to the same images side by side.

    Args:
        first: One row per image with index, label and predicted (0 to 9).
        second: The same of the other network. Only the images that both have are compared.

    Returns:
        The counts.

    Raises:
        DataError: No image is in both, or one has different labels.
    """
    joined = first.merge(second, on="index", suffixes=("_first", "_second"), validate="1:1")
    if joined.empty:
        raise DataError("the two have no image in common, so they cannot be compared")
    wrong = joined["index"][joined["label_first"] != joined["label_second"]]
    if len(wrong):
        raise DataError(
            f"image {wrong.iloc[0]} and {len(wrong) - 1} more have different labels in the two: "
            f"they are not the same images, so they cannot be compared"
        )
    right = joined["predicted_first"] == joined["label_first"]
    other = joined["predicted_second"] == joined["label_second"]
    return Paired(
        images=len(joined),
        both=int((right & other).sum()),
        only_first=int((right & ~other).sum()),
        only_second=int((~right & other).sum()),
        differing=int((joined["predicted_first"] != joined["predicted_second"]).sum()),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Test whether two networks are equally often right, exactly (McNemar 1947).

    If they were, each image that only one has right would be as likely the one's as the other's.

    Args:
        only_first: How many images only the first has right.
        only_second: How many only the second has right.

    Returns:
        The two-sided p, 0 to 1; 1 if there is no such image.
    """
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def difference_interval(only_first: int, only_second: int, images: int) -> tuple[float, float]:
    """Bound the difference of two accuracies on the same images.

    Wald's interval with one image added to each kind of discordance, which holds its 95 % also
    where there are few (Bonett and Price 2012, doi:10.3102/1076998611411915).

    Args:
        only_first: How many images only the first has right.
        only_second: How many only the second has right.
        images: How many there are.

    Returns:
        The lower and the upper end of what the second has more, -1 to 1.
    """
    first, second = (only_first + 1) / (images + 2), (only_second + 1) / (images + 2)
    middle = second - first
    error = math.sqrt((first + second - middle**2) / (images + 2))
    reach = float(norm.ppf(0.975)) * error
    return max(-1.0, middle - reach), min(1.0, middle + reach)


def mean_p(differences: NDArray[Any]) -> float | None:
    """Test whether a mean over seeds and images is zero, with other seeds and other images in mind.

    Seeds and images are both random and each meets each: an analysis of variance with two crossed
    random factors, as for several readers of the same X-ray pictures (Dorfman, Berbaum and Metz
    1992), with the degrees of freedom of Hillis (2007, doi:10.1002/sim.2532). A few seeds make them
    few, so that it holds its level where an interval by bootstrap is too narrow.

    Args:
        differences: ``(seeds, images)``: what the second network has more than the first, such as
            -1, 0 or 1, trained with the same seed and asked for the same image.

    Returns:
        The two-sided p, 0 to 1; None where a single seed tells nothing of others.
    """
    values = np.asarray(differences, np.float64)
    seeds, images = values.shape
    if seeds == 1:
        return None
    mean = values.mean()
    of_seeds = values.mean(axis=1, keepdims=True) - mean
    of_images = values.mean(axis=0, keepdims=True) - mean
    rest = values - mean - of_seeds - of_images
    square_seeds = images * np.sum(of_seeds**2) / (seeds - 1)
    square_images = seeds * np.sum(of_images**2) / max(1, images - 1)
    square_rest = np.sum(rest**2) / ((seeds - 1) * max(1, images - 1))
    square = square_seeds + max(0.0, square_images - square_rest)
    if square == 0:
        return float(mean == 0)
    freedom = np.inf if square_seeds == 0 else square**2 / (square_seeds**2 / (seeds - 1))
    return float(2 * student.sf(abs(mean) / np.sqrt(square / values.size), freedom))


def seed_range(groups: Sequence[Sequence[float]]) -> float | None:
    """Bound how much two trainings differ that differ in nothing but their seed.

    Args:
        groups: The accuracies of several seeds, for one way of training or for several, which are
            taken to vary alike.

    Returns:
        95 % of the differences of two are no larger, -1 to 1 (Student's t, for one more pair of
        accuracies that are normal); None where no group has two seeds.
    """
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return None
    squares = sum(float(np.var(group)) * len(group) for group in groups)
    return float(student.ppf(0.975, freedom) * math.sqrt(2 * squares / freedom))


def rounded_p(p: float) -> float:
    """Round a p to six digits that count, as the result files have it.

    Args:
        p: 0 to 1.
    """
    return float(f"{p:.6g}")


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct several p for being several (Holm 1979).

    Args:
        p_values: They, in any order, 0 to 1.

    Returns:
        The corrected ones in the same order. With those below a level taken for differences, the
        chance that any of them is none is at most that level.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.minimum(1, np.maximum.accumulate(factors * np.asarray(p_values)[order]))
    result = np.empty(len(p_values))
    result[order] = corrected
    return [float(value) for value in result]

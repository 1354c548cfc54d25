"""Do networks differ in accuracy on the same images: two trainings, or two over several seeds?"""

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
"""A corrected p below this is evidence of a difference; intervals cover 1 - LEVEL."""

NO_EVIDENCE = "no evidence of a difference"


@dataclass(frozen=True)
class Paired:
    """Counts of images by the answers of two networks: right in both, or only in one."""

    images: int
    both: int
    only_first: int
    only_second: int
    differing: int
    """Images with different answers, right or wrong."""

    @property
    def first_accuracy(self) -> float:
        """Accuracy of the first, 0 to 1."""
        return (self.both + self.only_first) / self.images

    @property
    def second_accuracy(self) -> float:
        """Accuracy of the second, 0 to 1."""
        return (self.both + self.only_second) / self.images

    @property
    def difference(self) -> float:
        """Accuracy of the second minus that of the first, -1 to 1."""
        return (self.only_second - self.only_first) / self.images

    @property
    def p(self) -> float:
        """The p of `mcnemar`."""
        return mcnemar(self.only_first, self.only_second)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the difference.

        Wald's interval with one image added to each kind of discordance, which keeps its coverage
        for small counts (Bonett and Price 2012, doi:10.3102/1076998611411915).
        """
        images = self.images + 2
        first, second = (self.only_first + 1) / images, (self.only_second + 1) / images
        middle = second - first
        reach = float(norm.ppf(0.975)) * math.sqrt((first + second - middle**2) / images)
        return max(-1.0, middle - reach), min(1.0, middle + reach)


def pair(first: pd.DataFrame, second: pd.DataFrame) -> Paired:
    """Count by index, label and predicted the images that both networks answered."""
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
    """Return the two-sided p of McNemar's exact test (1947) of equal accuracy.

    Under the null hypothesis each image that only one network has right is a fair coin.
    """
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


@dataclass(frozen=True)
class SeedsMean:
    """A mean over seeds and images, with its standard error; see `mean_over_seeds`."""

    mean: float
    error: float
    freedom: float
    """Degrees of freedom of the standard error; infinite if seeds do not differ."""
    seeds: int

    @property
    def p(self) -> float | None:
        """Two-sided p of the hypothesis that the mean is 0; None for one seed."""
        if self.seeds == 1:
            return None
        if self.error == 0:
            return float(self.mean == 0)
        return float(2 * student.sf(abs(self.mean) / self.error, self.freedom))

    @property
    def interval(self) -> tuple[float, float]:
        """95% confidence interval; excludes 0 exactly if `p` is below `LEVEL`."""
        reach = float(student.isf(LEVEL / 2, self.freedom)) * self.error
        return self.mean - reach, self.mean + reach


def mean_over_seeds(values: NDArray[Any]) -> SeedsMean:
    """Estimate the mean over other seeds and other images, by an analysis of variance.

    ``values`` is ``(seeds, images)``, such as 1 for each right answer, or the difference of two
    networks that were trained with the same seed. Seeds and images are crossed random factors,
    like several readers of the same X-ray pictures (Dorfman, Berbaum and Metz 1992)::

        x[s, i] = mean + seed[s] + image[i] + rest[s, i]      s = 1..S, i = 1..I

        MS_seed  = I * sum_s (x[s, .] - x[., .])**2 / (S - 1)
        MS_image = S * sum_i (x[., i] - x[., .])**2 / (I - 1)
        MS_rest  = sum_si (x[s, i] - x[s, .] - x[., i] + x[., .])**2 / ((S - 1) * (I - 1))

        M        = MS_seed + max(0, MS_image - MS_rest)
        error    = sqrt(M / (S * I))
        freedom  = (S - 1) * M**2 / MS_seed**2
        t        = mean / error
        interval = mean -+ quantile(t, 0.975, freedom) * error

    The degrees of freedom are by Hillis (2007, doi:10.1002/sim.2532). With few seeds they are
    few, so p holds its level and the interval its coverage. For one seed, error and freedom are
    of the images alone: the interval then says nothing about other seeds.
    """
    values = np.asarray(values, np.float64)
    seeds, images = values.shape
    mean = values.mean()
    if seeds == 1:
        square = np.sum((values - mean) ** 2) / max(1, images - 1)
        return SeedsMean(float(mean), float(np.sqrt(square / images)), max(1, images - 1), seeds)
    of_seeds = values.mean(axis=1, keepdims=True) - mean
    of_images = values.mean(axis=0, keepdims=True) - mean
    rest = values - mean - of_seeds - of_images
    square_seeds = images * np.sum(of_seeds**2) / (seeds - 1)
    square_images = seeds * np.sum(of_images**2) / max(1, images - 1)
    square_rest = np.sum(rest**2) / ((seeds - 1) * max(1, images - 1))
    square = square_seeds + max(0.0, square_images - square_rest)
    freedom = np.inf if square_seeds == 0 else square**2 / (square_seeds**2 / (seeds - 1))
    return SeedsMean(float(mean), float(np.sqrt(square / values.size)), float(freedom), seeds)


def seed_range(groups: Sequence[Sequence[float]]) -> float | None:
    """Bound 95% of the accuracy differences of two trainings that differ only in their seed.

    By Student's t with the pooled variance of the groups, each the accuracies of several seeds;
    None if no group has two.
    """
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return None
    squares = sum(float(np.var(group)) * len(group) for group in groups)
    return float(student.ppf(0.975, freedom) * math.sqrt(2 * squares / freedom))


def rounded_p(p: float) -> float:
    """Round a p to the six significant digits of the result files."""
    return float(f"{p:.6g}")


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for multiple tests (Holm 1979), in the order given.

    Rejecting all corrected p below `LEVEL` controls the family-wise error rate at `LEVEL`.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.minimum(1, np.maximum.accumulate(factors * np.asarray(p_values)[order]))
    result = np.empty(len(p_values))
    result[order] = corrected
    return [float(value) for value in result]

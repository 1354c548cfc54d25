"""Tests and intervals of accuracies on the same images, of two trainings or over several seeds."""

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

MARGIN = 0.001
"""Means of accuracy that differ by less are equivalent: 10 of the 10,000 test images."""


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
class Estimate:
    """A mean over seeds and images, or a difference of two, with its standard error."""

    mean: float
    error: float
    freedom: float
    """Degrees of freedom of the standard error; infinite if seeds do not differ."""
    several_seeds: bool
    """With one seed, the error is of the images alone."""

    @property
    def p(self) -> float | None:
        """Two-sided p of the hypothesis that the mean is 0; None for one seed."""
        return 2 * self._tail(abs(self.mean)) if self.several_seeds else None

    def equivalence_p(self, margin: float) -> float | None:
        """Return the p of two one-sided tests of ``abs(mean) >= margin``; None for one seed.

        Below `LEVEL`, the 90% interval is within the margin (Schuirmann 1987).
        """
        return self._tail(margin - abs(self.mean)) if self.several_seeds else None

    @property
    def interval(self) -> tuple[float, float]:
        """95% confidence interval; excludes 0 exactly if `p` is below `LEVEL`."""
        reach = float(student.isf(LEVEL / 2, self.freedom)) * self.error
        return self.mean - reach, self.mean + reach

    def _tail(self, distance: float) -> float:
        """Return the probability that the mean exceeds its expectation by ``distance`` or more."""
        if self.error == 0:
            return 0.0 if distance > 0 else 0.5 if distance == 0 else 1.0
        return float(student.sf(distance / self.error, self.freedom))


def mean_over_seeds(values: NDArray[Any]) -> Estimate:
    """Estimate the mean over other seeds and other images of one network.

    ``values`` is ``(seeds, images)``, such as 1 for each right answer. Seeds and images are crossed
    random factors, like several readers of the same X-ray pictures, see `_estimate`.
    """
    values = np.asarray(values, np.float64)
    return _estimate(values.mean(axis=0), [values])


def difference_over_seeds(first: NDArray[Any], second: NDArray[Any]) -> Estimate:
    """Estimate the second mean minus the first, over other seeds and other images.

    Both are ``(seeds, images)`` for the same images. Seeds are nested in networks: no seed of the
    first belongs to a seed of the second, and their numbers may differ. See `_estimate`.
    """
    groups = [np.asarray(each, np.float64) for each in (first, second)]
    return _estimate(groups[1].mean(axis=0) - groups[0].mean(axis=0), groups)


def _estimate(by_image: NDArray[Any], groups: Sequence[NDArray[Any]]) -> Estimate:
    """Analyse the variance of a mean of ``by_image``, with seeds nested in groups.

    Readers nested in tests, in the terms of Hillis (2014, doi:10.1002/sim.5926), here with one
    variance for each group::

        x[g, s, i] = group[g] + seed[g, s] + image[i] + (group x image)[g, i] + rest[g, s, i]

        seeds[g] = variance over s of x[g, s, .] / S[g]
        rest[g]  = sum_si (x[g, s, i] - x[g, s, .] - x[g, ., i] + x[g, ., .])**2
                   / ((S[g] - 1) * (I - 1) * S[g] * I)
        images   = variance over i of by_image / I - sum_g rest[g]

        error**2 = sum_g seeds[g] + max(0, images)
        freedom  = error**4 / sum_g (seeds[g]**2 / (S[g] - 1))
        t        = mean / error
        interval = mean -+ quantile(t, 0.975, freedom) * error

    The degrees of freedom are Satterthwaite's; the part of the images counts as known. For one
    group they are Hillis's (2007, doi:10.1002/sim.2532). If images do not matter, this is Welch's
    test of the seeds' means.
    """
    images = len(by_image)
    square = float(by_image.var(ddof=1)) / images if images > 1 else 0.0
    mean, freedoms = float(by_image.mean()), [len(group) - 1 for group in groups]
    if not all(freedoms):
        return Estimate(mean, math.sqrt(square), max(1, images - 1), several_seeds=False)
    seeds = [float(group.mean(axis=1).var(ddof=1)) / len(group) for group in groups]
    total = sum(seeds) + max(0.0, square - sum(map(_rest, groups)))
    of_seeds = sum(each**2 / freedom for each, freedom in zip(seeds, freedoms, strict=True))
    freedom = total * total / of_seeds if of_seeds else math.inf
    return Estimate(mean, math.sqrt(total), freedom, several_seeds=True)


def _rest(group: NDArray[Any]) -> float:
    """Return the variance of the group's mean that is due to seed and image together."""
    seeds, images = group.shape
    rest = group - group.mean(axis=1, keepdims=True) - group.mean(axis=0) + group.mean()
    freedom = (seeds - 1) * max(1, images - 1)
    return float(np.sum(rest**2) / (freedom * group.size))


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

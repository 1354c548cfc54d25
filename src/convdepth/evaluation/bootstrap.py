"""Intervals for what was measured with several seeds on the same images.

Another seed and other images would both have given another mean, so both are drawn anew, with
replacement, whole seeds and whole images (the pigeonhole bootstrap, Owen 2007,
doi:10.1214/07-AOAS122). With five seeds it knows little of how seeds differ: the interval is then
rather too narrow.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
"""How often is drawn."""

_SEED = 0
"""Determines the draws, so that equal values have equal intervals."""

_AT_ONCE = 200
"""Draws that are in memory together; each has as many numbers as there are kinds of images."""


def mean_interval(values: NDArray[Any], level: float = 0.95) -> tuple[float, float]:
    """Bound the mean over other seeds and other images.

    Args:
        values: ``(seeds, images)``, such as whether each answer is right.
        level: How sure to be, 0 to 1.

    Returns:
        The lower and the upper end, the same if there is nothing to vary.
    """
    tail = (1 - level) / 2
    low, high = np.quantile(resampled_means(values), [tail, 1 - tail])
    return float(low), float(high)


def resampled_means(values: NDArray[Any]) -> NDArray[np.float64]:
    """Draw seeds and images anew, and give the mean of each draw.

    Args:
        values: ``(seeds, images)``.

    Returns:
        ``(RESAMPLES,)``.
    """
    return np.concatenate(list(_resample(np.asarray(values, np.float64))))


def _resample(values: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    seeds, images = values.shape
    # Images on which all seeds did the same are of one kind; most are of one of a few kinds.
    kinds, counts = np.unique(values, axis=1, return_counts=True)
    generator = np.random.default_rng(_SEED)
    for _ in range(0, RESAMPLES, _AT_ONCE):
        of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), _AT_ONCE)
        of_kinds = generator.multinomial(images, counts / images, _AT_ONCE)
        totals = np.einsum("ds,sk,dk->d", of_seeds, kinds, of_kinds, optimize=True)
        yield totals / (seeds * images)

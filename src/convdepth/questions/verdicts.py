"""Verdicts on comparisons of networks: the rules of ``studies/PLAN.md``."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convdepth.evaluation import results
from convdepth.evaluation.significance import LEVEL, MARGIN, Estimate, holm, mcnemar, rounded_p

Key = TypeVar("Key")


def judge(compared: Mapping[Key, tuple[str, str, Estimate]]) -> dict[Key, results.Difference]:
    """Return the verdict on each comparison; each of the two tests has one family.

    A comparison has both names, and the accuracy of the second less the first.
    """
    estimates = [estimate for _, _, estimate in compared.values()]
    p_values = [each.p for each in estimates]
    equivalence = [each.equivalence_p(MARGIN) for each in estimates]
    corrected = holm([1.0 if p is None else p for p in p_values])
    corrected_equivalence = holm([1.0 if p is None else p for p in equivalence])
    return {
        name: _describe(first, second, estimate, *tests)
        for (name, (first, second, estimate)), tests in zip(
            compared.items(), zip(corrected, corrected_equivalence, strict=True), strict=True
        )
    }


def _describe(
    first: str, second: str, estimate: Estimate, corrected: float, equivalence: float
) -> results.Difference:
    verdict = results.NOT_SETTLED
    if corrected < LEVEL:
        verdict = f"{second if estimate.mean > 0 else first} is better"
    elif equivalence < LEVEL:
        verdict = results.EQUIVALENT
    low, high = np.clip(estimate.interval, -1, 1)
    has_p = estimate.p is not None
    return results.Difference(
        difference=round(estimate.mean, 6),
        low=round(float(low), 6),
        high=round(float(high), 6),
        error=round(estimate.error, 6),
        p=None if estimate.p is None else rounded_p(estimate.p),
        corrected_p=rounded_p(corrected) if has_p else None,
        corrected_equivalence_p=rounded_p(equivalence) if has_p else None,
        verdict=verdict,
    )


def compare_first_seeds(
    pairs: Mapping[Key, tuple[NDArray[Any], NDArray[Any]]],
) -> dict[Key, results.FirstSeed]:
    """Compare single trainings by McNemar's exact test: what one run of each would suggest.

    Values tell which images each of two trainings has right, ``(images,)``; the pairs are a family.
    """
    counts = {
        key: (int((first & ~second).sum()), int((second & ~first).sum()), len(first))
        for key, (first, second) in pairs.items()
    }
    p_values = [mcnemar(only_first, only_second) for only_first, only_second, _ in counts.values()]
    return {
        key: results.FirstSeed(
            difference=round((only_second - only_first) / images, 6),
            only_first=only_first,
            only_second=only_second,
            p=rounded_p(p),
            corrected_p=rounded_p(corrected_p),
        )
        for (key, (only_first, only_second, images)), p, corrected_p in zip(
            counts.items(), p_values, holm(p_values), strict=True
        )
    }

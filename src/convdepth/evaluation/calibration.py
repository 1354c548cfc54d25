"""Whether a network is as often right as it says it is."""

from typing import Any

import numpy as np
import pandas as pd

BINS = 15
"""How many equal parts the probabilities from 0 to 1 are put into (Guo et al. 2017)."""


def reliability(predictions: pd.DataFrame) -> list[dict[str, Any]]:
    """Compare, for each range of probabilities, what was said with what was right.

    Args:
        predictions: One row per image with label, predicted, and probability (of what was
            predicted, 0 to 1).

    Returns:
        One entry for each of `BINS` ranges that has images, from low to high: images, probability
        (their mean) and accuracy (the share that is right), 0 to 1, six digits.
    """
    # The upper end belongs to a range, so that a probability of 1 is in the last one.
    number = np.ceil(predictions["probability"] * BINS).clip(1, BINS)
    right = predictions["label"] == predictions["predicted"]
    return [
        {
            "images": len(group),
            "probability": round(float(group["probability"].mean()), 6),
            "accuracy": round(float(right[group.index].mean()), 6),
        }
        for _, group in predictions.groupby(number)
    ]


def calibration_error(predictions: pd.DataFrame) -> float:
    """Compute the expected calibration error (Naeini et al. 2015, Guo et al. 2017).

    Args:
        predictions: As in `reliability`.

    Returns:
        The mean difference between what was said and what was right, over the images, 0 to 1.
    """
    ranges = pd.DataFrame(reliability(predictions))
    gaps = (ranges["probability"] - ranges["accuracy"]).abs()
    return round(float((gaps * ranges["images"]).sum() / ranges["images"].sum()), 6)

"""The plurality vote of several trainings, and how often two of them agree.

Answers are ``(trainings, images)``, digits; labels are ``(images,)``.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from convdepth.config.dataset import NUM_CLASSES
from convdepth.data.arrays import Labels

Answers = NDArray[np.int64]


def vote(answers: Answers, labels: Labels) -> float:
    """Return the accuracy of the plurality vote of all trainings, 0 to 1.

    Each training votes, a collapsed one too; a tie goes to the smallest of the tied digits.
    """
    votes = (answers[..., np.newaxis] == np.arange(NUM_CLASSES)).sum(axis=0)
    return _mean(votes.argmax(axis=1) == labels)


def mean_agreement(first: Answers, second: Answers | None = None) -> float:
    """Return the share of equal answers, right or wrong, as a mean over pairs of trainings.

    Each pair has one training of each network; with one network, two of its trainings.
    """
    pairs = itertools.combinations(first, 2) if second is None else itertools.product(first, second)
    return _mean(np.array([one == other for one, other in pairs]))


def _mean(values: NDArray[np.bool_]) -> float:
    return round(float(values.mean()), 6)

"""The class-prior loss: the loss of a network that knows only how frequent each digit is."""

import numpy as np

from convdepth.config.dataset import NUM_CLASSES
from convdepth.data.arrays import Labels

LEAST = 1e-7
"""Keras clips probabilities to it before their logarithm."""


def prior_loss(training_labels: Labels, labels: Labels) -> float:
    """Return the cross-entropy of predicting ``labels`` by the frequencies of the training labels.

    In nats, six digits. A digit that is not in ``training_labels`` has the least probability to
    which Keras clips. The loss of a collapsed network is close to the result.
    """
    prior = np.bincount(training_labels, minlength=NUM_CLASSES) / len(training_labels)
    return round(float(-np.log(np.maximum(prior, LEAST))[labels].mean()), 6)

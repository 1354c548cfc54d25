"""The class-prior loss: the loss of a network that knows only how frequent each digit is."""

import numpy as np

from convdepth.config.dataset import NUM_CLASSES
from convdepth.data.arrays import Labels


def prior_loss(training_labels: Labels, labels: Labels) -> float:
    """Return the cross-entropy of predicting ``labels`` by the frequencies of the training labels.

    In nats, six digits; infinite if a digit of ``labels`` is not in ``training_labels``. The loss
    of a collapsed network is close to it.
    """
    prior = np.bincount(training_labels, minlength=NUM_CLASSES) / len(training_labels)
    with np.errstate(divide="ignore"):
        return round(float(-np.log(prior[labels]).mean()), 6)

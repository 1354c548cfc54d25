"""The class-prior loss: the loss of a network that knows only how frequent each digit is."""

import numpy as np

from convdepth.config.dataset import NUM_CLASSES
from convdepth.data.arrays import Labels


def prior_loss(training_labels: Labels, labels: Labels) -> float:
    """Return the cross-entropy of predicting the frequencies of the training labels.

    A collapsed network has learned no more than that, so its loss is close to this one.

    Args:
        training_labels: ``(n,)``, uint8, 0 to 9.
        labels: ``(m,)``, uint8, 0 to 9, the labels to predict.

    Returns:
        In nats, six digits; infinite if a digit of ``labels`` is not in ``training_labels``.
    """
    prior = np.bincount(training_labels, minlength=NUM_CLASSES) / len(training_labels)
    with np.errstate(divide="ignore"):
        return round(float(-np.log(prior[labels]).mean()), 6)

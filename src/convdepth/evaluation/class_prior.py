"""The loss of a network that knows only the class prior."""

import numpy as np

from convdepth.config.dataset import NUM_CLASSES
from convdepth.data.arrays import Labels


def prior_loss(training_labels: Labels, labels: Labels) -> float:
    """Compute the cross-entropy of predicting the class prior for each image.

    A network that has collapsed has learned no more than the prior, so its loss is close to this.

    Args:
        training_labels: ``(n,)``, uint8, 0 to 9. Their frequencies are the prior.
        labels: ``(m,)``, uint8, 0 to 9, what the loss is computed on.

    Returns:
        In nats, six digits; infinite if a digit of ``labels`` is not in ``training_labels``.
    """
    prior = np.bincount(training_labels, minlength=NUM_CLASSES) / len(training_labels)
    with np.errstate(divide="ignore"):
        return round(float(-np.log(prior[labels]).mean()), 6)

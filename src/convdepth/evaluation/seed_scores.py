"""The scores of one training of a study on the test set: ``<seed>.scores.json``."""

import pandas as pd

from convdepth.evaluation.metrics import Status, calibration_error, reliability, score
from convdepth.evaluation.result_file import Loss, Result, Share


class Bin(Result):
    """A range of probabilities: number of images, mean probability and accuracy."""

    images: int
    probability: Share
    accuracy: Share


class Scores(Result):
    """The scores of one training on the test set."""

    accuracy: Share
    loss: Loss
    status: Status
    calibration_error: Share
    reliability: list[Bin]


def score_predictions(predictions: pd.DataFrame) -> Scores:
    """Score the predictions of one training, from `answers.predict`."""
    total = score(predictions)
    return Scores(
        accuracy=total.accuracy,
        loss=total.loss,
        status=total.status,
        calibration_error=calibration_error(predictions),
        reliability=[Bin(**each) for each in reliability(predictions)],
    )

"""Result files between the trainings of the plan's questions.

They have a module of their own, so that a change of another schema reruns no training.
"""

from pydantic import Field

from convdepth.evaluation.metrics import Scores
from convdepth.evaluation.result_file import Result, Share


class EpochChoice(Result):
    """``studies/epochs.json``: the chosen number, and held-out accuracy by number of epochs."""

    epochs: int = Field(ge=1)
    means: dict[str, Share]
    """Over the networks."""
    networks: dict[str, dict[str, Share]]


class CorruptedScores(Scores):
    """Scores over all corruptions together, and the accuracy with each."""

    by_corruption: dict[str, Share]

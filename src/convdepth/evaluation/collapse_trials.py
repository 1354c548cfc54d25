"""The results of the stage `collapse`: trainings of one network with scaled dropouts."""

from pydantic import Field

from convdepth.evaluation.result_file import Loss, Result, Share


class Trial(Result):
    """One training; loss and accuracy after each epoch are of the held-out images.

    `signal`, `gradient_norm` and `agreement` are by block, before the training; see `signal_flow`.
    """

    seed: int
    signal: dict[str, Share]
    gradient_norm: dict[str, float]
    agreement: dict[str, Share]
    prior_loss: Loss
    loss: list[Loss] = Field(min_length=1)
    accuracy: list[Share] = Field(min_length=1)
    epochs_to_learn: int | None
    """None if the network has not learned when the epochs are over."""


class Point(Result):
    """All trainings of one network at one dropout scale."""

    scale: float
    keep_share: Share
    """Share of the units that all dropouts together keep."""
    learned: int
    """How many of the trainings learned."""
    runs: list[Trial] = Field(min_length=1)
    signal: dict[str, Share]
    """Median over the trainings."""


class Collapse(Result):
    """``studies/collapse/<name>.json``; `learned` and `epochs` are the study's parameters."""

    points: list[Point] = Field(min_length=1)
    learned: Share
    epochs: int

    def at(self, scale: float) -> Point:
        """Return the point with the nearest scale."""
        return min(self.points, key=lambda point: abs(point.scale - scale))

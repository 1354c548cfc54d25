"""The results of the stage `collapse`: trainings of one network with scaled dropouts."""

from pydantic import Field

from convdepth.evaluation.result_file import Loss, Result, Share


class Signal(Result):
    """A fresh network in training mode: signal shares, and the gradient of each block.

    Attributes:
        signal: Share of the variance that comes from the images, after each block and the head.
        gradient_norm: Root mean square of the gradient's Euclidean norm, by block.
        agreement: See `signal_flow.Gradient`, by block.
    """

    signal: dict[str, Share]
    gradient_norm: dict[str, float]
    agreement: dict[str, Share]


class Trial(Signal):
    """One training: ``val_loss`` and ``val_accuracy`` after each epoch, on held-out images."""

    seed: int
    prior_loss: Loss
    loss: list[Loss] = Field(min_length=1)
    accuracy: list[Share] = Field(min_length=1)
    epochs_to_learn: int | None
    """None if the network has not learned when the epochs are over."""


class Point(Result):
    """All trainings of one network at one dropout scale.

    Attributes:
        keep_share: Share of the units that all dropouts together keep.
        learned: How many of the trainings learned.
        signal: Median over the trainings of `Signal.signal`.
    """

    scale: float
    keep_share: Share
    learned: int
    runs: list[Trial] = Field(min_length=1)
    signal: dict[str, Share]


class Collapse(Result):
    """``studies/collapse/<name>.json``; `learned` and `epochs` are the study's parameters."""

    points: list[Point] = Field(min_length=1)
    learned: Share
    epochs: int

    def at(self, scale: float) -> Point:
        """Return the point with the nearest scale."""
        return min(self.points, key=lambda point: abs(point.scale - scale))

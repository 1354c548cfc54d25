"""The one reader of ``studies/params.yaml``: what the studies vary, beside ``params.yaml``."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from convdepth.architecture import Strict
from convdepth.images import NUM_CLASSES
from convdepth.params import Augmentation, Precision, Schedule, read_file

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Replicates(Strict):
    """Several trainings of each network."""

    seeds: Count


class Collapse(Strict):
    """Trainings with all dropouts of a network scaled, until it learns or time is up."""

    scales: list[Annotated[float, Field(ge=0)]] = Field(min_length=2)
    """What all dropout rates are multiplied with; what makes one of 1 or more is left out."""
    seeds: Count
    epochs: Count
    """How many a network has to learn anything in."""
    learned: float = Field(gt=0, lt=1)
    """It has, once the loss on held-out images is below this share of the class prior's."""
    validation_share: Share
    """Of the training images, which is held out to see that."""
    signal_images: int = Field(ge=2)
    """On how many images signals and gradients are measured, before any training."""
    masks: int = Field(ge=2)
    """How many dropout masks they are measured with."""


class Range(Strict):
    """Numbers from ``low`` to ``high``, both included."""

    low: float = Field(ge=0)
    high: float
    log: bool = False
    """Whether a factor counts, and not a difference; ``low`` is then above 0."""

    @model_validator(mode="after")
    def _require_order(self) -> Self:
        if self.high <= self.low:
            raise ValueError(f"expected high above low, got {self.low} to {self.high}")
        if self.log and self.low == 0:
            raise ValueError("expected low above 0, since log is true, got 0")
        return self

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


class Space(Strict):
    """What the tuning of a network chooses from: ranges, and lists of which one is taken."""

    learning_rate: Range
    schedule: list[Schedule] = Field(min_length=1)
    weight_decay: Range
    label_smoothing: Range
    shift: Range
    rotation: Range
    zoom: Range
    dropout_scale: Range
    """Of all dropouts of a network; never so high that one of them reaches 1."""
    batch_normalization: list[bool] = Field(min_length=1)
    """In all blocks of a network, or in none."""


class Settings(Augmentation):
    """A value for each key of `Space`."""

    learning_rate: float = Field(gt=0)
    schedule: Schedule
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    dropout_scale: float = Field(ge=0)
    batch_normalization: bool


class Tuning(Strict):
    """The search for better settings, with the same budget for each network."""

    trials: Count
    startup_trials: Count
    """How many of them there are before what was found decides: those given, then random ones."""
    epochs: Count
    """Of one trial; one that is worse than most were at the same time ends before."""
    validation_share: Share
    """Of the training images, which is held out, and alone decides."""
    precision: Precision
    first: list[Settings]
    """What is tried after the notebook's own settings, before anything is drawn."""
    space: Space

    @model_validator(mode="after")
    def _require_trials_for_first(self) -> Self:
        least = 1 + len(self.first)
        if self.trials < least:
            raise ValueError(
                f"expected at least {least} trials, for the notebook's settings and those of "
                f"first, got {self.trials}"
            )
        return self

    @model_validator(mode="after")
    def _require_first_in_space(self) -> Self:
        for number, settings in enumerate(self.first):
            for key, choices in self.space:
                value = getattr(settings, key)
                if value not in choices:
                    raise ValueError(
                        f"expected in first[{number}] a {key} that space allows, got {value}"
                    )
        return self


class Tuned(Strict):
    """What was settled by a tuning, before the test set was looked at."""

    epochs: Count
    """Of each training, now with all training images."""
    precision: Precision
    settings: dict[str, Settings]
    """By network; one that is not named here was not tuned."""


class StudyParams(Strict):
    """The whole of ``studies/params.yaml``."""

    replicates: Replicates
    collapse: Collapse
    tuning: Tuning
    tuned: Tuned


def held_out(share: float, images: int) -> int:
    """Count the images that a share is.

    Args:
        share: Of all, above 0 and below 1.
        images: How many there are.

    Returns:
        The nearest number, but enough for one of each class.
    """
    return max(NUM_CLASSES, round(share * images))


def read_study_params(path: Path) -> StudyParams:
    """Read and check the parameters of the studies.

    Args:
        path: The file.

    Returns:
        The parameters, immutable.

    Raises:
        ParameterError: As `params.read_file`.
    """
    return read_file(path, StudyParams)

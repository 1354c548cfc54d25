"""The one reader of ``studies/params.yaml``: what the studies vary, beside ``params.yaml``."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from convdepth.config.architecture import Strict
from convdepth.config.collapse import Collapse
from convdepth.config.dropout_rates import require_scale
from convdepth.config.params import Params, read_file
from convdepth.config.recipe import Optimizer, Precision, Schedule
from convdepth.config.tuned_settings import Seeds, Settings, Tuned
from convdepth.core.errors import ParameterError

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Replicates(Strict):
    """Further trainings of each network by the recipe."""

    seeds: Seeds
    """Beside ``train.seed``, whose training is the pipeline's own."""


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
    optimizer: list[Optimizer] = Field(default=["adam"], min_length=1)


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


class StudyParams(Strict):
    """The whole of ``studies/params.yaml``."""

    replicates: Replicates
    collapse: Collapse
    tuning: Tuning
    tuned: Tuned


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


def require_consistent(path: Path, studies: StudyParams, params: Params) -> None:
    """Check that the studies suit the pipeline's parameters.

    Args:
        path: The file of the studies, for the error.
        studies: Its content.
        params: Those of the pipeline.

    Raises:
        ParameterError: A tuned network does not exist or has a dropout rate of 1 or more, or recipe
            and tuned networks would be trained with different seeds.
    """
    known = list(params.architectures)
    for name, settings in studies.tuned.settings.items():
        if name not in known:
            raise ParameterError(
                f"{path}: tuned.settings.{name}: expected a network of params.yaml, which has "
                f"{', '.join(known)}. Remove the entry, or name one of these."
            )
        key = f"{path}: tuned.settings.{name}.dropout_scale"
        require_scale(key, name, params.architectures[name], settings.dropout_scale)
    seeds = [params.train.seed, *studies.replicates.seeds]
    if len(set(seeds)) < len(seeds):
        raise ParameterError(
            f"{path}: replicates.seeds: expected seeds other than train.seed, which the pipeline "
            f"trains: got {params.train.seed} again. Remove it."
        )
    if studies.tuned.settings and sorted(studies.tuned.seeds) != sorted(seeds):
        raise ParameterError(
            f"{path}: tuned.seeds: expected train.seed and those of replicates.seeds: "
            f"{sorted(seeds)}, got {studies.tuned.seeds}. Make them equal, so that both can be "
            f"compared."
        )

"""The schema of ``studies/params.yaml``."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from convdepth.config.architecture import Strict, require_scale
from convdepth.config.collapse import Collapse
from convdepth.config.params import Params
from convdepth.config.questions import Depth, Epochs, Fresh, Seeded, Shared, TrainingImages
from convdepth.config.recipe import Optimizer, Precision, Schedule
from convdepth.config.tuned_settings import Settings, Tuned
from convdepth.config.yaml_file import read_file
from convdepth.core.errors import ParameterError

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Range(Strict):
    """Numbers from ``low`` to ``high``, inclusive."""

    low: float = Field(ge=0)
    high: float
    log: bool = False
    """Logarithmic scale; ``low`` must be above 0."""

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
    """The search space: ranges and lists of choices."""

    learning_rate: Range
    schedule: list[Schedule] = Field(min_length=1)
    weight_decay: Range
    label_smoothing: Range
    shift: Range
    rotation: Range
    zoom: Range
    dropout_scale: Range
    batch_normalization: list[bool] = Field(min_length=1)
    optimizer: list[Optimizer] = Field(default=["adam"], min_length=1)


class Tuning(Strict):
    """The hyperparameter search, with the same budget for each network."""

    trials: Count
    startup_trials: Count
    """Trials before the sampler uses results: those of `first`, then random ones."""
    epochs: Count
    """Of one trial; a trial below the median at the same epoch is pruned."""
    validation_share: Share
    """Share of the training images that is held out and decides."""
    precision: Precision
    first: list[Settings]
    """Tried after the notebook's settings, before anything is sampled."""
    space: Space

    @model_validator(mode="after")
    def _require_first(self) -> Self:
        least = 1 + len(self.first)
        if self.trials < least:
            raise ValueError(
                f"expected at least {least} trials, for the notebook's settings and `first`, got "
                f"{self.trials}"
            )
        for number, settings in enumerate(self.first):
            for key, choices in self.space:
                value = getattr(settings, key)
                if value not in choices:
                    raise ValueError(
                        f"first[{number}].{key}: expected a value in space.{key}, got {value}"
                    )
        return self


class StudyParams(Strict):
    """The whole of ``studies/params.yaml``."""

    recipe: Seeded
    collapse: Collapse
    depth: Depth
    fresh: Fresh
    epochs: Epochs
    shared: Shared
    images: TrainingImages
    tuning: Tuning
    tuned: Tuned


def read_study_params(path: Path) -> StudyParams:
    """Read and check the parameters of the studies, see `yaml_file.read_file`."""
    return read_file(path, StudyParams)


def require_consistent(path: Path, studies: StudyParams, params: Params) -> None:
    """Require known tuned networks and dropout rates below 1."""
    known = list(params.architectures)
    for name, settings in studies.tuned.settings.items():
        if name not in known:
            raise ParameterError(
                f"{path}: tuned.settings.{name}: expected a network of params.yaml "
                f"({', '.join(known)}). Remove the entry, or name one of these."
            )
        key = f"{path}: tuned.settings.{name}.dropout_scale"
        require_scale(key, name, params.architectures[name], settings.dropout_scale)

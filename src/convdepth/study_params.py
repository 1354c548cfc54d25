"""The one reader of ``studies/params.yaml``: what the studies vary, beside ``params.yaml``."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from convdepth.architecture import Strict
from convdepth.params import read_file

Count = Annotated[int, Field(ge=1)]


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
    validation_images: int = Field(ge=10)
    """Training images that are held out to see that."""
    signal_images: int = Field(ge=2)
    """On how many images signals and gradients are measured, before any training."""
    masks: int = Field(ge=2)
    """How many dropout masks they are measured with."""


class StudyParams(Strict):
    """The whole of ``studies/params.yaml``."""

    replicates: Replicates
    collapse: Collapse


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

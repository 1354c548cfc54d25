"""The section ``collapse`` of ``studies/params.yaml``."""

from typing import Annotated

from pydantic import Field

from convdepth.config.architecture import Strict


class Collapse(Strict):
    """Trainings with all dropouts of a network scaled, until it learns or time is up."""

    scales: list[Annotated[float, Field(ge=0)]] = Field(min_length=2)
    """What all dropout rates are multiplied with; what makes one of 1 or more is left out."""
    seeds: int = Field(ge=1)
    epochs: int = Field(ge=1)
    """How many a network has to learn anything in."""
    learned: float = Field(gt=0, lt=1)
    """It has, once the loss on held-out images is below this share of the class prior's."""
    validation_share: float = Field(gt=0, lt=1)
    """Of the training images, which is held out to see that."""
    signal_images: int = Field(ge=2)
    """On how many images signals and gradients are measured, before any training."""
    masks: int = Field(ge=2)
    """How many dropout masks they are measured with."""

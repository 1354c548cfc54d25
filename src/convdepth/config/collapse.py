"""The section ``collapse`` of ``studies/params.yaml``."""

from typing import Annotated

from pydantic import Field

from convdepth.config.architecture import Strict


class Collapse(Strict):
    """Trainings with scaled dropout rates, until the network learns or the epochs are over."""

    scales: list[Annotated[float, Field(ge=0)]] = Field(min_length=2)
    """Factors of all dropout rates; a factor that lifts a rate to 1 is skipped."""
    seeds: int = Field(ge=1)
    epochs: int = Field(ge=1)
    learned: float = Field(gt=0, lt=1)
    """A network has learned once its held-out loss is below this share of the class-prior loss."""
    validation_share: float = Field(gt=0, lt=1)
    """Share of the training images that is held out."""
    signal_images: int = Field(ge=2)
    """Images on which signal and gradients are measured before training."""
    masks: int = Field(ge=2)
    """Dropout masks for that measurement."""

"""The section ``tuned`` of ``studies/params.yaml``: settings that a search found."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from convdepth.config.architecture import Architecture, Strict
from convdepth.config.recipe import Augmentation, Optimizer, Precision, Schedule, Train

RECIPE = ("learning_rate", "schedule", "weight_decay", "label_smoothing", "optimizer")
"""Settings that replace keys of ``train``."""

AUGMENTATION = ("shift", "rotation", "zoom")
"""Settings that replace keys of ``train.augmentation``."""


def all_different(values: list[Any]) -> list[Any]:
    """Return the values; raise ValueError if two are equal."""
    if len(set(values)) < len(values):
        raise ValueError(f"expected different values, got {values}")
    return values


Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1), AfterValidator(all_different)
]


class Settings(Augmentation):
    """One value for each key of `studies.Space`."""

    learning_rate: float = Field(gt=0)
    schedule: Schedule
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    dropout_scale: float = Field(ge=0)
    batch_normalization: bool | None
    """In all blocks or in none; null keeps each block of ``params.yaml``."""
    optimizer: Optimizer = "adam"


class Tuned(Strict):
    """The tuned networks; see ``studies/PLAN.md`` on how they were chosen."""

    epochs: int = Field(ge=1)
    precision: Precision
    seeds: Seeds
    settings: dict[str, Settings]
    """By network; others are not tuned."""


def apply(
    settings: Settings, architecture: Architecture, recipe: Train
) -> tuple[Architecture, Train]:
    """Return architecture and recipe with the settings in place of their own."""
    changed: dict[str, Any] = {"dropout_scale": settings.dropout_scale}
    if settings.batch_normalization is not None:
        update = {"batch_normalization": settings.batch_normalization}
        changed["blocks"] = {
            name: block.model_copy(update=update) for name, block in architecture.blocks.items()
        }
    augmentation = Augmentation(**{key: getattr(settings, key) for key in AUGMENTATION})
    adapted = {key: getattr(settings, key) for key in RECIPE} | {"augmentation": augmentation}
    return architecture.model_copy(update=changed), recipe.model_copy(update=adapted)

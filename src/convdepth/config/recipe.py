"""What a training reads of ``params.yaml``: how to train, and which network.

`params` reads and explains the whole file; the commands call it first. A training reads its two
sections alone, so that no other section, and no wording of an error, is part of its code.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from convdepth.config.architecture import Architecture, Strict
from convdepth.config.dataset import SPLIT_SIZES
from convdepth.core.errors import ParameterError

Positive = Annotated[float, Field(gt=0)]
Precision = Literal["float32", "mixed_bfloat16"]
Schedule = Literal["constant", "cosine", "one_cycle"]
Optimizer = Literal["adam", "sgd", "adamw", "muon", "schedule_free_adamw"]

Section = TypeVar("Section", bound=Strict)
"""A part of a YAML file of parameters."""


class Augmentation(Strict):
    """How far a training image is moved at random, each time that it is shown; 0 is not at all."""

    shift: float = Field(default=0.0, ge=0, le=1)
    """In both directions, as a share of the image's side."""
    rotation: float = Field(default=0.0, ge=0, le=0.5)
    """To both sides, as a share of a whole turn."""
    zoom: float = Field(default=0.0, ge=0, lt=1)
    """Smaller and larger, as a share of the image's side."""


class Recipe(Strict):
    """How a network is trained, whatever the machine and the question."""

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=1, le=SPLIT_SIZES["train"])
    optimizer: Optimizer = "adam"
    learning_rate: Positive
    schedule: Schedule
    warmup: float = Field(ge=0, lt=1)
    """The share of all steps in which a ``one_cycle`` rises."""
    precision: Precision
    weight_decay: float = Field(default=0.0, ge=0)
    """The share of each weight, times the learning rate, that a step takes off; not of biases."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """The share of the loss that is the same for all ten digits."""
    augmentation: Augmentation = Augmentation()
    dropout_scale: float = Field(default=1.0, ge=0, le=1)
    """What each dropout rate of all networks is multiplied with; see `effective_architecture`."""

    def batches(self, images: int) -> int:
        """Return the number of batches of one epoch; the last one may be smaller.

        Args:
            images: How many it trains on.
        """
        return math.ceil(images / self.batch_size)


class Train(Recipe):
    """A recipe, and what differs between two trainings by it."""

    seed: int = Field(ge=0, lt=2**32)
    threads: int = Field(ge=1, le=1024)
    validation_images: int = Field(ge=0)


def read_training(name: str, path: Path) -> tuple[Architecture, Train]:
    """Read one architecture and the recipe.

    Args:
        name: A key of ``architectures``.
        path: ``params.yaml``.

    Returns:
        The architecture with the recipe's dropout scale, and the recipe.

    Raises:
        ParameterError: As `read_section`.
    """
    recipe = read_section(path, ("train",), Train)
    architecture = read_section(path, ("architectures", name), Architecture)
    return effective_architecture(architecture, recipe), recipe


def effective_architecture(architecture: Architecture, recipe: Recipe) -> Architecture:
    """Multiply the dropout scale of an architecture with that of a recipe.

    Args:
        architecture: As ``params.yaml`` has it.
        recipe: Gives its ``dropout_scale``.
    """
    scale = architecture.dropout_scale * recipe.dropout_scale
    return architecture.model_copy(update={"dropout_scale": scale})


def read_section(path: Path, keys: tuple[str, ...], kind: type[Section]) -> Section:
    """Read and check one section of a YAML file.

    Args:
        path: The file.
        keys: The keys that lead to the section.
        kind: What the section must be.

    Raises:
        ParameterError: The file or the section is missing or wrong. `params.read_file` explains
            each mistake; the commands call it first.
    """
    key = ".".join(keys)
    try:
        entry: Any = YAML(typ="safe").load(path)
        for each in keys:
            entry = entry[each]
        return kind.model_validate(entry)
    except (OSError, YAMLError, KeyError, TypeError, ValidationError) as error:
        raise ParameterError(f"{path}: {key}: {error}. Run `dvc repro check`.") from error

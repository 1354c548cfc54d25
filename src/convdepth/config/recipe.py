"""The sections of ``params.yaml`` that a training reads: the recipe and one network.

Commands first check the whole file with `params.read_params`, which explains each mistake. A
training reads its two sections only, so no other section is part of its code digest.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from convdepth.config.architecture import Architecture, Strict, error_below
from convdepth.config.dataset import NUM_CLASSES, SPLIT_SIZES
from convdepth.core.errors import ParameterError

Positive = Annotated[float, Field(gt=0)]
Precision = Literal["float32", "mixed_bfloat16"]
Schedule = Literal["constant", "cosine", "one_cycle"]
Optimizer = Literal["adam", "sgd", "adamw", "muon"]

Section = TypeVar("Section", bound=Strict)


class Augmentation(Strict):
    """Limits of the random changes of each training image; 0 is off."""

    shift: float = Field(default=0.0, ge=0, le=1)
    """Horizontal and vertical, as a share of the image's side."""
    rotation: float = Field(default=0.0, ge=0, le=0.5)
    """Clockwise and counter-clockwise, as a share of a full turn."""
    zoom: float = Field(default=0.0, ge=0, lt=1)
    """In and out, as a share of the image's side."""


class Recipe(Strict):
    """Hyperparameters of a training."""

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=1, le=SPLIT_SIZES["train"])
    optimizer: Optimizer = "adam"
    learning_rate: Positive
    schedule: Schedule
    warmup: float = Field(ge=0, lt=1)
    """The share of steps in which ``one_cycle`` raises the learning rate."""
    precision: Precision
    portable: bool = False
    """Equal bytes on all CPUs with AVX2; see `models.backend.configure`."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled: each step subtracts this times the learning rate times the weight; no biases."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """The share of the target that is spread evenly over all ten digits."""
    augmentation: Augmentation = Augmentation()
    dropout_scale: float = Field(default=1.0, ge=0, le=1)
    """Factor of each dropout rate of all networks; see `effective_architecture`."""

    def batches(self, images: int) -> int:
        """Return the number of batches per epoch for some number of images."""
        return math.ceil(images / self.batch_size)


class Train(Recipe):
    """A recipe with seed, threads and held-out images."""

    seed: int = Field(ge=0, lt=2**32)
    threads: int = Field(ge=1, le=1024)
    validation_images: int = Field(ge=0)
    images: int | None = Field(default=None, ge=NUM_CLASSES, le=SPLIT_SIZES["train"])
    """Training images, stratified, repeated to the number of steps of all; None: each one once."""

    @model_validator(mode="after")
    def _require_consistent(self) -> Self:
        for key, expected in (("precision", "float32"), ("threads", 1)):
            if self.portable and (found := getattr(self, key)) != expected:
                message = f"expected {expected} with portable: true, got {found!r}"
                raise error_below(key, f"{message}. Change it, or set portable: false")
        if (self.images or 0) + self.validation_images > SPLIT_SIZES["train"]:
            message = f"expected at most {SPLIT_SIZES['train']} with those held out"
            raise error_below("images", f"{message}, got {self.images}. Lower it")
        return self

    def with_precision(self, precision: Precision) -> Self:
        """Return the recipe in another precision; only float32 can be portable."""
        portable = self.portable and precision == "float32"
        return self.model_copy(update={"precision": precision, "portable": portable})


def read_training(name: str, path: Path) -> tuple[Architecture, Train]:
    """Read one architecture, scaled by the recipe's ``dropout_scale``, and the recipe."""
    recipe = read_section(path, ("train",), Train)
    architecture = read_section(path, ("architectures", name), Architecture)
    return effective_architecture(architecture, recipe), recipe


def effective_architecture(architecture: Architecture, recipe: Recipe) -> Architecture:
    """Return the architecture with its dropout scale times the recipe's."""
    scale = architecture.dropout_scale * recipe.dropout_scale
    return architecture.model_copy(update={"dropout_scale": scale})


def read_section(path: Path, keys: tuple[str, ...], kind: type[Section]) -> Section:
    """Read and check the section of a YAML file to which the keys lead."""
    try:
        entry: Any = YAML(typ="safe").load(path)
        for each in keys:
            entry = entry[each]
        return kind.model_validate(entry)
    except (OSError, YAMLError, KeyError, TypeError, ValueError) as error:
        key = ".".join(keys)
        raise ParameterError(f"{path}: {key}: {error}. Run `dvc repro check`.") from error

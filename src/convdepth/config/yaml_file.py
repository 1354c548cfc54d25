"""Read a YAML file strictly; name each mistake by its dotted key."""

import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from convdepth.config.architecture import Strict
from convdepth.core.errors import ParameterError
from convdepth.core.text import suggest

File = TypeVar("File", bound=Strict)
"""The schema of a whole YAML file."""

# Shows the beginning of a value: a few lines of YAML can expand to gigabytes of text.
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel = 3
_BRIEF.maxlist = _BRIEF.maxdict = 10
_BRIEF.maxstring = _BRIEF.maxlong = _BRIEF.maxother = 110

EXPECTED = {
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
"""Maps pydantic's error types to the expected value in words."""


def read_file(path: Path, kind: type[File]) -> File:
    """Read and check a YAML file; the error has a line per mistake: dotted key, expected, found."""
    entries = _read_yaml(path)
    try:
        return kind.model_validate(entries)
    except ValidationError as error:
        lines = [f"{path}: {_explain(detail, kind)}" for detail in error.errors()]
        raise ParameterError("\n".join(lines)) from None


def show(value: object) -> str:
    """Return the value as Python writes it, at most 100 characters."""
    text = _BRIEF.repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _read_yaml(path: Path) -> Any:
    # DVC reads with ruamel, too. PyYAML would read 1e-3 as a string and `no` as false.
    try:
        return YAML(typ="safe").load(path)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}. Run in the project's folder."
    except MarkedYAMLError as error:
        # Its own text runs over several lines, and may advise to turn the check off.
        found = ", ".join(filter(None, (error.context, error.problem)))
        reason = f"is not valid YAML: line {error.problem_mark.line + 1}: {found}"
    except RecursionError:
        reason = "expected at most six nested levels, got more"
    except (YAMLError, ValueError, KeyError) as error:
        reason = f"is not valid YAML: {' '.join(str(error).split())}"
    raise ParameterError(f"{path}: {reason}")


def _explain(detail: ErrorDetails, file: type[Strict]) -> str:
    """Describe one mistake in one line: dotted key, expected value, found value."""
    *above, last = map(str, detail["loc"] or ("",))
    parts = [*(part for part in above if not part.endswith("#")), last]
    key = ".".join(parts).removesuffix(".[key]")
    found = show(detail["input"])
    match detail["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key, set to {found}; {_known_keys(detail['loc'], file)}"
        case "missing":
            return f"{key}: expected a value, got none; add this key"
        case "key_below":
            return f"{key}.{detail['msg']}".removeprefix(".")
        case "value_error":
            return f"{key}: {detail['ctx']['error']}"
    expected = EXPECTED.get(detail["type"], "a valid value").format(**detail.get("ctx", {}))
    # The whole file has no key.
    return f"{key}: expected {expected}, got {found}".removeprefix(": ")


def _known_keys(location: tuple[int | str, ...], section: type[Strict]) -> str:
    """List the known keys of a section and the one nearest to the unknown key."""
    *above, wrong = location
    for part in above:
        if field := _fields(section).get(str(part)):
            section = next(_models(field.annotation))
    number = "".join(re.findall(r"\d+$", str(wrong))) or "1"  # blok2 was meant to be block2
    known = [name.replace("#", number) for name in _fields(section)]
    return f"known here: {', '.join(known)}{suggest(str(wrong), known)}"


def _fields(section: type[Strict]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[Strict]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)

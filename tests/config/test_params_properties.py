"""Any change of a parameter file gives valid parameters, or an error that names the file."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.config.studies import read_study_params, require_consistent
from convdepth.core.errors import ConvdepthError

PARAMS = read_params(PROJECT / "params.yaml")


def read_studies(path: Path) -> None:
    require_consistent(path, read_study_params(path), PARAMS)


READERS: dict[str, Callable[[Path], Any]] = {
    "params.yaml": read_params,
    "studies/params.yaml": read_studies,
}
CONTENTS = {name: (PROJECT / name).read_bytes() for name in READERS}
ENTRIES = {name: YAML(typ="safe").load(content) for name, content in CONTENTS.items()}

Place = tuple[str | int, ...]

MARK, REPEATED = "\N{SNOWMAN}value", "\N{SNOWMAN}key"
"""Stand in the entries for a text of YAML, and for a second key of the same name."""

YAML_TEXTS = [
    *(".nan", "-.inf", "1e400", "9" * 5000, "-1", "0", "1_0e-3", "0x1F", "~", "true", "no", ""),
    *("2024-13-01", "2001-12-14t21:59:43.10-05:00", "12:30:45", "!!binary x", "!!bool maybe"),
    *("*unknown", "&a [*a]", "&b {b: *b}", "!!python/object:os.system x", "!x 1", "!!set {a}"),
    *("{a: 1, a: 2}", "{<<: 3}", "{? [1]: 2}", "{? {a: 1}: 2}", "[[[[]]]]", "{1: 2, null: 3}"),
    *("'$(rm -rf /)'", "'a; b | c > d'", '"`id`"', "'../../x'", "'--option'", '"a\\nb"', "größer"),
    *('"\\0"', '"\\uD800"', "'%s {0}'", "'{key}'", "'\N{LINE SEPARATOR}'", "[" * 3000 + "]" * 3000),
    *("|", "- a"),
]

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
) | st.text(max_size=20)
VALUES = st.sampled_from(YAML_TEXTS) | st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
).map(json.dumps)


def places(entries: Any, above: Place = ()) -> Iterator[Place]:
    """Yield the place of each key and of each item of a list."""
    pairs = entries.items() if isinstance(entries, dict) else enumerate(entries)
    for key, value in pairs:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


PLACES = {name: sorted(places(entries), key=str) for name, entries in ENTRIES.items()}


@st.composite
def mutated(draw: st.DrawFn, name: str) -> bytes:
    """Draw a file with a key that is deleted, renamed, repeated or has another value."""
    entries = json.loads(json.dumps(ENTRIES[name]))
    *above, last = draw(st.sampled_from(PLACES[name]))
    section: Any = entries
    for key in above:
        section = section[key]
    match draw(st.sampled_from(["delete", "rename", "replace", "replace", "repeat"])):
        case "delete":
            del section[last]
        case "rename" if isinstance(section, dict):
            section[draw(st.text(max_size=10))] = section.pop(last)
        case "repeat" if isinstance(section, dict):
            section[f"{REPEATED}{last}"] = section[last]
        case _:
            section[last] = MARK
    text = json.dumps(entries, ensure_ascii=False).replace(REPEATED, "")
    return text.replace(f'"{MARK}"', draw(VALUES)).encode(errors="surrogatepass")


@st.composite
def garbled(draw: st.DrawFn, name: str) -> bytes:
    """Draw a file in which some bytes in a row are replaced by others."""
    content = CONTENTS[name]
    start = draw(st.integers(0, len(content)))
    return (
        content[:start] + draw(st.binary(max_size=8)) + content[start + draw(st.integers(0, 8)) :]
    )


@pytest.mark.parametrize("name", READERS)
def test_a_changed_file_is_valid_or_named_by_its_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "params.yaml"

    @cases(600)
    @given(mutated(name) | garbled(name))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            READERS[name](path)
        except ConvdepthError as error:
            assert error.exit_code == 2
            assert str(error).startswith(f"{path}: ")

    check()

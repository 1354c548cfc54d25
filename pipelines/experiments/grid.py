"""The experiments of a sweep: a commit, and changed values in its ``params.yaml``.

All are checked before the first one runs, and quickly: this module imports no Prefect and no DVC.
"""

import hashlib
import io
import itertools
import json
import math
import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from convdepth.config.params import read_architecture, read_params
from convdepth.core.errors import ParameterError
from convdepth.core.text import suggest
from pipelines.core.git import git, require_identity

PARAMS = Path("params.yaml")

SEED = "train.seed"
"""The parameter that repeats an experiment, and does not make it another one."""

Value = bool | int | float | str | None
"""A scalar, as DVC reads YAML."""

Changes = Mapping[str, Value]
"""Dotted keys of ``params.yaml``, and their new values."""


@dataclass(frozen=True)
class Experiment:
    """A commit with changed parameters.

    Attributes:
        name: DVC's name of it. It follows from the rest, so an experiment is found again.
        commit: The full name of the commit.
        changes: The changed values.
        params: The whole text of ``params.yaml`` with the changes.
    """

    name: str
    commit: str
    changes: Changes
    params: str


def parse_settings(settings: Iterable[str]) -> dict[str, list[Value]]:
    """Read the values of each key from texts such as ``train.seed=1,2,3``.

    Raises:
        ParameterError: A text has another form. The message has one line for each mistake.
    """
    changes: dict[str, list[Value]] = {}
    mistakes = []
    for setting in settings:
        key, _, values = setting.partition("=")
        try:
            if key in changes:
                raise ValueError("the key is given twice; give all its values at once")
            changes[key] = [_parse(value) for value in values.split(",")]
        except ValueError as error:
            mistakes.append(f"{setting}: expected KEY=VALUE,VALUE,...: {error}")
    _refuse(mistakes)
    return changes


def plan(
    changes: Mapping[str, Sequence[Value]],
    sample: int | None = None,
    sample_seed: int = 0,
    architectures: Iterable[str] | None = None,
    folder: Path = Path(),
) -> list[Experiment]:
    """List the experiments of a sweep on top of HEAD, one for each combination of values.

    Args:
        changes: The values of each key of ``params.yaml`` that is varied.
        sample: How many combinations to draw; by default all are taken.
        sample_seed: Determines the draw.
        architectures: The wanted networks, by default all. They are part of the name.
        folder: The root of the project.

    Raises:
        ParameterError: A change is not committed; a key, a value or a network is wrong; or no
            images are held out, so that only the test set could tell which experiment is best.
            The message has one line for each mistake.
        MachineError: Git is missing, does not know who commits, or finds no commit.
    """
    if changed := git("diff", "--name-only", "HEAD", folder=folder).splitlines():
        raise ParameterError(
            f"an experiment belongs to a commit, but there are changes in {', '.join(changed)}. "
            "Run `git commit --all`, or `git stash`."
        )
    require_identity(folder)
    commit = git("rev-parse", "HEAD", folder=folder)
    networks = sorted(set(architectures or ()))
    for name in networks:
        read_architecture(name, folder / PARAMS)
    read_params(folder / PARAMS)
    text = (folder / PARAMS).read_bytes().decode()
    _require_values(text, changes)
    points = combine(changes, sample, sample_seed)
    named = {_name(commit, point, networks): point for point in points}
    experiments = [
        Experiment(name, commit, point, set_values(text, point)) for name, point in named.items()
    ]
    _refuse(_mistakes(experiments))
    return experiments


def combine(
    changes: Mapping[str, Sequence[Value]], sample: int | None = None, sample_seed: int = 0
) -> list[dict[str, Value]]:
    """Make all combinations of values, or draw some; the last key changes fastest.

    Raises:
        ParameterError: There are fewer combinations than ``sample``.
    """
    # JSON tells true from 1, which are equal in Python.
    values = [
        list({json.dumps(value): value for value in each}.values()) for each in changes.values()
    ]
    points = list(itertools.product(*values))
    if sample is not None:
        if not 1 <= sample <= len(points):
            raise ParameterError(
                f"sample: expected 1 to {len(points)}, the number of combinations, got {sample}"
            )
        drawn = random.Random(sample_seed).sample(range(len(points)), sample)  # noqa: S311
        points = [points[index] for index in sorted(drawn)]
    return [dict(zip(changes, point, strict=True)) for point in points]


def set_values(text: str, changes: Changes) -> str:
    """Set values by dotted key in the text of ``params.yaml``; comments, order and layout stay."""
    yaml = YAML()
    # Ruamel would leave null out; the table of the class is shared by all of this process.
    table = yaml.representer.yaml_representers
    yaml.representer.yaml_representers = {**table, type(None): _represent_null}
    yaml.preserve_quotes = True
    yaml.width = len(text)  # no line is broken
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(text)
    for key, value in changes.items():
        *sections, last = key.split(".")
        entries = content
        for section in sections:
            entries = entries.setdefault(section, {})
        entries[last] = value
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


def flatten(section: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        flat |= (
            flatten(value, f"{above}{key}.") if isinstance(value, Mapping) else {above + key: value}
        )
    return flat


def _represent_null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _parse(text: str) -> Value:
    if not text.strip():
        raise ValueError("a value is missing")
    try:
        value = YAML(typ="safe").load(text)
    except YAMLError:
        raise ValueError(f"{text!r} is not valid YAML") from None
    if not isinstance(value, Value) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{text!r}: expected a finite number, a text, true, false or null")
    return value


def _require_values(text: str, changes: Mapping[str, Sequence[Value]]) -> None:
    if not changes:
        raise ParameterError("nothing is varied: expected keys with values, as in train.seed=1,2")
    values = flatten(YAML(typ="safe").load(text))
    known = [key for key, value in values.items() if isinstance(value, Value)]
    mistakes = []
    for key in changes:
        if inside := [name for name in known if name.startswith(f"{key}.")]:
            mistakes.append(f"{key}: expected the key of one value, got a section with {inside}")
        elif key not in known:
            mistakes.append(f"{key}: the file has no single value of this key{suggest(key, known)}")
        elif not changes[key]:
            mistakes.append(f"{key}: expected at least one value, got none")
    _refuse(f"{PARAMS}: {mistake}" for mistake in mistakes)


def _mistakes(experiments: Iterable[Experiment]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PARAMS
        for experiment in experiments:
            path.write_bytes(experiment.params.encode())
            try:
                held_out = read_params(path).train.validation_images
            except ParameterError as error:
                yield from str(error).replace(str(path), str(PARAMS)).splitlines()
            else:
                if held_out == 0:
                    yield (
                        f"{PARAMS}: train.validation_images: expected more than 0, got 0: "
                        "experiments are compared on held-out training images, never on the test "
                        "set. Vary it too, as in train.validation_images=5000, or commit a value."
                    )


def _refuse(mistakes: Iterable[str]) -> None:
    # The same mistake comes once for each combination that it is in.
    if lines := list(dict.fromkeys(mistakes)):
        raise ParameterError("\n".join(lines))


def _name(commit: str, changes: Changes, networks: Sequence[str]) -> str:
    content = json.dumps([commit, changes, networks], sort_keys=True)
    return f"sweep-{hashlib.sha256(content.encode()).hexdigest()[:8]}"

"""Which experiments a sweep is made of: a commit, and changes of the parameters in it.

All of them are checked before the first one runs, and quickly: neither Prefect nor DVC is
imported here.
"""

import hashlib
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
from ruamel.yaml.nodes import MappingNode, ScalarNode

from convdepth.config.params import read_architecture, read_params
from convdepth.core.errors import MachineError, ParameterError
from convdepth.core.text import suggest
from pipelines.checkout.git import git

PARAMS = Path("params.yaml")

SEED = "train.seed"
"""The parameter that repeats an experiment, and does not make it another one."""

Value = bool | int | float | str | None
"""What a key can be set to: a scalar, as DVC reads YAML."""

Changes = Mapping[str, Value]
"""Dotted keys of ``params.yaml``, and what they are set to."""


@dataclass(frozen=True)
class Experiment:
    """A commit with changed parameters.

    Attributes:
        name: As DVC knows it. It follows from all the rest, so that the same experiment is found
            again.
        commit: The hash of the commit.
        changes: What is changed in ``params.yaml``.
        params: The whole text of ``params.yaml`` with the changes.
    """

    name: str
    commit: str
    changes: Changes
    params: str


def parse_settings(settings: Iterable[str]) -> dict[str, list[Value]]:
    """Read what is to be varied from the command line.

    Args:
        settings: Texts such as ``train.seed=1,2,3``: a dotted key of ``params.yaml``, and values
            as YAML has them, with commas between.

    Returns:
        The values of each key, in their order.

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
    """List the experiments of a sweep, on top of the newest commit.

    Args:
        changes: The values of each key of ``params.yaml`` that is varied.
        sample: How many combinations to draw; by default all are taken.
        sample_seed: Determines the draw.
        architectures: The networks that are wanted; by default all. They are part of the name.
        folder: The root of the project.

    Returns:
        One experiment for each combination of values, in the order of the grid.

    Raises:
        ParameterError: Something is changed and not committed; a key, a value or a network is
            wrong; or no images are held out, so that only the test set could tell which
            experiment is the best. The message has one line for each mistake.
        MachineError: git is missing, does not know who commits, or finds no commit here.
    """
    commit = _require_commit(folder)
    for name in architectures or ():
        read_architecture(name, folder / PARAMS)
    read_params(folder / PARAMS)
    text = (folder / PARAMS).read_bytes().decode()
    _require_values(text, changes)
    named = {
        _name(commit, point, architectures): point
        for point in combine(changes, sample, sample_seed)
    }
    experiments = [
        Experiment(name, commit, point, set_values(text, point)) for name, point in named.items()
    ]
    _refuse(_mistakes(experiments))
    return experiments


def combine(
    changes: Mapping[str, Sequence[Value]], sample: int | None = None, sample_seed: int = 0
) -> list[dict[str, Value]]:
    """Make all combinations of values, or draw some of them.

    Args:
        changes: The values of each key.
        sample: How many combinations to draw, all different; by default all are taken.
        sample_seed: Determines the draw.

    Returns:
        The combinations, the last key changing fastest.

    Raises:
        ParameterError: There are fewer than ``sample``.
    """
    values = [_without_repetition(found) for found in changes.values()]
    total = math.prod(map(len, values))
    if sample is not None and not 1 <= sample <= total:
        raise ParameterError(
            f"sample: expected 1 to {total}, which is the number of combinations, got {sample}"
        )
    points: Iterable[tuple[Value, ...]] = itertools.product(*values)
    if sample is not None:
        # As many draws give the same ones on every machine; nothing here is a secret.
        drawn = set(random.Random(sample_seed).sample(range(total), sample))  # noqa: S311
        points = (point for index, point in enumerate(points) if index in drawn)
    return [dict(zip(changes, point, strict=True)) for point in points]


def set_values(text: str, changes: Changes) -> str:
    """Put values into the text of a YAML file; all else in it, comments too, stays as it is.

    Args:
        text: The file.
        changes: Dotted keys that are in it, with their values.

    Returns:
        The changed text.

    Raises:
        ParameterError: A key is not there, or its value cannot be replaced by itself.
    """
    nodes = dict(_values(YAML(typ="safe").compose(text)))
    if missing := [key for key in changes if key not in nodes]:
        raise ParameterError(
            f"{PARAMS}: {', '.join(missing)}: expected to stand there, to be changed to "
            f"{', '.join(str(changes[key]) for key in missing)}; add it with the value that it has "
            "now, or without it write the new one"
        )
    expected = YAML(typ="safe").load(text)
    changed = text
    # From the end of the file, since what is before keeps its place then.
    for key in sorted(changes, key=lambda key: nodes[key].start_mark.index, reverse=True):
        start, end = nodes[key].start_mark.index, nodes[key].end_mark.index
        blank = " " if start == end else ""
        changed = f"{changed[:start]}{blank}{_as_yaml(changes[key])}{changed[end:]}"
        _set(expected, key, changes[key])
    if _load(changed) != expected:
        raise ParameterError(
            f"{PARAMS}: {', '.join(changes)}: cannot be changed by itself; write the value on one "
            "line, without an anchor or an alias"
        )
    return changed


def _parse(text: str) -> Value:
    if not text.strip():
        raise ValueError("a value is missing")
    try:
        value = YAML(typ="safe").load(text)
    except YAMLError:
        raise ValueError(f"{text!r} is not valid YAML") from None
    if not isinstance(value, Value) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{text!r} is no finite number, no text, and not true, false or null")
    return value


def _require_commit(folder: Path) -> str:
    if changed := git("diff", "--name-only", "HEAD", folder=folder).splitlines():
        raise ParameterError(
            f"an experiment belongs to a commit, and these are changed since the last one: "
            f"{', '.join(changed)}. Run `git commit --all` to keep the changes, or `git stash` to "
            "put them aside."
        )
    try:
        # Without the setting git would make a name up from the machine's.
        git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT", folder=folder)
    except MachineError as error:
        raise MachineError(
            "an experiment is a commit, and git does not know who commits. "
            '`git config user.name "NAME"` and `git config user.email "ADDRESS"` tell it.'
        ) from error
    return git("rev-parse", "HEAD", folder=folder)


def _require_values(text: str, changes: Mapping[str, Sequence[Value]]) -> None:
    if not changes:
        raise ParameterError("nothing is varied: expected keys with values, as in train.seed=1,2")
    known = [key for key, _ in _values(YAML(typ="safe").compose(text))]
    unknown = [_unknown(key, known) for key in changes if key not in known]
    empty = [f"{key}: expected at least one value, got none" for key in changes if not changes[key]]
    _refuse(f"{PARAMS}: {mistake}" for mistake in [*unknown, *empty])


def _unknown(key: str, known: Sequence[str]) -> str:
    if inside := [name for name in known if name.startswith(f"{key}.")]:
        return f"{key}: expected the key of one value, got a section; in it are {', '.join(inside)}"
    return f"{key}: the file has no single value of this key{suggest(key, known)}"


def _mistakes(experiments: Iterable[Experiment]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PARAMS
        for experiment in experiments:
            path.write_bytes(experiment.params.encode())
            try:
                if read_params(path).train.validation_images == 0:
                    yield (
                        f"{PARAMS}: train.validation_images: expected more than 0, got 0: "
                        "experiments are compared by training images that are held out, never by "
                        "the test set. Vary it too, as in train.validation_images=5000, or commit "
                        "such a value."
                    )
            except ParameterError as error:
                yield from str(error).replace(str(path), str(PARAMS)).splitlines()


def _refuse(mistakes: Iterable[str]) -> None:
    # The same mistake comes once for each combination that it is in.
    if lines := list(dict.fromkeys(mistakes)):
        raise ParameterError("\n".join(lines))


def _name(commit: str, changes: Changes, architectures: Iterable[str] | None) -> str:
    networks = sorted(set(architectures or ()))
    content = json.dumps([commit, changes, networks], sort_keys=True)
    return f"sweep-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _without_repetition(values: Sequence[Value]) -> list[Value]:
    # To Python, 1 and true are the same.
    return list({json.dumps(value): value for value in values}.values())


def _values(node: Any, above: str = "") -> Iterator[tuple[str, ScalarNode]]:
    """List the single values of a YAML file by dotted key, with their places in the text."""
    if not isinstance(node, MappingNode):
        return
    for key, value in node.value:
        if isinstance(value, ScalarNode):
            yield f"{above}{key.value}", value
        else:
            yield from _values(value, f"{above}{key.value}.")


def _set(entries: dict[str, Any], dotted_key: str, value: Value) -> None:
    *sections, last = dotted_key.split(".")
    for section in sections:
        entries = entries[section]
    entries[last] = value


def _load(text: str) -> Any:
    try:
        return YAML(typ="safe").load(text)
    except YAMLError:
        return None


def _as_yaml(value: Value) -> str:
    # A text may stand without quotes if it is one even in a flow mapping.
    if isinstance(value, str) and _load(f"[{value}]") == [value]:
        return value
    return json.dumps(value)

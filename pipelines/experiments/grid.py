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

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from convdepth.config.params import find_architecture, read_params
from convdepth.core.errors import ParameterError
from convdepth.workspace.git import git, require_identity

PARAMS = Path("params.yaml")

SEED = "train.seed"  # the parameter that repeats an experiment, and does not make it another one
Value = bool | int | float | str | None  # a scalar, as DVC reads YAML
Changes = Mapping[str, Value]  # dotted keys of ``params.yaml``, and their new values


@dataclass(frozen=True)
class Experiment:
    """A commit with changed parameters."""

    name: str  # DVC's name, which follows from the rest, so an experiment is found again
    commit: str
    changes: Changes
    params: str  # the whole text of ``params.yaml`` with the changes


def parse_settings(settings: Iterable[str]) -> dict[str, list[Value]]:
    """Read the values of each key from texts such as ``train.seed=1,2,3``."""
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
) -> list[Experiment]:
    """List the experiments of a sweep on top of HEAD, one for each combination, or for a sample.

    It is a `ParameterError` if a change is not committed; if a key, a value or a network is wrong;
    or if no images are held out, so that only the test set could tell which experiment is best.
    """
    if changed := git("diff", "--name-only", "HEAD").splitlines():
        raise ParameterError(
            f"an experiment belongs to a commit, but there are changes in {', '.join(changed)}. "
            "Run `git commit --all`, or `git stash`."
        )
    require_identity()
    commit = git("rev-parse", "HEAD")
    params, networks = read_params(PARAMS), sorted(set(architectures or ()))
    for name in networks:
        find_architecture(name, params, PARAMS)
    text = PARAMS.read_bytes().decode()
    if not all([changes, *changes.values()]):
        raise ParameterError("nothing is varied: expected keys with values, as in train.seed=1,2")
    experiments = [
        Experiment(_name(commit, point, networks), commit, point, set_values(text, point))
        for point in combine(changes, sample, sample_seed)
    ]
    _refuse(_mistakes(experiments))
    return experiments


def combine(
    changes: Mapping[str, Sequence[Value]], sample: int | None = None, sample_seed: int = 0
) -> list[dict[str, Value]]:
    """Make all combinations of values, or draw ``sample`` of them; the last key changes fastest."""
    # JSON tells true from 1, which are equal in Python.
    values = ({json.dumps(value): value for value in each}.values() for each in changes.values())
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
    # Ruamel would leave null out; it shares the table of the class with all of this process.
    null = {type(None): lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")}
    yaml.representer.yaml_representers = yaml.representer.yaml_representers | null
    yaml.preserve_quotes = True
    yaml.width = len(text)  # no line is broken
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(text)
    for key, value in changes.items():
        *sections, last = key.split(".")
        entries = content
        for section in sections:
            entries = entries.setdefault(section, {})
            if not isinstance(entries, dict):
                raise ParameterError(f"{PARAMS}: {key}: no such key, {section} has no keys")
        entries[last] = value
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


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

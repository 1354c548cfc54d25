"""The list of `convdepth models`: what `--model` takes, with accuracy and numeric class."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from convdepth.commands.tables import make_table, print_table
from convdepth.config.params import read_params
from convdepth.core.errors import DataError, ParameterError
from convdepth.core.text import markdown_table
from convdepth.workspace.lockfile import model_path, numeric_class
from convdepth.workspace.registry import list_versions, read_results

HEADER = ["model", "stages", "commit", "accuracy (95% interval)", "numeric class"]
ACCURACY = ("accuracy", "accuracy_low", "accuracy_high")
LIBRARIES = {"tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy"}


@dataclass(frozen=True)
class Model:
    """A model as `--model` takes it; metrics and numeric class are empty where unknown.

    The commit is empty for the workspace, whose models have no version.
    """

    model: str
    stages: tuple[str, ...]
    commit: str
    metrics: Mapping[str, Any]
    numeric_class: Mapping[str, Any]


def list_models(params: Path, project: Path = Path()) -> Iterator[Model]:
    """List the models of the workspace in order, then all versions, the highest first."""
    for name in read_params(params).architectures:
        made = {}
        with contextlib.suppress(DataError, ParameterError):  # not trained, or not here
            made = numeric_class(model_path(name, project))
        yield Model(name, (), "", _read_metrics(name, None, project), made)
    for each in list_versions(project):
        metrics = _read_metrics(each.network, each.commit, project)
        made = _parse(each.message)
        yield Model(f"{each.network}@{each.name}", each.stages, each.commit, metrics, made)


def print_models(params: Path, style: str, project: Path = Path()) -> None:
    """Print the models as a table, as Markdown, or as JSON."""
    models = list(list_models(params, project))
    rows = [_cells(model) for model in models]
    if style == "json":
        print(json.dumps([asdict(model) for model in models], indent=2, sort_keys=True))
    elif style == "markdown":
        print(markdown_table(HEADER, rows, words=len(HEADER)))
    else:
        table = make_table(*HEADER)
        for row in rows:
            table.add_row(*row)
        print_table(table, Console(markup=False))


def _read_metrics(name: str, commit: str | None, project: Path) -> dict[str, Any]:
    metrics = read_results(f"evaluate@{name}", commit, project)
    return {key: metrics[key] for key in (*ACCURACY, "status") if key in metrics}


def _parse(message: str) -> dict[str, Any]:
    """Return the numeric class in the message of a tag, which people may have written."""
    with contextlib.suppress(ValueError):
        if isinstance(made := json.loads(message), dict):
            return made
    return {}


def _cells(model: Model) -> list[str]:
    accuracy = "not evaluated"
    if metrics := model.metrics:
        share, low, high = (100 * metrics[key] for key in ACCURACY)
        accuracy = f"{share:.2f}% ({low:.2f} to {high:.2f})"
        accuracy += "" if metrics["status"] == "ok" else f", {metrics['status']}"
    made = {key: str(value) for key, value in model.numeric_class.items()}
    device = [made.get("device", "not recorded"), made.get("instructions", "")]
    versions = [f"{name} {made[key]}" for key, name in LIBRARIES.items() if key in made]
    words = [" ".join(filter(None, device)), made.get("precision", ""), *versions]
    stages, commit = ", ".join(model.stages), model.commit[:7] or "workspace"
    return [model.model, stages, commit, accuracy, ", ".join(filter(None, words))]

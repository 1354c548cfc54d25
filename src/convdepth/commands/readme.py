"""The tables of README.md, written from the results."""

import itertools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_text
from convdepth.evaluation.notebook_record import read_notebook

Entry = Mapping[str, Any]
Columns = Mapping[str, Callable[[Entry], str]]
"""The header of each column after the first, and its cell for an entry of the results."""


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _points(difference: float) -> str:
    return f"{round(100 * difference, 2) + 0:+.2f}"  # + 0 turns -0.0 into 0.0


def _p(p: float | None) -> str:
    return "-" if p is None else "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _status(metrics: Entry) -> str:
    if metrics["status"] != "collapsed":
        return str(metrics["status"])
    share, answer = metrics["evidence"]["answer_share"], metrics["evidence"]["answer"]
    return f'collapsed: {_percent(share)} of its answers are "{answer}"'


_MEAN: Columns = {
    "mean test accuracy": lambda entry: f"**{_percent(entry['accuracy']['mean'])}**",
    "sd": lambda entry: _percent(entry["accuracy"]["standard_deviation"]),
}

_COLLAPSED: Columns = {"collapsed": lambda entry: f"{entry['collapsed']} of {entry['count']}"}

_JUDGED: Columns = {
    "95 % interval": lambda entry: f"{_points(entry['low'])} to {_points(entry['high'])}",
    "p": lambda entry: _p(entry["corrected_p"]),
    "verdict": lambda entry: str(entry["verdict"]),
}

_PAIRS: Columns = {
    "second less first, points": lambda entry: _points(entry["difference"]),
    **_JUDGED,
}

SECTIONS: Mapping[str, Columns] = {
    "results": {
        "blocks": lambda entry: str(entry["blocks"]),
        "parameters": lambda entry: f"{entry['parameters']:,}",
        "test accuracy": lambda entry: f"**{_percent(entry['accuracy'])}**",
        "95 % interval": lambda entry: (
            f"{_percent(entry['accuracy_low'])} to {_percent(entry['accuracy_high'])}"
        ),
        "notebook": lambda entry: _percent(entry["notebook_accuracy"]),
        "status": _status,
    },
    "seeds": {
        "seeds": lambda entry: str(entry["count"]),
        **_MEAN,
        "95 % interval": lambda entry: (
            f"{_percent(entry['accuracy']['low'])} to {_percent(entry['accuracy']['high'])}"
        ),
        **_COLLAPSED,
    },
    "pairs": _PAIRS,
    "tuned": {
        "tuned: mean test accuracy": _MEAN["mean test accuracy"],
        "sd": _MEAN["sd"],
        **_COLLAPSED,
        "gain, points": _PAIRS["second less first, points"],
        **_JUDGED,
    },
    "tuned_pairs": _PAIRS,
    "claims": {
        "accuracy, output": lambda entry: _percent(entry["test_accuracy"]),
        "accuracy, text": lambda entry: _percent(entry["claimed_accuracy"]),
        "loss, output": lambda entry: f"{entry['test_loss']:.3f}",
        "loss, text": lambda entry: f"{entry['claimed_loss']:.3f}",
    },
}
"""The columns of each table, by the name in its marks."""


def update_readme(readme: Path, metrics: Path, notebook: Path, params: Path) -> None:
    """Write the tables between their marks, ``<!-- name -->`` and ``<!-- /name -->``.

    Args:
        readme: The Markdown file to change; its other text stays.
        metrics: The folder with one JSON file per network, and with the results of the studies.
        notebook: The JSON file with the notebook's records.
        params: The parameters; they give the networks and their order.

    Raises:
        DataError: A file is missing or malformed, or a mark is not in the Markdown exactly once.
        MachineError: The Markdown cannot be written.
    """
    results = _collect(metrics, notebook, list(read_params(params).architectures))
    text = readme.read_text(encoding="utf-8")
    for name, columns in SECTIONS.items():
        text = _replace(readme, text, name, _table(results[name], columns))
    write_text(readme, text)


def _collect(metrics: Path, notebook: Path, names: list[str]) -> dict[str, dict[str, Entry]]:
    """Return for each section the entries by network or pair, in order."""
    contrasts = _read_study(metrics / "studies" / "contrasts.json")
    tuned = _read_study(metrics / "tuned" / "summary.json").get("networks", {})
    gains = contrasts.get("gains", {}).get("networks", {})
    pairs = [" / ".join(pair) for pair in itertools.combinations(names, 2)]

    def compared(found: Mapping[str, Entry]) -> dict[str, Entry]:
        return {pair: found[pair] for pair in pairs if pair in found}

    return {
        "results": {name: _read_json(metrics / f"{name}.json", "dvc repro") for name in names},
        "seeds": {name: _read_study(metrics / "replicates" / f"{name}.json") for name in names},
        "pairs": compared(contrasts.get("pairs", {})),
        "tuned": {
            name: {**tuned[name], **gains[name]}
            for name in names
            if name in tuned and name in gains
        },
        "tuned_pairs": compared(contrasts.get("tuned", {}).get("pairs", {})),
        "claims": {name: each.model_dump() for name, each in read_notebook(notebook).items()},
    }


def _table(entries: Mapping[str, Entry], columns: Columns) -> str:
    """Return a Markdown table with one row per entry; an empty entry has not been run."""
    first = "pair" if columns is _PAIRS else "network"
    rows = [[first, *columns], ["---"] * (len(columns) + 1)]
    for name, entry in entries.items():
        cells = [cell(entry) for cell in columns.values()] if entry else ["not run"]
        cells += ["-"] * (len(columns) - len(cells))
        rows.append([f"`{name.replace(' / ', '` / `')}`", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _read_study(path: Path) -> dict[str, Any]:
    """Read a result of the studies; empty if they have not run, since they take hours."""
    return _read_json(path, "dvc repro studies/dvc.yaml") if path.exists() else {}


def _read_json(path: Path, command: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Run `{command}`.") from error


def _replace(readme: Path, text: str, name: str, table: str) -> str:
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    marked = re.compile(f"{start}.*?{end}", re.DOTALL)
    replaced, count = marked.subn(lambda _: f"{start}\n{table}\n{end}", text)
    if count != 1:
        raise DataError(f"{readme}: expected {start} ... {end} once, found it {count} times")
    return replaced

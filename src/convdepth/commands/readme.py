"""The tables of README.md, written from the results."""

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_text
from convdepth.evaluation.notebook_record import read_notebook

Entry = Mapping[str, Any]

JUDGED = {
    "95 % interval": "{low:points} to {high:points}",
    "p": "{corrected_p:p}",
    "verdict": "{verdict}",
}

PAIRS = {"pair": "{name}", "second less first, points": "{difference:points}", **JUDGED}

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "results": {
        "network": "{name}",
        "blocks": "{blocks}",
        "parameters": "{parameters:,}",
        "test accuracy": "**{accuracy:percent}**",
        "95 % interval": "{accuracy_low:percent} to {accuracy_high:percent}",
        "notebook": "{notebook_accuracy:percent}",
        "status": "{status}",
    },
    "seeds": {
        "network": "{name}",
        "seeds": "{count}",
        "mean test accuracy": "**{accuracy[mean]:percent}**",
        "sd": "{accuracy[standard_deviation]:percent}",
        "95 % interval": "{accuracy[low]:percent} to {accuracy[high]:percent}",
        "collapsed": "{collapsed} of {count}",
    },
    "pairs": PAIRS,
    "tuned": {
        "network": "{name}",
        "tuned: mean test accuracy": "**{accuracy[mean]:percent}**",
        "sd": "{accuracy[standard_deviation]:percent}",
        "collapsed": "{collapsed} of {count}",
        "gain, points": "{difference:points}",
        **JUDGED,
    },
    "tuned_pairs": PAIRS,
    "claims": {
        "network": "{name}",
        "accuracy, output": "{test_accuracy:percent}",
        "accuracy, text": "{claimed_accuracy:percent}",
        "loss, output": "{test_loss:.3f}",
        "loss, text": "{claimed_loss:.3f}",
    },
}
"""For each table, by the name in its marks, the header and the template of each column."""


class CellFormatter(Formatter):
    """Fills templates; ``percent`` and ``points`` take shares, and None becomes a dash."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Format one value of a template."""
        if value is None:
            return "-"
        if format_spec == "percent":
            return f"{100 * value:.2f} %"
        if format_spec == "points":
            return f"{round(100 * value, 2) + 0:+.2f}"  # + 0 turns -0.0 into 0.0
        if format_spec == "p":
            return "< 0.0001" if value < 0.0001 else f"{value:.2g}"
        return str(super().format_field(value, format_spec))


def update_readme(readme: Path, metrics: Path, notebook: Path, params: Path) -> None:
    """Write the tables between their marks, ``<!-- name -->`` and ``<!-- /name -->``.

    A file that is malformed, or a mark that is not in the Markdown exactly once, is a `DataError`.

    Args:
        readme: The Markdown file to change; its other text stays.
        metrics: The folder with one JSON file per network, and with the results of the studies.
        notebook: The JSON file with the notebook's records.
        params: The parameters; they give the networks and their order.
    """
    results = _collect(metrics, notebook, list(read_params(params).architectures))
    text = readme.read_text(encoding="utf-8")
    for name, columns in SECTIONS.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        parts = re.split(f"{start}.*?{end}", text, flags=re.DOTALL)
        if len(parts) != 2:
            raise DataError(
                f"{readme}: expected {start} ... {end} once, found it {len(parts) - 1} times"
            )
        text = f"{parts[0]}{start}\n{_table(results[name], columns)}\n{end}{parts[1]}"
    write_text(readme, text)


def _collect(metrics: Path, notebook: Path, names: list[str]) -> dict[str, dict[str, Entry]]:
    """Return for each section the entries by network or pair, in order."""
    contrasts = _read_study(metrics / "studies" / "contrasts.json")
    found = contrasts.get("pairs", {})
    tuned = _read_study(metrics / "tuned" / "summary.json").get("networks", {})
    gains = contrasts.get("gains", {}).get("networks", {})
    tuned_pairs = contrasts.get("tuned", {}).get("pairs", {})
    pairs = [" / ".join(pair) for pair in itertools.combinations(names, 2)]
    return {
        "results": {name: _read_metrics(metrics / f"{name}.json") for name in names},
        "seeds": {name: _read_study(metrics / "replicates" / f"{name}.json") for name in names},
        "pairs": {each: found[each] for each in pairs if each in found},
        "tuned": {
            name: tuned[name] | gains[name] for name in names if name in tuned.keys() & gains
        },
        "tuned_pairs": {each: tuned_pairs[each] for each in pairs if each in tuned_pairs},
        "claims": {name: each.model_dump() for name, each in read_notebook(notebook).items()},
    }


def _table(entries: Mapping[str, Entry], columns: Mapping[str, str]) -> str:
    """Return a Markdown table with one row per entry; an empty entry has not been run."""
    rows = [list(columns), ["---"] * len(columns)]
    for key, entry in entries.items():
        name = f"`{key.replace(' / ', '` / `')}`"
        fields = {**entry, "name": name}
        filled = [CellFormatter().vformat(cell, (), fields) for cell in columns.values() if entry]
        rows.append(filled or [name, "not run", *["-"] * (len(columns) - 2)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _read_metrics(path: Path) -> Entry:
    """Read a network's metrics; the status of a collapsed network gets its evidence."""
    metrics = _read_json(path, "dvc repro")
    if metrics["status"] == "collapsed":
        cell = 'collapsed: {answer_share:percent} of its answers are "{answer}"'
        metrics["status"] = CellFormatter().vformat(cell, (), metrics["evidence"])
    return metrics


def _read_study(path: Path) -> dict[str, Any]:
    """Read a result of the studies; empty if they have not run, since they take hours."""
    return _read_json(path, "dvc repro studies/dvc.yaml") if path.exists() else {}


def _read_json(path: Path, command: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Run `{command}`.") from error

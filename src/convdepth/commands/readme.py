"""The numbers in README.md, taken from the results and never typed."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.core.files import write_text
from convdepth.evaluation.notebook_record import Record, read_notebook


def update_readme(readme: Path, metrics: Path, notebook: Path, params: Path) -> None:
    """Write the tables between their marks, ``<!-- name -->`` and ``<!-- /name -->``.

    Args:
        readme: The Markdown file to change; all but the tables stays as it is.
        metrics: The folder with one JSON file per network, and with what the studies found.
        notebook: The JSON file of what the notebook recorded.
        params: The parameters; they give the networks and their order.

    Raises:
        DataError: A file is missing or damaged, or the marks are not in the Markdown.
        MachineError: The Markdown cannot be written.
    """
    records, names = read_notebook(notebook), list(read_params(params).architectures)
    results = {name: _read_metrics(metrics / f"{name}.json", "dvc repro") for name in names}
    replicates = {name: _read_study(metrics / "replicates" / f"{name}.json") for name in names}
    contrasts = _read_study(metrics / "studies" / "contrasts.json")
    tuned = _read_study(metrics / "tuned" / "summary.json").get("networks", {})
    tables = {
        "results": results_table(results),
        "seeds": seeds_table(replicates),
        "pairs": pairs_table(contrasts.get("pairs", {}), names),
        "tuned": tuned_table(tuned, contrasts.get("gains", {}).get("networks", {}), names),
        "tuned_pairs": pairs_table(contrasts.get("tuned", {}).get("pairs", {}), names),
        "claims": claims_table(records),
    }
    text = readme.read_text(encoding="utf-8")
    for name, table in tables.items():
        text = _replace(readme, text, name, table)
    write_text(readme, text)


def results_table(results: dict[str, dict[str, Any]]) -> str:
    """Make a Markdown table of the networks beside the notebook.

    Args:
        results: The metrics by network, in order.

    Returns:
        One row per network; accuracies in percent.
    """
    rows = [
        [
            f"`{name}`",
            str(metrics["blocks"]),
            f"{metrics['parameters']:,}",
            f"**{_percent(metrics['accuracy'])}**",
            f"{_percent(metrics['accuracy_low'])} to {_percent(metrics['accuracy_high'])}",
            _percent(metrics["notebook_accuracy"]),
            _say(metrics),
        ]
        for name, metrics in results.items()
    ]
    header = [
        "network", "blocks", "parameters", "test accuracy", "95 % interval", "notebook", "status"
    ]  # fmt: skip
    return _table(header, rows)


def seeds_table(replicates: Mapping[str, dict[str, Any]]) -> str:
    """Make a Markdown table of what several seeds of each network say together.

    Args:
        replicates: From the stage `replicates`, by network, in order; empty for what has not run.

    Returns:
        One row per network; accuracies in percent.
    """
    header = ["network", "seeds", "mean test accuracy", "sd", "95 % interval", "collapsed"]
    return _table(header, [_seeds_row(name, found) for name, found in replicates.items()])


def _seeds_row(name: str, found: dict[str, Any]) -> list[str]:
    if not found:
        return [f"`{name}`", "not run", "-", "-", "-", "-"]
    accuracy = found["accuracy"]
    return [
        f"`{name}`",
        str(found["count"]),
        f"**{_percent(accuracy['mean'])}**",
        _percent(accuracy["standard_deviation"]),
        f"{_percent(accuracy['low'])} to {_percent(accuracy['high'])}",
        f"{found['collapsed']} of {found['count']}",
    ]


def pairs_table(pairs: Mapping[str, Any], names: Sequence[str]) -> str:
    """Make a Markdown table of which networks differ, over their seeds and the images.

    Args:
        pairs: From the stage `contrast`; empty where it has not run.
        names: The networks in order.

    Returns:
        One row per pair that was compared; differences in percentage points.
    """
    rows = [
        [f"`{first}` / `{second}`", _points(found["difference"]), *_judged(found)]
        for first, second in itertools.combinations(names, 2)
        if (found := pairs.get(f"{first} / {second}"))
    ]
    return _table(["pair", "second less first, points", "95 % interval", "p", "verdict"], rows)


def tuned_table(tuned: Mapping[str, Any], gains: Mapping[str, Any], names: Sequence[str]) -> str:
    """Make a Markdown table of what tuning does to each network.

    Args:
        tuned: From the stage `tuned`; empty where nothing is tuned.
        gains: From the stage `contrast`, of the same networks.
        names: The networks in order.

    Returns:
        One row per tuned network; accuracies in percent, differences in percentage points.
    """
    rows = [
        [
            f"`{name}`",
            f"**{_percent(tuned[name]['accuracy']['mean'])}**",
            _percent(tuned[name]["accuracy"]["standard_deviation"]),
            f"{tuned[name]['collapsed']} of {tuned[name]['count']}",
            _points(gains[name]["difference"]),
            *_judged(gains[name]),
        ]
        for name in names
        if name in tuned and name in gains
    ]
    header = [
        "network", "tuned: mean test accuracy", "sd", "collapsed", "gain, points", "95 % interval",
        "p", "verdict",
    ]  # fmt: skip
    return _table(header, rows)


def _judged(found: Mapping[str, Any]) -> list[str]:
    """Give the interval of a difference, its corrected p, and the verdict."""
    p = found["corrected_p"]
    words = "-" if p is None else "< 0.0001" if p < 0.0001 else f"{p:.2g}"
    return [f"{_points(found['low'])} to {_points(found['high'])}", words, found["verdict"]]


def claims_table(records: dict[str, Record]) -> str:
    """Make a Markdown table of what the notebook's outputs and its closing text say.

    Args:
        records: The notebook's records by network.

    Returns:
        One row per network; accuracies in percent.
    """
    rows = [
        [
            f"`{name}`",
            _percent(record.test_accuracy),
            _percent(record.claimed_accuracy),
            f"{record.test_loss:.3f}",
            f"{record.claimed_loss:.3f}",
        ]
        for name, record in records.items()
    ]
    header = ["network", "accuracy, output", "accuracy, text", "loss, output", "loss, text"]
    return _table(header, rows)


def _read_study(path: Path) -> dict[str, Any]:
    """Read a result of the studies; they take hours, and need not have run."""
    return _read_metrics(path, "dvc repro studies/dvc.yaml") if path.exists() else {}


def _read_metrics(path: Path, command: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Run `{command}`.") from error


def _say(metrics: dict[str, Any]) -> str:
    if metrics["status"] != "collapsed":
        return str(metrics["status"])
    evidence = metrics["evidence"]
    return (
        f'collapsed: {_percent(evidence["answer_share"])} of its answers are "{evidence["answer"]}"'
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _points(difference: float) -> str:
    return f"{round(100 * difference, 2) + 0:+.2f}"  # + 0, since -0.00 is none


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _replace(readme: Path, text: str, name: str, table: str) -> str:
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    replaced, count = re.subn(
        f"{re.escape(start)}.*?{re.escape(end)}",
        lambda _: f"{start}\n{table}\n{end}",
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise DataError(f"{readme}: expected {start} ... {end} once, found it {count} times")
    return replaced

"""`convdepth experiments`: the experiments of DVC and their results on one screen."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from convdepth.commands.tables import break_lines, make_table, print_table
from convdepth.core.numbers import percentage
from convdepth.core.text import markdown_table
from convdepth.workspace.dvc import require_project, show_experiments
from convdepth.workspace.git import find_commit, git
from convdepth.workspace.registry import read_results as read_evaluation

HEADER = ("experiment", "network", "changed", "accuracy", "held out", "status", "time")
UNFINISHED = ("queued", "running", "failed")
WIDE = 120  # columns of a terminal that hold a result in one line
NONE = "No experiment yet: `dvc exp run -S KEY=VALUE` and `python -m pipelines sweep` make some."


@dataclass(frozen=True)
class Result:
    """A network in an experiment, or in the commit itself if ``experiment`` is empty.

    ``status`` is the network's. Without results of its own, an experiment has no network, and
    DVC's status, such as ``queued``. Accuracies are from 0 to 1; ``low`` and ``high``
    are the 95% interval over test images.
    """

    commit: str
    experiment: str
    time: str
    status: str
    network: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict)
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    held_out: float | None = None


def print_experiments(
    revisions: Sequence[str], network: str | None, order: str, style: str, project: Path = Path()
) -> None:
    """Print the experiments on top of some commits, or of all commits that have any."""
    results = read_results(revisions, order, project)
    results = [each for each in results if network is None or each.network in (network, "")]
    if style == "json":
        print(json.dumps([asdict(each) for each in results], indent=2, sort_keys=True))
    elif not results:
        print(NONE)
    elif style == "markdown":
        print(markdown_table(HEADER, map(_cells, results), words=3))
    else:
        _print_table(results)


def read_results(revisions: Sequence[str], order: str, project: Path = Path()) -> list[Result]:
    """Read the experiments of each commit after the commit's own results, the newest commit first.

    Networks are left out whose results are those of the commit.
    """
    require_project(project)
    commits = [find_commit(each, project) for each in revisions] or _commits(project)
    key = order.replace("-", "_")
    results = []
    for baseline in show_experiments(commits, project):
        runs = [
            result
            for experiment in baseline["experiments"] or ()
            for result in _read_experiment(experiment, baseline, project)
        ]
        runs.sort(
            key=lambda each: (getattr(each, key) is not None, getattr(each, key)),
            reverse=key != "experiment",
        )
        touched = {result.network for result in runs}
        own = _read_networks(
            baseline, {}, Result(baseline["rev"], "", _time(baseline), ""), project
        )
        results += [*(each for each in own if each.network in touched), *runs]
    return results


def _commits(project: Path) -> list[str]:
    """List HEAD and the commits with experiments, the newest first."""
    names = git("for-each-ref", "--format=%(refname)", "refs/exps", folder=project).split()
    # refs/exps/<2 digits>/<38 digits>/<name>; there are others, such as refs/exps/exec/EXEC_HEAD.
    parts = [name.split("/") for name in names]
    found = {each[2] + each[3] for each in parts if len(each) == 5 and len(each[3]) == 38}
    return git("rev-list", "--no-walk=sorted", "HEAD", *found, folder=project).split()


def _read_experiment(experiment: Any, baseline: Any, project: Path) -> list[Result]:
    run = experiment["revs"][0]
    before, after = (
        dict(pair for entries in _files(each, "params").values() for pair in _flat(entries))
        for each in (baseline, run)
    )
    changed = {key: after[key] for key in after if before.get(key) != after[key]}
    state = (experiment["executor"] or {}).get("state") or ("failed" if run["error"] else "done")
    name = experiment["name"] or run["rev"][:7]
    bare = Result(baseline["rev"], name, _time(run), state, changed=changed)
    if state in UNFINISHED:  # its folder still has the metrics of an earlier run
        return [bare]
    return _read_networks(run, _files(baseline, "metrics"), bare, project) or [bare]


def _read_networks(run: Any, known: Mapping[str, Any], bare: Result, project: Path) -> list[Result]:
    """Add to a bare result each network of a commit or an experiment, except `known` results."""
    results = []
    for path, scores in sorted(_files(run, "metrics").items()):
        if "accuracy" in scores and known.get(path) != scores:
            network = Path(path).stem
            # DVC does not compare the bounds, so it does not show them.
            metrics = read_evaluation(f"evaluate@{network}", run["rev"], project)
            result = replace(
                bare,
                network=network,
                status=scores.get("status", ""),
                accuracy=scores["accuracy"],
                low=metrics.get("accuracy_low"),
                high=metrics.get("accuracy_high"),
                held_out=scores.get("validation", {}).get("accuracy"),
            )
            results.append(result)
    return results


def _files(run: Any, kind: str) -> dict[str, Any]:
    """Return the content of the files of parameters or of metrics by path."""
    files = ((run["data"] or {}).get(kind) or {}).items()
    return {path: file.get("data") or {} for path, file in files}


def _flat(entries: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in entries.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _time(run: Any) -> str:
    return str((run["data"] or {}).get("timestamp") or "").replace("T", " ")


def _cells(result: Result) -> list[str]:
    accuracy, held_out = (
        "" if share is None else f"{percentage(share)}%"
        for share in (result.accuracy, result.held_out)
    )
    if result.low is not None and result.high is not None:
        accuracy += f" ({percentage(result.low)} to {percentage(result.high)})"
    own = f"architectures.{result.network}."
    changed = (
        f"{key.removeprefix(own)}={json.dumps(each)}" for key, each in result.changed.items()
    )
    name = result.experiment or f"({result.commit[:7]})"
    return [
        name,
        result.network,
        ", ".join(changed),
        accuracy,
        held_out,
        result.status,
        result.time[:16],
    ]


def _print_table(results: Sequence[Result]) -> None:
    """Print a line for each result, or on a narrow terminal cells of several lines."""
    console = Console(markup=False, highlight=False)
    is_wide = console.width >= WIDE
    table = make_table()
    experiment, network, *others = HEADER
    for header in HEADER if is_wide else (f"{experiment}\n{network}", *others):
        table.add_column(
            header if is_wide else header.replace(" ", "\n"),
            justify="right" if header in ("accuracy", "held out") else "left",
            no_wrap=header in ("accuracy", "held out", "time"),
            overflow="fold",
        )
    for cells in map(_cells, results):
        if is_wide:
            table.add_row(*cells)
            continue
        name, network, changed, *others, status, when = map(break_lines, cells)
        words = (each.replace(" ", "\n") for each in (status, when))
        table.add_row(f"{name}\n{network}", changed.replace(", ", "\n"), *others, *words)
    print_table(table, console)

"""Metrics of two commits, and whether they became worse than ``params.yaml`` allows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.flatten import flatten

from convdepth.config.params import Tolerance, read_params
from convdepth.core.errors import ConvdepthError, DataError, ParameterError
from pipelines.reporting.console import align

DIGITS = 12  # decimal places of a difference: 0.9931 - 0.9901 is 0.003, and no more

Metrics = Mapping[str, Mapping[str, Any]]  # values by dotted metric, by stem of the metrics file


@dataclass(frozen=True)
class Change:
    """One metric of one network in two commits; None where the metric is missing or no number."""

    network: str
    metric: str
    before: float | None
    after: float | None
    difference: float | None  # by how much it rose
    allowed: float | None  # by how much it may become worse
    is_regression: bool  # missing, or worse by more than `allowed`


class RegressionError(ConvdepthError):
    """Metrics became worse by more than is allowed."""

    exit_code = 6

    def __init__(
        self,
        regressions: Sequence[Change],
        branch: str | None = None,
        problem: Exception | None = None,
    ) -> None:
        accept = "To accept this, commit the new dvc.lock and metrics, or widen the tolerances."
        if branch:
            accept = (
                f"The branch {branch} has these results.\n"
                f"To accept them: git fetch origin {branch} && git merge FETCH_HEAD && git push\n"
                f"To delete them: git push origin --delete {branch}"
            )
        super().__init__(
            "metrics became worse by more than `tolerances` in params.yaml allows:\n"
            f"{describe(regressions)}\n{accept}"
            + (f"\nThe results were not shared: {problem}" if problem else "")
        )


def changes_since(commit: str, folder: Path) -> list[Change]:
    """Compare the metrics of the networks in ``params.yaml`` with a commit."""
    params = read_params(folder / "params.yaml")
    before, after = (
        {name: values for name, values in metrics.items() if name in params.architectures}
        for metrics in (read_metrics(folder, commit), read_metrics(folder))
    )
    changes = compare(before, after, params.tolerances)
    if unknown := params.tolerances.keys() - {change.metric for change in changes}:
        raise ParameterError(
            f"params.yaml: tolerances.{min(unknown)}: no network has this metric; `dvc metrics "
            "show` lists the metrics"
        )
    return changes


def read_metrics(folder: Path = Path(), commit: str | None = None) -> dict[str, dict[str, Any]]:
    """Read the metrics of each valid file in the workspace or in a commit, as DVC finds them."""
    revision = commit or "workspace"
    try:
        with Repo(str(folder)) as repo:
            shown = repo.metrics.show(revs=[revision], hide_workspace=False)[revision]
        if "error" in shown:
            raise shown["error"]
    except (DvcException, KeyError) as error:
        command = f"dvc metrics diff {commit}" if commit else "dvc metrics show"
        raise DataError(
            f"{revision}: DVC cannot read its metrics: {error}. `{command}` says more."
        ) from error
    # Of two files with one name, the one nearer to the root counts.
    files = sorted(shown["data"].items(), key=lambda file: -len(Path(file[0]).parts))
    return {
        Path(name).stem: flatten(file["data"])
        for name, file in files
        if isinstance(file.get("data"), dict)
    }


def print_metrics() -> None:
    """Print the metrics without sections; networks are columns, so that they fit on a terminal."""
    networks = read_metrics()
    names = dict.fromkeys(name for metrics in networks.values() for name in metrics)
    plain = [name for name in names if "." not in name]
    if plain:
        rows = ([name, *(each.get(name) for each in networks.values())] for name in plain)
        print(align(["", *networks], rows))


def compare(before: Metrics, after: Metrics, tolerances: Mapping[str, Tolerance]) -> list[Change]:
    """Return a change for each network and metric with a tolerance and a number on either side."""
    changes = []
    for network in dict.fromkeys([*before, *after]):
        for metric, tolerance in tolerances.items():
            old, new = (as_number(each.get(network, {}).get(metric)) for each in (before, after))
            if (old, new) != (None, None):
                changes.append(_judge(network, metric, old, new, tolerance))
    return changes


def _judge(
    network: str, metric: str, before: float | None, after: float | None, tolerance: Tolerance
) -> Change:
    if before is None:
        return Change(network, metric, None, after, None, None, is_regression=False)
    allowed = round(max(tolerance.absolute, tolerance.relative * abs(before)), DIGITS)
    if after is None:
        return Change(network, metric, before, None, None, allowed, is_regression=True)
    difference = round(after - before, DIGITS)
    worse = difference if tolerance.better == "lower" else -difference
    return Change(network, metric, before, after, difference, allowed, worse > allowed)


def describe(changes: Sequence[Change]) -> str:
    """Return a table of changes as aligned text; empty if there is none."""
    if not changes:
        return ""
    rows = [
        [each.network, each.metric]
        + [_written(number) for number in (each.before, each.after)]
        + [_written(each.difference, "+"), _written(each.allowed)]
        for each in changes
    ]
    return align(("network", "metric", "before", "after", "change", "allowed"), rows)


def _written(number: float | None, sign: str = "-") -> str:
    return "none" if number is None else f"{number:{sign}.10g}"


def as_number(value: Any) -> float | None:
    """Return a metric as a number; None if it is none, or infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)

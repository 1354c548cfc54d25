"""Metrics of two commits, and whether they became worse than ``params.yaml`` allows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.flatten import flatten

from convdepth.config.params import Tolerance, read_params
from convdepth.core.errors import ConvdepthError, DataError, ParameterError

DIGITS = 12  # decimal places of a difference: 0.9931 - 0.9901 is 0.003, and no more

Metrics = Mapping[str, Mapping[str, Any]]
"""Values by dotted metric, as `dvc metrics diff` shows them, by the stem of the metrics file."""


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

    def __init__(self, regressions: Sequence[Change], branch: str | None = None) -> None:
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
        )


def changes_since(commit: str, folder: Path) -> list[Change]:
    """Compare the metrics of the networks in ``params.yaml`` with a commit.

    A tolerance for a metric that no network has guards nothing, and is a `ParameterError`.
    """
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
    """Read the metrics of each valid file in the workspace or in a commit, as DVC finds them.

    Of two files with one name, the one nearer to the root counts.
    """
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
    files = sorted(shown["data"].items(), key=lambda file: -len(Path(file[0]).parts))
    return {
        Path(name).stem: flatten(file["data"])
        for name, file in files
        if isinstance(file.get("data"), dict)
    }


def compare(before: Metrics, after: Metrics, tolerances: Mapping[str, Tolerance]) -> list[Change]:
    """Return a change for each network and metric with a tolerance and a number on either side."""
    changes = [
        _judge(
            network,
            metric,
            as_number(before.get(network, {}).get(metric)),
            as_number(after.get(network, {}).get(metric)),
            tolerance,
        )
        for network in dict.fromkeys([*before, *after])
        for metric, tolerance in tolerances.items()
    ]
    return [each for each in changes if (each.before, each.after) != (None, None)]


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


def rows_of(changes: Iterable[Change]) -> list[dict[str, str]]:
    """Return the cells of a table of changes, by column."""
    return [
        {
            "network": each.network,
            "metric": each.metric,
            "before": _show(each.before),
            "after": _show(each.after),
            "change": _show(each.difference, "+"),
            "allowed": _show(each.allowed),
        }
        for each in changes
    ]


def describe(changes: Sequence[Change]) -> str:
    """Return a table of changes as aligned text; empty if there is none."""
    return pd.DataFrame(rows_of(changes)).to_string(index=False) if changes else ""


def _show(value: float | None, sign: str = "-") -> str:
    return "none" if value is None else format(value, f"{sign}.10g")


def as_number(value: Any) -> float | None:
    """Return a metric as a number; None if it is none, or infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)

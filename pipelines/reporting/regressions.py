"""What got worse: the metrics of two commits, and how much worse ``params.yaml`` allows."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from convdepth.config.params import Tolerance
from convdepth.core.errors import ConvdepthError, DataError
from convdepth.core.text import markdown_table

Metrics = Mapping[str, Mapping[str, Any]]
"""Values by dotted metric, as `dvc metrics diff` has them, by the stem of the metrics file."""


@dataclass(frozen=True)
class Change:
    """One metric of one network in two commits.

    Attributes:
        network: The stem of its metrics file.
        metric: Its dotted name.
        before: Its former value, or None: there was none, or none that is a number.
        after: Its value now, or None in the same way.
        tolerance: How much worse it may become.
    """

    network: str
    metric: str
    before: float | None
    after: float | None
    tolerance: Tolerance

    @property
    def allowed(self) -> float | None:
        """How much worse it may be; None if there is nothing to compare it with."""
        return None if self.before is None else float(self._allowed(_exact(self.before)))

    @property
    def difference(self) -> float | None:
        """By how much it rose; None if one of the values is missing."""
        if self.before is None or self.after is None:
            return None
        return float(_exact(self.after) - _exact(self.before))

    @property
    def is_regression(self) -> bool:
        """Whether it became worse by more than is allowed, or is no longer there."""
        if self.before is None:
            return False
        if self.after is None:
            return True
        rise = _exact(self.after) - _exact(self.before)
        worse = rise if self.tolerance.better == "lower" else -rise
        return worse > self._allowed(_exact(self.before))

    def _allowed(self, before: Decimal) -> Decimal:
        return max(_exact(self.tolerance.absolute), _exact(self.tolerance.relative) * abs(before))


class RegressionError(ConvdepthError):
    """Metrics became worse by more than is allowed.

    Attributes:
        regressions: Which.
    """

    exit_code = 6

    def __init__(self, regressions: Sequence[Change]) -> None:
        lines = [f"  {_line(change)}" for change in regressions]
        super().__init__(
            "\n".join(
                [
                    "metrics became worse by more than `tolerances` in params.yaml allows:",
                    *lines,
                    "If this is meant, commit the new dvc.lock and metrics, to which the next run "
                    "is then compared, or widen the tolerances.",
                ]
            )
        )
        self.regressions = regressions


def read_metrics(folder: Path = Path(), commit: str | None = None) -> dict[str, dict[str, Any]]:
    """Read all metrics of the workspace or of a commit, as DVC finds them.

    Args:
        folder: The root of the project.
        commit: Which; None for the files as they lie there.

    Returns:
        The metrics. What has no file or no valid one is missing, so without any metrics they are
        empty. Where two files have one name, it is that of the file nearer to the root.

    Raises:
        DataError: There is no such commit, or DVC cannot read its stages.
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
    files = sorted(shown["data"].items(), key=lambda file: len(Path(file[0]).parts), reverse=True)
    return {Path(name).stem: dict(_flatten(file["data"])) for name, file in files if "data" in file}


def compare(before: Metrics, after: Metrics, tolerances: Mapping[str, Tolerance]) -> list[Change]:
    """Put side by side what has a tolerance.

    Args:
        before: The metrics of the networks that there should still be; of these, a missing file
            or metric is a regression.
        after: The metrics now.
        tolerances: By dotted metric.

    Returns:
        One change for each network and metric that has a number on either side, also where the
        two are equal; the networks as they are in ``before``, then the new ones.
    """
    changes = [
        Change(
            network,
            metric,
            _number(before.get(network, {}).get(metric)),
            _number(after.get(network, {}).get(metric)),
            tolerance,
        )
        for network in dict.fromkeys([*before, *after])
        for metric, tolerance in tolerances.items()
    ]
    return [each for each in changes if each.before is not None or each.after is not None]


def find_regressions(changes: Iterable[Change]) -> list[Change]:
    """Keep what got worse by more than is allowed."""
    return [change for change in changes if change.is_regression]


def regressions_table(regressions: Iterable[Change]) -> str:
    """Write what got worse as a table in Markdown."""
    header = ["network", "metric", "before", "after", "change", "allowed"]
    rows = [
        [
            each.network,
            each.metric,
            _show(each.before),
            _show(each.after),
            _show(each.difference, "+"),
            _show(each.allowed),
        ]
        for each in regressions
    ]
    return markdown_table(header, rows, words=2)


def delta_lines(changes: Iterable[Change]) -> str:
    """Write changes as aligned lines, for a commit message."""
    rows = [
        [each.network, each.metric, _show(each.before), "->", _show(each.after), _delta(each)]
        for each in changes
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def _delta(change: Change) -> str:
    if change.difference is None:
        return "new" if change.before is None else "missing"
    return "same" if change.difference == 0 else _show(change.difference, "+")


def _line(change: Change) -> str:
    name = f"{change.network} {change.metric}"
    if change.difference is None:
        return f"{name}: {_show(change.before)} before, no number now"
    return (
        f"{name}: {_show(change.before)} before, {_show(change.after)} now: worse by "
        f"{_show(abs(change.difference))}, allowed {_show(change.allowed)}"
    )


def _show(value: float | None, sign: str = "-") -> str:
    return "none" if value is None else format(value, f"{sign}.10g")


def _exact(value: float) -> Decimal:
    # The value as it is written: 0.9931 - 0.9901 shall be 0.003, and no more.
    return Decimal(repr(value))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _flatten(metrics: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items() if isinstance(metrics, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

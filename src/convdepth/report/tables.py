"""Tables of the report: rows of results, and formats that turn values into cells.

A template names a table's columns: heading, path of the value in a row, and format.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convdepth.evaluation.metrics import Score
from convdepth.evaluation.results import Difference, Point, Replicates, Rule, Spread
from convdepth.report.facts import block_medians, loss_ratios, mean_curve
from convdepth.report.formats import count, percent, points, short, signed
from convdepth.report.load import Network, Results
from convdepth.report.verdicts import compare

NONE = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
Path = str | Sequence[str]


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: Its text.
        key: Value by which its column is sorted; None without a value.
        below: A second line.
        index: Index of the network whose color it shows.
        tint: Darkness of the background, 0 to 1.
    """

    text: str
    key: float | str | None = None
    below: str = ""
    index: int | None = None
    tint: float | None = None


def _network(value: Network) -> Cell:
    return Cell(value.name, value.name, index=value.index)


def _score(value: Score) -> Cell:
    interval = f"{points(value.accuracy_low)} to {percent(value.accuracy_high)}"
    return Cell(percent(value.accuracy), value.accuracy, interval)


def _mean(value: Spread) -> Cell:
    text, deviation = percent(value.mean), value.standard_deviation
    if deviation is not None:
        text = f"{points(value.mean)} ± {percent(deviation)}"
    return Cell(text, value.mean, f"{points(value.low)} to {percent(value.high)}")


def _interval(value: Difference) -> Cell:
    return Cell(f"{signed(value.low)} to {signed(value.high)}", value.low)


def _p(value: float) -> Cell:
    return Cell("< 0.0001" if value < 0.0001 else f"{value:.4f}", value)


def _collapsed(value: Replicates) -> Cell:
    return Cell(f"{value.collapsed} of {value.count}", value.collapsed)


def _learned(value: Point) -> Cell:
    share = value.learned / len(value.runs)
    return Cell(f"{value.learned} of {len(value.runs)}", share, tint=share)


def _setting(value: float | bool | str) -> Cell:
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return Cell(value.replace("_", " ") if isinstance(value, str) else short(value), value)


def _observed(value: Rule) -> Cell:
    if value.num_broken is not None:
        return Cell(f"{count(value.num_broken, 'row')} in breach", "")
    return Cell(NONE if value.observed is None else f"{value.observed:,.10g}", "")


TEXTS: dict[str, Callable[[Any], Cell]] = {
    "network": _network,
    "word": lambda value: Cell(value.replace("_", " "), value),
    "name": lambda value: Cell(value, value),
    "md5": Cell,
    "commit": lambda value: Cell(f"git log --reverse -S{value} -- dvc.lock"),
    "setting": _setting,
    "observed": _observed,
}
NUMBERS: dict[str, Callable[[Any], Cell]] = {
    "count": lambda value: Cell(f"{value:,}", value),
    "share": lambda value: Cell(percent(value), value),
    "loss": lambda value: Cell(f"{value:.4f}", value),
    "short": lambda value: Cell(short(value), value),
    "scale": lambda value: Cell(f"{value:g}", value),
    "points": lambda value: Cell(points(value), value),
    "signed": lambda value: Cell(signed(value), value),
    "range": lambda value: Cell(f"{min(value):.3f} to {max(value):.3f}", min(value)),
    "p": _p,
    "score": _score,
    "mean": _mean,
    "interval": _interval,
    "collapsed": _collapsed,
    "learned": _learned,
    "agreement": lambda value: Cell(percent(value), value, tint=value),
}


def make_cell(row: Any, path: Path, form: str) -> Cell:
    """Return the cell of a row's value at a path, a dash where any part of the path is None."""
    value = row
    for name in path.split(".") if isinstance(path, str) else path:
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        if value is None:
            return Cell(NONE)
    return (NUMBERS | TEXTS)[form](value)


def make_columns(
    names: Iterable[str], path: str, form: str, suffix: str = ""
) -> list[tuple[str, Path, str]]:
    """Return one column for each name in the mapping at a path."""
    return [(f"{name}{suffix}", (*path.split("."), name), form) for name in names]


def make_rows(results: Results) -> dict[str, list[Any]]:
    """Return the rows of all tables by name."""
    networks = results.networks
    points: list[dict[str, Any]] = [
        {"network": each, "point": it} for each in networks for it in each.collapse.points
    ]
    tuned = [network for network, _ in results.tuned]
    gains = results.contrasts.gains.networks
    return {
        "networks": [{"network": each, "cost": results.costs[each.name]} for each in networks],
        "seeds": [{"network": each, "run": it} for each in networks for it in each.replicates.runs],
        "pairs": compare(networks, results.contrasts),
        "curves": _curve_rows(networks),
        "learned": _learned_rows(networks),
        "points": [row | {"ratios": loss_ratios(row["point"].runs)} for row in points],
        "trials": [
            row | {"run": run, "last_loss": run.loss[-1]}
            for row in points
            for run in row["point"].runs
        ],
        "blocks": [row for each in networks for row in _block_rows(each)],
        "layers": [
            {"network": each, "layer": it} for each in networks for it in each.reading.layers
        ],
        "tuned": [{"network": each, "gain": gains[each.name]} for each in tuned],
        "tuned_pairs": compare(tuned, results.contrasts.tuned),
        "bins": [
            {"network": each, "bin": it} for each in networks for it in each.reading.reliability
        ],
        "agreement": [_agreement_row(each, results) for each in networks],
        "rules": [{"rule": each} for each in results.validation.rules],
    }


def _curve_rows(networks: Sequence[Network]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for kind in ("val_accuracy", "val_loss"):
        curves = {each.name: mean_curve(each, kind) for each in networks}
        for index, values in enumerate(itertools.zip_longest(*curves.values())):
            if index == len(rows):
                rows.append({"epoch": index + 1})
            rows[index][kind] = dict(zip(curves, values, strict=True))
    return rows


def _learned_rows(networks: Sequence[Network]) -> list[dict[str, Any]]:
    scales = sorted({point.scale for each in networks for point in each.collapse.points})
    found = {each.name: {point.scale: point for point in each.collapse.points} for each in networks}
    return [
        {
            "network": each,
            "scales": {f"{TIMES} {scale:g}": found[each.name].get(scale) for scale in scales},
        }
        for each in networks
    ]


def _block_rows(network: Network) -> list[dict[str, Any]]:
    kinds = ("signal", "gradient_norm", "agreement")
    medians = {kind: block_medians(network, kind) for kind in kinds}
    return [
        {"network": network, "block": block} | {kind: medians[kind].get(block) for kind in kinds}
        for block in medians["signal"]
    ]


def _agreement_row(network: Network, results: Results) -> dict[str, Any]:
    shares = results.reading.agreement
    names = [each.name for each in results.networks]
    pairs = {name: (f"{network.name} / {name}", f"{name} / {network.name}") for name in names}
    return {
        "network": network,
        "shares": {name: shares.get(both[0], shares.get(both[1])) for name, both in pairs.items()},
    }

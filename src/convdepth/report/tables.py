"""Tables of the report: rows of results, and formats that turn values into cells.

A template names a table's columns: heading, path of the value in a row, and format.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convdepth.core.numbers import short_p
from convdepth.evaluation.metrics import Score
from convdepth.evaluation.notebook_record import Record
from convdepth.evaluation.results import Difference, FirstSeed, Point, Rule, Spread
from convdepth.report.absent import AbsentError, Lazy
from convdepth.report.facts import block_medians, loss_ratio, mean_curve
from convdepth.report.formats import count, percent, points, short, signed
from convdepth.report.load import Network, Results
from convdepth.report.verdicts import compare

NONE = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
Path = str | Sequence[str]


@dataclass(frozen=True)
class Cell:
    """One cell: text, value to sort by, second line, network's look, darkness from 0 to 1."""

    text: str
    key: float | str | None = None
    below: str = ""
    look: int | None = None
    tint: float | None = None


def _score(value: Score) -> Cell:
    interval = f"{points(value.accuracy_low)} to {percent(value.accuracy_high)}"
    return Cell(percent(value.accuracy), value.accuracy, interval)


def _mean(value: Spread) -> Cell:
    return Cell(percent(value.mean), value.mean, f"{points(value.low)} to {percent(value.high)}")


def _difference(value: Difference) -> Cell:
    interval = f"{signed(value.low)} to {signed(value.high)}"
    return Cell(signed(value.difference), value.difference, interval)


def _corrected(value: Difference | FirstSeed) -> Cell:
    if value.p is None or value.corrected_p is None:
        return Cell(NONE)
    return Cell(short_p(value.corrected_p), value.corrected_p, f"p {short_p(value.p)}")


def _record(value: Record) -> Cell:
    return Cell(percent(value.test_accuracy), value.test_accuracy, f"loss {value.test_loss:.4f}")


def _epoch(value: tuple[float, float]) -> Cell:
    accuracy, loss = value
    return Cell(percent(accuracy), accuracy, f"loss {loss:.4f}")


def _learned(value: Point) -> Cell:
    share = value.learned / len(value.runs)
    return Cell(f"{value.learned} of {len(value.runs)}", share, tint=share)


def _ratios(value: Point) -> Cell:
    ratios = [loss_ratio(run) for run in value.runs]
    return Cell(f"{min(ratios):.3f} to {max(ratios):.3f}", min(ratios))


def _observed(value: Rule) -> Cell:
    if value.num_broken is not None:
        return Cell(f"{count(value.num_broken, 'row')} in breach", "")
    return Cell(NONE if value.observed is None else f"{value.observed:,.10g}", "")


TEXTS: dict[str, Callable[[Any], Cell]] = {
    "network": lambda value: Cell(value.name, value.name, look=value.look),
    "word": lambda value: Cell(value.replace("_", " "), value),
    "name": lambda value: Cell(value, value),
    "observed": _observed,
}
NUMBERS: dict[str, Callable[[Any], Cell]] = {
    "count": lambda value: Cell(f"{value:,}", value),
    "length": lambda value: Cell(f"{len(value):,}", len(value)),
    "share": lambda value: Cell(percent(value), value),
    "loss": lambda value: Cell(f"{value:.4f}", value),
    "short": lambda value: Cell(short(value), value),
    "scale": lambda value: Cell(f"{value:g}", value),
    "points": lambda value: Cell(points(value), value),
    "difference": _difference,
    "corrected": _corrected,
    "p": lambda value: Cell(short_p(value), value),
    "only right": lambda value: Cell(
        f"{value.only_first:,} / {value.only_second:,}", value.only_first - value.only_second
    ),
    "record": _record,
    "epoch": _epoch,
    "score": _score,
    "mean": _mean,
    "failed": lambda value: Cell(f"{value.failed} of {len(value.seeds)}", value.failed),
    "learned": _learned,
    "ratios": _ratios,
    "agreement": lambda value: Cell(percent(value), value, tint=value),
}


def make_cell(row: Any, path: Path, form: str) -> Cell:
    """Return the cell of a row's value at a path, a dash where a part of it is None or absent."""
    value = row
    for name in path.split(".") if isinstance(path, str) else path:
        try:
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        except AbsentError:
            return Cell(NONE)
        if value is None:
            return Cell(NONE)
    return (NUMBERS | TEXTS)[form](value)


def make_columns(names: Iterable[str], path: str, form: str) -> list[tuple[str, Path, str]]:
    """Return one column for each name in the mapping at a path."""
    return [(name, (*path.split("."), name), form) for name in names]


def make_rows(results: Results) -> Lazy[list[Any]]:
    """Return the rows of all tables by name."""
    networks = results.networks

    def split(name: str, parts: Callable[[Network], Iterable[Any]]) -> list[dict[str, Any]]:
        """Return one row for each part of each network."""
        return [{"network": each, name: part} for each in networks for part in parts(each)]

    return Lazy(
        {
            "networks": lambda: [{"network": each} for each in networks],
            "trainings": lambda: results.trainings,
            "runs": lambda: [
                each._asdict() | {"run": run}
                for each in results.trainings
                for run in each.found.runs
            ],
            "pairs": lambda: compare(networks, results.by_recipe),
            "curves": lambda: _curve_rows(networks),
            "learned": lambda: _learned_rows(networks),
            "points": lambda: split("point", lambda network: network.collapse.points),
            "blocks": lambda: split("block", _block_rows),
            "layers": lambda: split("layer", lambda network: network.reading.layers),
            "tuned": lambda: [
                {"network": each, "gain": results.gain(each)} for each, _ in results.tuned
            ],
            "over_seeds": lambda: _seed_rows(results),
            "depth": lambda: _depth_rows(results),
            "answers": lambda: _answer_rows(results),
            "comparisons": lambda: _comparison_rows(results),
            "corruptions": lambda: _corruption_rows(results),
            "votes": lambda: _vote_rows(results),
            "tuned_pairs": lambda: compare([each for each, _ in results.tuned], results.by_tuning),
            "bins": lambda: split("bin", lambda network: network.reading.reliability),
            "agreement": lambda: _agreement_rows(results),
            "rules": lambda: [{"rule": each} for each in results.validation.rules],
        }
    )


def _curve_rows(networks: Sequence[Network]) -> list[dict[str, Any]]:
    curves = {
        each.name: list(
            zip(mean_curve(each, "val_accuracy"), mean_curve(each, "val_loss"), strict=True)
        )
        for each in networks
    }
    epochs = zip(*curves.values(), strict=False)
    return [
        {"epoch": epoch, "networks": dict(zip(curves, values, strict=True))}
        for epoch, values in enumerate(epochs, 1)
    ]


def _learned_rows(networks: Sequence[Network]) -> list[dict[str, Any]]:
    scales = sorted({point.scale for each in networks for point in each.collapse.points})
    found = {each: {point.scale: point for point in each.collapse.points} for each in networks}
    return [
        {"network": each, "scales": {f"{TIMES} {scale:g}": own.get(scale) for scale in scales}}
        for each, own in found.items()
    ]


def _block_rows(network: Network) -> list[dict[str, Any]]:
    kinds = ("signal", "gradient_norm", "agreement")
    medians = {kind: block_medians(network, kind) for kind in kinds}
    return [
        {"name": block} | {kind: medians[kind].get(block) for kind in kinds}
        for block in medians["signal"]
    ]


def _seed_rows(results: Results) -> list[dict[str, Any]]:
    """Return what the seeds of each network have together, by the recipe and tuned."""
    return [
        {
            "network": each,
            "recipe": each.replicates.over_seeds,
            "tuned": each.tuned and each.tuned.over_seeds,
        }
        for each in results.networks
    ]


def _depth_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row per group and depth, with its comparison with the smallest depth."""
    found = results.depth
    return [
        {"group": group, "point": point, "comparison": found.find(group, point.network)}
        for group, points in found.groups.items()
        for point in points
    ]


def _answer_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row per network in each group of the other questions."""
    return [
        {"question": question, "group": group, "point": point}
        for question, answer in results.other_answers.items()
        for group, points in answer.groups.items()
        for point in points
    ]


def _comparison_rows(results: Results) -> list[dict[str, Any]]:
    return [
        {
            "question": question,
            "comparison": each,
            "pair": f"{each.first}\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}{each.second}",
        }
        for question, answer in results.other_answers.items()
        for each in answer.comparisons
    ]


def _corruption_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row per corruption, with the mean accuracy of each network by one recipe."""
    answer = results.other_answers.get("corrupted")
    points = [point for group in answer.groups.values() for point in group] if answer else []
    return [
        {
            "corruption": name,
            "networks": {point.network: point.by_corruption[name] for point in points},
        }
        for name in (points[0].by_corruption if points else ())
    ]


def _vote_rows(results: Results) -> list[dict[str, Any]]:
    """Return the votes of each network's seeds, last of all trainings of all networks."""
    rows: list[dict[str, Any]] = [
        {"voters": f"seeds of {row['network'].name}"}
        | {kind: row[kind] and row[kind].vote for kind in ("recipe", "tuned")}
        for row in _seed_rows(results)
    ]
    votes = results.by_recipe.votes | results.by_tuning.votes
    return [*rows, {"voters": "all", **votes}]


def _agreement_rows(results: Results) -> list[dict[str, Any]]:
    """Return the mean agreement of two trainings, of one network on the diagonal."""
    names = [each.name for each in results.networks]
    shares: dict[frozenset[str], float | None] = {
        frozenset([each.name]): it.agreement if it else None
        for each in results.networks
        for it in [each.replicates.over_seeds]
    }
    shares |= {
        frozenset((each.first.name, each.second.name)): each.pair.agreement
        for each in compare(results.networks, results.by_recipe)
    }
    return [
        {
            "network": each,
            "shares": {name: shares.get(frozenset((each.name, name))) for name in names},
        }
        for each in results.networks
    ]

"""Tables on the terminal, without pandas and its half second of import."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def align(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as aligned text, the first column to the left; None becomes empty."""
    cells = [[_shown(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])])
        for first, *others in cells
    )


def print_metrics(networks: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the metrics without sections; networks are columns, so that they fit on a terminal."""
    names = dict.fromkeys(name for metrics in networks.values() for name in metrics)
    rows = [
        [name, *(metrics.get(name) for metrics in networks.values())]
        for name in names
        if "." not in name
    ]
    if rows:
        print(align([["", *networks], *rows]))


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)

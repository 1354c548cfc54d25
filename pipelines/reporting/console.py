"""Tables on the terminal, without pandas and its half second of import."""

from collections.abc import Iterable
from typing import Any


def align(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table as aligned text, the first column to the left; None becomes empty."""
    cells = [[_shown(value) for value in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])])
        for first, *others in cells
    )


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)

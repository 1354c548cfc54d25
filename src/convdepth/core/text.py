"""Small helpers for messages and Markdown."""

import difflib
from collections.abc import Iterable, Sequence


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 file`` or ``3 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def name_first(names: Sequence[str], number: int = 4) -> str:
    """Return the first names and how many follow, such as ``a, b and 3 more``."""
    shown = ", ".join(names[:number])
    return f"{shown} and {len(names) - number} more" if len(names) > number else shown


def suggest(wrong: str, known: Sequence[str]) -> str:
    """Return the end of a sentence with the nearest name, such as ``; did you mean fast?``."""
    nearest = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """Return a Markdown table; all but the first ``words`` columns are right-aligned."""
    rule = "|---" * words + "|--:" * (len(header) - words) + "|"
    lines = (f"| {' | '.join(cells)} |" for cells in [header, *rows])
    first, *others = lines
    return "\n".join([first, rule, *others])

"""Words for numbers of things, and for what may have been meant."""

import difflib
from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """Say how many there are of something.

    Args:
        number: How many.
        noun: The thing, whose plural has an s.

    Returns:
        Such as ``1 file`` or ``3 files``.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def name_first(names: Sequence[str], number: int = 4) -> str:
    """Name the first of some things, and say how many there are beyond them.

    Args:
        names: All of them.
        number: How many are named.

    Returns:
        Such as ``a, b and 3 more``.
    """
    shown = ", ".join(names[:number])
    return f"{shown} and {len(names) - number} more" if len(names) > number else shown


def suggest(wrong: str, known: Sequence[str]) -> str:
    """Name what may have been meant.

    Args:
        wrong: What was written.
        known: What there is.

    Returns:
        The end of a sentence, such as ``; did you mean fast?``; empty if nothing is like it.
    """
    nearest = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""

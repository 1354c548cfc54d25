"""Words for numbers of things."""

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

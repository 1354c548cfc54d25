"""Numbers and names as text; the templates use these functions as filters."""

from collections.abc import Sequence

from convdepth.core.numbers import percentage, signed_percentage
from convdepth.core.text import counted


def percent(share: float) -> str:
    """Write a share as a percentage, such as ``99.17%``."""
    return f"{percentage(share)}%"


def points(difference: float) -> str:
    """Write a difference of shares in percentage points without a sign, such as ``0.42``."""
    return percentage(abs(difference))


def signed(difference: float) -> str:
    """Write a difference of shares in percentage points with its sign, such as ``+0.42``."""
    return signed_percentage(difference).replace("-", "\N{MINUS SIGN}")


def short(value: float) -> str:
    """Write a number with three significant digits, such as ``0.00432`` or ``7.1e-09``."""
    return f"{value:.3g}"


def count(number: int, noun: str) -> str:
    """Write a number of things with thousands separators, such as ``10,000 images``."""
    return counted(number, noun).replace(str(number), f"{number:,}", 1)


def join_names(names: Sequence[str]) -> str:
    """Write a list, such as ``a, b and c``; ``none`` if it is empty."""
    return " and ".join(", ".join(names).rsplit(", ", 1)) or "none"

"""Shares as percentages, rounded as a reader rounds them."""

from decimal import ROUND_HALF_UP, Decimal


def percentage(share: float) -> str:
    """Return ``99.17`` for 0.9917: two decimals, halves away from zero, never a negative zero.

    ``f"{value:.2f}"`` rounds 0.075 to 0.07, since no binary fraction equals it.
    """
    rounded = Decimal(repr(share)).scaleb(2).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return f"{rounded + 0:f}"


def signed_percentage(difference: float) -> str:
    """Return a `percentage` with its sign, but ``0.00`` without one."""
    text = percentage(difference)
    return text if text.startswith("-") or not float(text) else f"+{text}"


def short_p(p: float) -> str:
    """Return a p with two significant digits, three near 0.05; below 0.001 ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"{p:.3g}" if 0.045 < p < 0.055 else f"{p:.2g}"

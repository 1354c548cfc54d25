"""Axes of the report's charts: round marks where accuracies crowd near 100 %, and on logarithms."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

ERROR_TICKS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Where an axis of accuracies has its marks, as shares of errors."""


def error_share(accuracy: float, images: int) -> float:
    """Turn an accuracy into what a logarithmic axis can show: no less than half an error."""
    return max(1 - accuracy, 0.5 / images)


def floor(values: Iterable[float]) -> float:
    """Give what a zero is drawn at on a logarithmic axis: below all others."""
    return min((value for value in values if value > 0), default=1.0) / 2


def log10(value: float) -> float:
    """Give the logarithm by which Plotly names a place on a logarithmic axis."""
    return round(math.log10(value), 6)


def accuracy_axis(errors: Iterable[float], *, is_vertical: bool) -> dict[str, Any]:
    """Give an axis of accuracies that spreads those near 100 %: its errors are logarithmic.

    Args:
        errors: What it has to show, from `error_share`.
        is_vertical: Texts above each other need less room than texts beside each other.

    Returns:
        The axis, in percent.
    """
    found = sorted(errors)
    low, high = found[0] / 1.2, found[-1] * 1.2
    ticks = [tick for tick in ERROR_TICKS if low <= tick <= high]
    if len(ticks) < 4:
        ticks = _even_ticks(low, min(high, 1))
    texts = [f"{100 * (1 - tick):.4g}" for tick in ticks]
    return {
        "tickangle": 0,
        "type": "log",
        "autorange": False,
        "range": [log10(high), log10(low)],
        "tickvals": ticks,
        "ticktext": texts if is_vertical else _thin_out(ticks, texts, high / low),
    }


def logarithmic_axis(values: Iterable[float]) -> dict[str, Any]:
    """Give a logarithmic axis round marks, also where it spans less than a power of ten."""
    found = [value for value in values if value > 0] or [1.0]
    low, high = min(found) / 1.15, max(found) * 1.15
    if high / low > 500:
        return {"type": "log", "exponentformat": "power", "dtick": math.ceil(log10(high / low) / 7)}
    steps = [step * 10.0**power for power in range(-9, 10) for step in (1, 2, 5)]
    ticks = [round(tick, 9) for tick in steps if low <= tick <= high]
    if len(ticks) < 3:
        ticks = _even_ticks(low, high)
    return {"type": "log", "tickvals": ticks, "ticktext": [_abbreviate(tick) for tick in ticks]}


def epochs_axis(epochs: int) -> dict[str, Any]:
    """Give an axis of epochs, from the first to the last one, with up to twelve marks."""
    step = max(1, math.ceil(epochs / 12))
    return {"tickvals": list(range(step, epochs + 1, step)), "range": [0.6, epochs + 0.4]}


def _thin_out(ticks: Sequence[float], texts: Sequence[str], ratio: float) -> list[str]:
    """Leave out the texts that would touch their neighbors on a narrow screen."""
    shown: list[str] = []
    last = 0.0
    for tick, text in sorted(zip(ticks, texts, strict=True)):
        is_clear = not last or log10(tick / last) / log10(ratio) >= 0.04 * len(text)
        shown.append(text if is_clear else "")
        last = tick if is_clear else last
    return shown if list(ticks) == sorted(ticks) else shown[::-1]


def _even_ticks(low: float, high: float) -> list[float]:
    """Give up to seven round numbers in equal steps."""
    rounds = [step * 10.0**power for power in range(-6, 8) for step in (1, 2, 5)]
    step = next(step for step in rounds if high / step - low / step < 7)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(step * number, 9) for number in range(first, last + 1)]


def _abbreviate(number: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"

"""The networks' colors in all figures and charts."""

from collections.abc import Iterable

COLORS = ("#0072B2", "#E69F00", "#D55E00", "#56B4E9", "#009E73", "#000000", "#CC79A7", "#8C6D1F")
"""The palette of Okabe and Ito, which the color-blind can tell apart
(https://jfly.uni-koeln.de/color/), with a dark ochre in place of yellow, which fades on white."""


def assign_looks(names: Iterable[str]) -> dict[str, int]:
    """Return the index of each network's color in `COLORS`, equal for up to eight networks in none.

    It follows from the name, so another order, a further or a removed network changes no color.
    Only a name that wants a taken color, such as ``cnn1`` and ``cnn9``, gets the next free one.
    """
    looks: dict[str, int] = {}
    for name in sorted(names):
        wanted = [(sum(name.encode()) + step) % len(COLORS) for step in range(len(COLORS))]
        looks[name] = next((look for look in wanted if look not in looks.values()), wanted[0])
    return looks


def assign_colors(names: Iterable[str]) -> dict[str, str]:
    """Return the color of each network."""
    return {name: COLORS[look] for name, look in assign_looks(names).items()}

"""The common look of all figures: palette, settings, headings, and the bytes of a PNG file.

No figure is drawn through pyplot: no window, no backend and no setting of the process changes.
"""

import contextlib
import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D

from convdepth.core.files import atomic_path

if TYPE_CHECKING:
    from convdepth.figures.inputs import NetworkResult

MUTED = "#8A8A8A"  # the notebook's values and other background information
WARNING = "#B00020"  # text about a network that has not learned
NEUTRAL = "#333333"  # legend entries that are valid for all networks
NOTE = "#444444"  # notes below a figure

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so it is the same on every machine
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E5E5E5",
    "legend.frameon": False,
    "figure.dpi": 120,
    "savefig.dpi": "figure",
}

_TITLE_SIZE, _NOTE_SIZE = 14, 9
_CHARACTERS_PER_INCH = {_TITLE_SIZE: 7.5, _NOTE_SIZE: 12.5}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Use the settings of the figures, not the user's: to make a figure, and again to save it."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all, in bytes that depend only on the picture."""
    unversioned: dict[str, Any] = {"Software": None}  # else Matplotlib's version
    with style(), atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata=unversioned, pil_kwargs={"optimize": True})


def grid_shape(num_panels: int, max_columns: int = 4) -> tuple[int, int]:
    """Return the rows and columns that hold the panels with the fewest empty cells."""
    num_rows = math.ceil(num_panels / max_columns)
    return num_rows, math.ceil(num_panels / num_rows)


def add_heading(figure: Figure, title: str, note: str = "", handles: Sequence[Line2D] = ()) -> None:
    """Write a title above the panels, and a note and a legend below, wrapped to the width."""
    figure.suptitle(_wrap(figure, title, _TITLE_SIZE), fontsize=_TITLE_SIZE, weight="bold")
    text = _wrap(figure, note, _NOTE_SIZE)
    if not handles:
        figure.supxlabel(text, fontsize=_NOTE_SIZE, color=NOTE)
        return
    # As the legend's title, the note cannot overlap the legend.
    num_columns = min(len(handles), int(figure.get_figwidth() / 1.8))
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=num_columns)
    legend.set_title(text, FontProperties(size=_NOTE_SIZE))
    legend.get_title().set(color=NOTE, multialignment="center")


def point(label: str, color: str, fill: str = "full", marker: str = "o") -> Line2D:
    """Return a legend's entry for points."""
    look: dict[str, Any] = {"color": color, "fillstyle": fill, "marker": marker, "linestyle": ""}
    return Line2D([], [], label=label, **look)


def add_name(panel: Axes | SubFigure, network: "NetworkResult", remark: str = "") -> None:
    """Write the network's name above its panel, and below it its trouble, if any, or the remark."""
    color = WARNING if network.trouble else network.color
    lines = filter(None, [network.name, network.trouble or remark])
    write = panel.suptitle if isinstance(panel, SubFigure) else panel.set_title
    write("\n".join(lines), color=color, fontsize=11)


def _wrap(figure: Figure, text: str, size: int) -> str:
    return textwrap.fill(text, int(figure.get_figwidth() * _CHARACTERS_PER_INCH[size]))

"""What the pictures have in common: what they show of a network, colours, headings, PNG bytes.

The pictures themselves are drawn in `figures_curves`, `figures_weights` and `figures_answers`:
results in, a Matplotlib figure out. None of them draws through pyplot, so no window, no backend and
no setting of the process is touched.
"""

import contextlib
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from convdepth.core.files import atomic_path

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
"""One colour per network, in order: those of Okabe and Ito, which the colour-blind can tell apart
(https://jfly.uni-koeln.de/color/), with a dark ochre for their yellow, which fades on white."""

MUTED = "#8A8A8A"
"""The notebook's recorded values, and whatever else stays behind the results."""

WARNING = "#B00020"
"""Words about a network that did not learn."""

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
_NOTE_COLOR = "#444444"
_CHARACTERS_PER_INCH = {_TITLE_SIZE: 7.5, _NOTE_SIZE: 12.5}


@dataclass(frozen=True)
class Recorded:
    """What the notebook recorded of a network, and what its closing text claims.

    Attributes:
        test_accuracy: As its last cell printed it, 0 to 1.
        claimed_accuracy: As its closing text says, 0 to 1.
        history: One row per epoch: ``epoch``, ``loss`` and ``val_loss`` in nats, ``accuracy`` and
            ``val_accuracy`` from 0 to 1. Its validation data are the test set.
    """

    test_accuracy: float
    claimed_accuracy: float
    history: pd.DataFrame


@dataclass(frozen=True)
class Result:
    """What the pictures show of one network.

    Attributes:
        name: As in ``params.yaml``.
        num_blocks: The depth.
        color: The network's colour, the same in all pictures.
        trouble: Empty for a network that learned; otherwise what went wrong, in a few words.
        accuracy: Share of the test images that are answered rightly, 0 to 1.
        interval: Wilson's 95 % interval of the accuracy, low and high.
        history: One row per epoch, with the columns of `Recorded.history`.
        predictions: One row per test image, in their order: ``label`` and ``predicted``, 0 to 9,
            and ``probability`` of the predicted class, 0 to 1.
        kernels: From layer name to kernel, any shape, float32, from the input to the softmax.
        recorded: What the notebook says; none for a network that it does not have.
    """

    name: str
    num_blocks: int
    color: str
    trouble: str
    accuracy: float
    interval: tuple[float, float]
    history: pd.DataFrame
    predictions: pd.DataFrame
    kernels: dict[str, NDArray[np.float32]]
    recorded: Recorded | None

    @property
    def errors(self) -> pd.DataFrame:
        """The rows of the predictions that are wrong."""
        return self.predictions[self.predictions["label"] != self.predictions["predicted"]]


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Use the pictures' settings, whatever the user's own are, until the block ends.

    Some settings are looked up when a figure is made and some when it is saved, so both happen
    within such a block.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, in bytes that depend on the picture alone, whole or not at all.

    Raises:
        MachineError: The file cannot be written.
    """
    with style(), atomic_path(path) as temporary:
        # Matplotlib would write its version into the file.
        figure.savefig(
            temporary, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True}
        )


def grid_shape(num_panels: int, max_columns: int = 4) -> tuple[int, int]:
    """Give the rows and columns that hold the panels with the fewest empty places."""
    num_rows = math.ceil(num_panels / max_columns)
    return num_rows, math.ceil(num_panels / num_rows)


def add_heading(figure: Figure, title: str, note: str = "", handles: Sequence[Line2D] = ()) -> None:
    """Write a title above everything else, and a note and a legend below it.

    The texts are broken to fit the width of the figure.
    """
    figure.suptitle(_wrap(figure, title, _TITLE_SIZE), fontsize=_TITLE_SIZE, weight="bold")
    text = _wrap(figure, note, _NOTE_SIZE)
    if not handles:
        figure.supxlabel(text, fontsize=_NOTE_SIZE, color=_NOTE_COLOR)
        return
    # As the title of the legend the note cannot lie upon it.
    num_columns = min(len(handles), int(figure.get_figwidth() / 1.8))
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=num_columns)
    legend.set_title(text, FontProperties(size=_NOTE_SIZE))
    legend.get_title().set(color=_NOTE_COLOR, multialignment="center")


def add_name(panel: Axes | SubFigure, result: Result, remark: str = "") -> None:
    """Write above a panel which network it shows, and what is wrong with it."""
    color = WARNING if result.trouble else result.color
    lines = [result.name, result.trouble or remark]
    write = panel.suptitle if isinstance(panel, SubFigure) else panel.set_title
    write("\n".join(line for line in lines if line), color=color, fontsize=11)


def explain_trouble(results: Sequence[Result]) -> str:
    """Name the networks that did not learn and say why, for a note; empty when all did."""
    return ", ".join(f"{result.name} ({result.trouble})" for result in results if result.trouble)


def _wrap(figure: Figure, text: str, size: int) -> str:
    return textwrap.fill(text, int(figure.get_figwidth() * _CHARACTERS_PER_INCH[size]))

"""`convdepth watch`: the curves of all running trainings, in the terminal."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from convdepth.commands.tables import make_table
from convdepth.workspace.dvc import require_project
from convdepth.workspace.live_curves import CURVES, Training, read_trainings

POLL_SECONDS = 1.0
LEVELS = "▁▂▃▄▅▆▇█"
NARROW = 100  # below this width, curves of the training images are left out


def watch_trainings(project: Path = Path()) -> None:
    """Draw all trainings each second until Ctrl-C; on no terminal, print them once."""
    require_project(project)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.print(draw(read_trainings(project), console.width))
        return
    with Live(console=console, auto_refresh=False) as screen:
        while True:
            screen.update(draw(read_trainings(project), console.width), refresh=True)
            time.sleep(POLL_SECONDS)


def draw(trainings: Sequence[Training], width: int) -> Table | Text:
    """Return a table of trainings for a terminal of this width: one curve per column."""
    if not trainings:
        return Text("No training runs that has finished an epoch.")
    shown = [name for name in CURVES if width >= NARROW or name.startswith("val_")]
    table = make_table()
    for header in ("training", "epoch", *shown, "last epoch"):
        table.add_column(header, no_wrap=header != "training")
    now = time.time()
    for each in trainings:
        last = each.rows[-1]
        name = f"{each.name} ({each.where})" if each.where else each.name
        curves = [f"{last[key]:.4f}\n{spark([row[key] for row in each.rows])}" for key in shown]
        state = f"{now - each.seconds:.0f} s ago" if each.runs else "interrupted"
        table.add_row(name, f"{last['epoch']:.0f}/{last['epochs']:.0f}", *curves, state)
    return table


def spark(values: Sequence[float], width: int = 24) -> str:
    """Return a line of blocks from the lowest to the highest value, of the last ``width`` ones."""
    shown = values[-width:]
    low, span = min(shown), max(shown) - min(shown)
    return "".join(
        LEVELS[int((value - low) / span * (len(LEVELS) - 1) + 0.5) if span else 0]
        for value in shown
    )

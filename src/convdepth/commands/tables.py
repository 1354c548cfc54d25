"""Tables on a terminal of any width."""

import re
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def make_table(*headers: str, **options: Any) -> Table:
    """Return an empty table in the look of all commands; ``options`` are those of `Table`."""
    return Table(*headers, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, **options)


def break_lines(cell: str) -> str:
    """Move an interval in brackets at the end of a cell to a line of its own."""
    return re.sub(r" \((.*)\)$", r"\n\1", cell)


def print_table(table: Table, console: Console) -> None:
    """Print a table; where it would cut values, print each row as lines ``header: value``."""
    with console.capture() as shown:
        console.print(table)
    if "…" not in shown.get():
        console.print(table)
        return
    rows = [*zip(*(column.cells for column in table.columns), strict=True)]
    if table.show_footer:
        rows.append(tuple(column.footer for column in table.columns))
    console.print(table.title)
    for row in rows:
        console.print()
        for column, cell in zip(table.columns, row, strict=True):
            if cell:
                console.print(*f"{column.header}: {cell}".split())

"""What a flow shows on the terminal: the lines of its stages, and the metrics at its end."""

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from pipelines.dvc.stage import STAGE_LOG


def show_stage_lines() -> None:
    """Print the lines of the stages as they are, in place of Prefect's messages on its tasks.

    Prefect's own log has both. How a flow failed is left to the caller to print, too: Prefect
    would put all of it on one line.
    """
    tasks = logging.getLogger("prefect.task_runs")
    tasks.propagate = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    tasks.getChild(STAGE_LOG).addHandler(handler)
    for console in logging.getLogger().handlers:
        console.addFilter(_is_no_failure)


def _is_no_failure(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Finished in state Failed")


def print_metrics(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of metrics, a column for each network, so that it fits on a terminal.

    Args:
        rows: One for each file, with its values by name; the first one is the network's name.
    """
    names, *values = dict.fromkeys(key for row in rows for key in row) or [""]
    table = Table("", *(str(row[names]) for row in rows), box=box.SIMPLE)
    for value in values:
        table.add_row(value, *(str(row.get(value, "")) for row in rows))
    Console().print(table)

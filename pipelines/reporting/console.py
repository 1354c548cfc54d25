"""What a flow shows on the terminal: the lines of its stages, and the metrics at its end."""

import logging
import sys

import pandas as pd

from pipelines.dvc.stage import STAGE_LOG
from pipelines.reporting.artifacts import summary_rows

TASKS = logging.getLogger("prefect.task_runs")


def show_stage_lines() -> None:
    """Print the lines of the stages in place of Prefect's messages on tasks and on the failure.

    Prefect's own log has all of them. The caller prints the error.
    """
    TASKS.propagate = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    TASKS.getChild(STAGE_LOG).addHandler(handler)
    for console in logging.getLogger().handlers:
        console.addFilter(
            lambda record: not record.getMessage().startswith("Finished in state Failed")
        )


def print_metrics() -> None:
    """Print the metrics without sections; networks are columns, so that they fit on a terminal."""
    table = pd.DataFrame(summary_rows(), dtype=object)
    if not table.empty:
        print(table.set_index("metrics").rename_axis(None).T.fillna("").to_string())

"""What a flow shows on the terminal: the lines of its stages, and the metrics at its end."""

import logging
import sys

import pandas as pd

from pipelines.dvc.stage import STAGE_LOG
from pipelines.reporting.regressions import read_metrics


def show_stage_lines() -> None:
    """Print the lines of the stages in place of Prefect's messages on tasks and on the failure."""
    tasks = logging.getLogger("prefect.task_runs")
    tasks.propagate = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    tasks.getChild(STAGE_LOG).addHandler(handler)
    for console in logging.getLogger().handlers:
        console.addFilter(
            lambda record: not record.getMessage().startswith("Finished in state Failed")
        )


def print_metrics() -> None:
    """Print the metrics without sections; networks are columns, so that they fit on a terminal."""
    plain = {
        network: {name: value for name, value in metrics.items() if "." not in name}
        for network, metrics in read_metrics().items()
    }
    table = pd.DataFrame(plain, dtype=object)
    if not table.empty:
        print(table.fillna("").to_string())

"""The flow `tune`: a search for better settings of each network, several at once.

A search is the command `convdepth tune`, which looks at held-out training images alone. It is no
stage of DVC: a person writes its result into the studies' parameters before the test set is looked
at.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from convdepth.config.params import find_architecture, read_params
from pipelines.dvc.stage import STAGE_LOG, run_child
from pipelines.execution.concurrency import Jobs, choose_width
from pipelines.execution.process_tree import Processes
from pipelines.execution.rounds import Queue
from pipelines.execution.runner import run_tasks, state_of, summarize
from pipelines.experiments.grid import PARAMS
from pipelines.reporting.artifacts import best_effort

FOUND = Path("metrics/studies/tuning")
"""Where each search writes all of its trials, and the best of them."""

SEARCHED = "searched"

NEXT_STEP = """
`tuned` in studies/params.yaml takes these settings; `make studies` then trains with them, and
evaluates on the test set:

  settings:
{settings}"""


@flow(name="tune")
def tune(names: list[str] | None = None, jobs: Jobs | None = None) -> State[Any]:
    """Search for better settings of networks.

    Args:
        names: Which; by default all of ``params.yaml``.
        jobs: Searches at once; by default as many as fill the cores.

    Returns:
        Completed, or failed with the error if any search failed, and then all others are finished.
    """

    def work() -> str:
        costs = _costs(names)
        queue = Queue(choose_width(jobs), costs)
        queue.add(costs)
        with Processes() as processes:
            results = run_tasks(queue, len(costs), lambda name: search_task.submit(name, processes))
        summary = summarize(results, costs)
        _show(sorted(costs))
        return summary

    return state_of(work)


@task(name="search", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def search_task(name: str, processes: Processes) -> State[str]:
    """Search for better settings of one network as a task of Prefect.

    Args:
        name: An entry of ``architectures`` in ``params.yaml``.
        processes: Starts the search, and can stop it.

    Returns:
        A completed state.

    Raises:
        StageError: The search failed.
        StageStoppedError: The flow is being stopped.
    """
    logger = cast(logging.Logger, get_run_logger()).getChild(STAGE_LOG)

    def log(line: str) -> None:
        logger.info("tune@%s | %s", name, line)

    run_child(f"tune@{name}", command(name), processes, log)
    return Completed(name=SEARCHED.capitalize(), data=SEARCHED)


def command(name: str) -> list[str]:
    """Give the command that searches for one network.

    Args:
        name: An entry of ``architectures`` in ``params.yaml``.
    """
    return [
        *("convdepth", "tune", name, "--normalized", "data/normalized"),
        *("--summary", str(_found(name))),
        *("--checkpoints", f".dvc/tmp/convdepth/tuning/{name}"),
    ]


def _found(name: str) -> Path:
    return FOUND / f"{name}.json"


def _costs(names: Sequence[str] | None) -> dict[str, int]:
    """Estimate how long each network takes beside the others, the longest one first."""
    parameters = read_params(PARAMS)
    chosen = list(dict.fromkeys(names or parameters.architectures))
    flop = {name: find_architecture(name, parameters, PARAMS).flop for name in chosen}
    return dict(sorted(flop.items(), key=lambda item: -item[1]))


def _show(names: Sequence[str]) -> None:
    """Print what was found, as it goes into the studies' parameters, and show it in Prefect."""
    found = {name: json.loads(_found(name).read_text(encoding="utf-8")) for name in names}
    with best_effort("tuning"):
        rows = [
            {
                "network": name,
                "before": each["notebook"]["accuracy"],
                "best": each["best"]["accuracy"],
                **each["best"]["settings"],
            }
            for name, each in found.items()
        ]
        create_table_artifact(rows, key="tuning", description="Accuracy on held-out images")
    lines = [
        # JSON is YAML; its words for true and false are the same.
        f"    {name}: {json.dumps(each['best']['settings'])}\n"
        for name, each in found.items()
    ]
    print(NEXT_STEP.format(settings="".join(lines)), end="", flush=True)

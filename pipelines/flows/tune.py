"""The flow `tune`: a search for better settings of each network, several at once.

A search is the command `convdepth tune`, which looks only at held-out training images. It is no
stage of DVC: a person writes its result into the studies' parameters before any evaluation on the
test set.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from convdepth.config.params import find_architecture, read_params
from pipelines.core.process_tree import Processes
from pipelines.dvc.stage import line_logger, run_child
from pipelines.execution.concurrency import Jobs, choose_jobs
from pipelines.execution.runner import run_tasks, state_of, summarize
from pipelines.reporting.artifacts import best_effort

PARAMS = Path("params.yaml")

FOUND = Path("metrics/studies/tuning")
"""The folder in which each search writes all of its trials, and the best of them."""

SEARCHED = "searched"

NEXT_STEP = """
`tuned` in studies/params.yaml takes these settings; `make studies` then trains with them, and
evaluates on the test set:

  settings:
{settings}"""


@flow(name="tune")
def tune(names: list[str] | None = None, jobs: Jobs | None = None) -> State[Any]:
    """Search for better settings of networks, by default of all.

    If a search fails, the others are finished, and the flow fails.
    """
    return state_of(lambda: _tune(names, jobs))


def _tune(names: Iterable[str] | None, jobs: int | None) -> str:
    parameters = read_params(PARAMS)
    costs = {
        name: find_architecture(name, parameters, PARAMS).flop
        for name in names or parameters.architectures
    }
    with Processes() as processes:
        results = run_tasks(
            dict.fromkeys(costs, ()),
            costs,
            choose_jobs(jobs),
            lambda name: search_task.submit(name, processes),
        )
    summary = summarize(results, costs)
    _show(sorted(costs))
    return summary


@task(name="search", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def search_task(name: str, processes: Processes) -> State[str]:
    """Search for better settings of one network."""
    log = line_logger()
    run_child(f"tune@{name}", command(name), processes, lambda line: log(f"tune@{name} | {line}"))
    return Completed(name=SEARCHED.capitalize(), data=SEARCHED)


def command(name: str) -> list[str]:
    """Return the command that searches for one network."""
    return [
        *("convdepth", "tune", name, "--normalized", "data/normalized"),
        *("--summary", str(FOUND / f"{name}.json")),
        *("--checkpoints", f".dvc/tmp/convdepth/tuning/{name}"),
    ]


def _show(names: Iterable[str]) -> None:
    """Print the best settings as they go into the studies' parameters; show them in Prefect."""
    found = {name: json.loads((FOUND / f"{name}.json").read_text("utf-8")) for name in names}
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
    lines = [  # JSON is YAML
        f"    {name}: {json.dumps(each['best']['settings'])}\n" for name, each in found.items()
    ]
    print(NEXT_STEP.format(settings="".join(lines)), end="", flush=True)

"""The flow `tune`: a search for better settings of each network, several at once.

`convdepth tune` looks only at held-out training images. It is no stage of DVC: a person writes its
result into the studies' parameters before any evaluation on the test set.
"""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_table_artifact

from convdepth.config.params import find_architecture, read_params
from convdepth.workspace.process_tree import Processes
from pipelines.dvc.stage import Options, run_child, work_task
from pipelines.execution.concurrency import Jobs, choose_jobs
from pipelines.execution.runner import run_tasks, to_state
from pipelines.experiments.grid import PARAMS
from pipelines.reporting.artifacts import best_effort

FOUND = Path("metrics/studies/tuning")  # each search writes all of its trials, and the best

NEXT_STEP = """
`tuned` in studies/params.yaml takes these settings; `make studies` then trains with them, and
evaluates on the test set:

  settings:"""


@flow(name="tune")
@to_state
def tune(names: list[str] | None = None, jobs: Jobs | None = None) -> str:
    """Search for better settings of networks, by default of all.

    If a search fails, the others are finished, and the flow fails.
    """
    params = read_params(PARAMS)
    costs = {
        name: find_architecture(name, params, PARAMS).flop for name in names or params.architectures
    }
    with Processes() as processes:
        results = run_tasks(
            costs,
            choose_jobs(jobs),
            lambda name: work_task.submit(name, partial(_search, name, processes)),
        )
    summary = results.summary()
    _show(sorted(costs))
    return summary


def _search(name: str, processes: Processes, log: Callable[[str], None]) -> str:
    label = f"tune@{name}"
    run_child(label, command(name), processes, lambda line: log(f"{label} | {line}"), Options())
    return "searched"


def command(name: str) -> list[str]:
    """Return the command that searches for one network."""
    return [
        *("convdepth", "tune", name, "--normalized", "data/normalized"),
        *("--summary", str(FOUND / f"{name}.json")),
        *("--checkpoints", f".dvc/tmp/convdepth/tuning/{name}"),
    ]


def _show(names: Iterable[str]) -> None:
    """Print the best settings as they go into the studies' parameters; show them in Prefect."""
    rows = []
    print(NEXT_STEP)
    for name in names:
        found = json.loads((FOUND / f"{name}.json").read_text("utf-8"))
        before, best = found["notebook"]["accuracy"], found["best"]
        rows.append(
            {"network": name, "before": before, "best": best["accuracy"], **best["settings"]}
        )
        print(f"    {name}: {json.dumps(best['settings'])}", flush=True)  # JSON is YAML
    with best_effort("tuning"):
        create_table_artifact(rows, key="tuning", description="Accuracy on held-out images")

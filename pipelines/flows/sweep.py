"""The flow `sweep`: DVC experiments that differ in their parameters, several at once.

Each is `dvc exp run` in a clone of its own, and then a git reference in the user's repository.
All share DVC's cache. Nothing here looks at the test set.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from dvc.repo.experiments.refs import ExpRefInfo
from prefect import flow
from prefect.artifacts import create_table_artifact
from pydantic import Field

from convdepth.config.params import read_params
from convdepth.core.files import write_bytes
from convdepth.workspace.git import changed_files, git
from convdepth.workspace.process_tree import Processes, StoppedError
from pipelines.checkout.clone import temporary_clone
from pipelines.core.dvc_child import dvc_command
from pipelines.dvc.graph import Graph, read_graph
from pipelines.dvc.stage import ADVICE, Options, run_child, work_task
from pipelines.execution.concurrency import Jobs, choose_jobs
from pipelines.execution.runner import Results, run_tasks, to_state
from pipelines.experiments import ranking
from pipelines.experiments.grid import PARAMS, Experiment, Value, plan
from pipelines.reporting.artifacts import best_effort
from pipelines.reporting.console import align

RAN, KNOWN, FAILED = "ran", "known", "failed"  # states; a known experiment was run before

UNIMPORTANT = (  # beginnings of the lines that DVC prints for each experiment
    *ADVICE,
    "Reproducing experiment ",
    "Ran experiment(s): ",
    "Experiment results have been applied to your workspace.",  # it is removed in a moment
    "WARNING: No file hash info found for ",
    "Generating lock file ",
    "Updating lock file ",
)
OF_THE_TEST_SET = "test accuracy"  # lines of `evaluate` that are hidden during a comparison

NEXT_STEPS = """What ran is an experiment of DVC now, on top of the commit {commit:.7}.
  dvc exp show --only-changed --drop '(?!Experiment|.*({shown}))'
                                 shows them side by side
  convdepth experiments          does so with the test set, too
  dvc exp apply NAME             brings one into this folder; complains of networks never run
  dvc exp branch NAME BRANCH     makes a git branch of one
"""


@dataclass(frozen=True)
class Recipe:
    """How the experiments of a sweep are run."""

    targets: Sequence[str]  # the wanted stages; empty for all
    shared: Sequence[str]  # the stages upstream of all networks, mostly the same in all experiments
    # Held while `shared` run, so that the other experiments find them in DVC's cache.
    turn: threading.Lock = field(default_factory=threading.Lock)
    # ``dvc.lock`` and the outputs in git that `shared` have left, by path; DVC sees which serve.
    handed_on: dict[str, bytes] = field(default_factory=dict)


@flow(name="sweep")
@to_state
def sweep(
    changes: dict[str, list[Value]],
    sample: Annotated[int, Field(ge=1)] | None = None,
    sample_seed: int = 0,
    architectures: list[str] | None = None,
    jobs: Jobs | None = None,
) -> str:
    """Run experiments that differ in their parameters, except those that were run before.

    If an experiment fails, all others are finished. The arguments are those of `grid.plan`;
    without networks, the figures are drawn, too.
    """
    experiments = plan(changes, sample, sample_seed, architectures)
    # The whole folder is read now: its owner may go on to work in it.
    recipe = make_recipe(read_graph(), architectures or ())
    networks = list(dict.fromkeys(architectures or read_params().architectures))
    states = _run_missing(experiments, recipe, choose_jobs(jobs))
    _show(experiments, networks, states)
    return Results(states, {}, []).summary()


def make_recipe(graph: Graph, architectures: Iterable[str]) -> Recipe:
    """Choose the stages of the experiments; without architectures, the whole graph."""
    targets = [stage for name in dict.fromkeys(architectures) for stage in graph.key(name).stages]
    needed = graph.up_to(graph.select(lambda stage: bool(stage.key)))
    return Recipe(targets, [name for name, stage in needed.stages.items() if not stage.key])


def _run_missing(
    experiments: Sequence[Experiment], recipe: Recipe, jobs: int
) -> dict[str, str | Exception]:
    """Run what was not run before; return the state, or the error, of each experiment."""
    prefix = f"{ExpRefInfo(experiments[0].commit)}/"
    known = git("for-each-ref", "--format=%(refname)", prefix).splitlines()
    states: dict[str, str | Exception] = dict.fromkeys((each.name for each in experiments), KNOWN)
    missing = {each.name: each for each in experiments if f"{prefix}{each.name}" not in known}
    if missing:
        with Processes() as processes:
            states |= run_tasks(
                dict.fromkeys(missing, 1),
                jobs,
                lambda name: work_task.submit(
                    name, partial(run_experiment, missing[name], recipe, processes)
                ),
            ).outcomes
    return states


def run_experiment(
    experiment: Experiment, recipe: Recipe, processes: Processes, log: Callable[[str], None]
) -> str:
    """Run one experiment, and put it into the user's repository, the current folder."""

    def dvc(*arguments: str) -> None:
        command, options = dvc_command(*arguments), Options(folder=folder)
        run_child(experiment.name, command, processes, show, options, UNIMPORTANT)

    def show(line: str) -> None:
        if OF_THE_TEST_SET not in line:
            log(f"{experiment.name} | {line}")

    log(f"{experiment.name} | {dict(experiment.changes)}")
    with ExitStack() as stack:
        with recipe.turn:
            if processes.stopped:
                raise StoppedError("not started")
            folder = stack.enter_context(temporary_clone(experiment.commit))
            for name, content in recipe.handed_on.items():
                write_bytes(folder / name, content)
            (folder / PARAMS).write_bytes(experiment.params.encode())
            if recipe.shared:
                dvc("repro", *recipe.shared)
                for name in changed_files(folder):
                    if (folder / name).is_file():
                        recipe.handed_on[name] = (folder / name).read_bytes()
        dvc("exp", "run", "--name", experiment.name, *recipe.targets)
        reference = ExpRefInfo(experiment.commit, experiment.name)
        # By force, since another sweep may have come first; its experiment was the same.
        git("push", "--quiet", "--force", "here", f"{reference}:{reference}", folder=folder)
    return RAN


def _show(
    experiments: Sequence[Experiment],
    networks: Sequence[str],
    states: Mapping[str, str | Exception],
) -> None:
    """Print the results and the next steps; show the results in Prefect."""
    commit = experiments[0].commit
    words = {name: each if isinstance(each, str) else FAILED for name, each in states.items()}
    rows = ranking.rank(experiments, networks, words, ranking.read_scores(commit))
    tables = {"Experiments, the best one first": rows}
    if averages := ranking.average_over_seeds(rows):
        tables["Averages over the seeds"] = averages
    for key, (title, table) in zip(("sweep", "sweep-seeds"), tables.items(), strict=False):
        caption = title + ranking.describe_fixed(experiments)
        text = align(table[0], (row.values() for row in table))
        print(f"{caption}\n\n{text}\n", flush=True)
        with best_effort(key):
            create_table_artifact(table, key=key, description=caption)
    shown = "|".join(["validation", *map(re.escape, ranking.varied(experiments))])
    print(NEXT_STEPS.format(commit=commit, shown=shown), flush=True)

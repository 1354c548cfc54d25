"""The flow `sweep`: DVC experiments that differ in their parameters, several at once.

Each is `dvc exp run` in a clone of its own, and then a git reference in the user's repository, as
if it had been run there. All share DVC's cache. Nothing here looks at the test set.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any

from dvc.repo.experiments.refs import ExpRefInfo
from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from convdepth.config.params import read_params
from pipelines.checkout.clone import place
from pipelines.core.git import changed_files, git
from pipelines.core.process_tree import Processes, dvc_command
from pipelines.dvc.graph import Graph, read_graph
from pipelines.dvc.lockfile import locked_stages
from pipelines.dvc.stage import ADVICE, Options, StageStoppedError, line_logger, run_child
from pipelines.execution.concurrency import Jobs, choose_jobs
from pipelines.execution.runner import run_tasks, state_of, summarize
from pipelines.experiments.grid import PARAMS, Experiment, Value, plan
from pipelines.experiments.ranking import (
    Row,
    average_over_seeds,
    describe_fixed,
    print_rows,
    rank,
    read_scores,
    varied,
)
from pipelines.reporting.artifacts import best_effort

RAN, KNOWN, FAILED = "ran", "known", "failed"
"""States of an experiment; a known one was run before."""

UNIMPORTANT = (
    *ADVICE,
    "Reproducing experiment ",
    "Ran experiment(s): ",
    "Experiment results have been applied to your workspace.",  # it is removed in a moment
    "WARNING: No file hash info found for ",
    "Generating lock file ",
    "Updating lock file ",
)
"""Beginnings of the lines that DVC prints for each experiment."""

OF_THE_TEST_SET = "test accuracy"
"""Lines of the stage `evaluate` with this text are hidden while experiments are compared."""

NEXT_STEPS = """What ran is an experiment of DVC now, on top of the commit {commit:.7}.
  dvc exp show --only-changed --drop '{others}'
                                 shows them side by side; without --drop, with the test set, too
  dvc exp apply NAME             brings one into this folder{missing}
  dvc exp branch NAME BRANCH     makes a git branch of one
"""


@dataclass(frozen=True)
class Recipe:
    """How the experiments of a sweep are run.

    Attributes:
        targets: The wanted stages; empty for all.
        shared: The stages upstream of all networks, mostly the same in all experiments.
        turn: Held while `shared` run, so that the other experiments find them in DVC's cache.
        handed_on: ``dvc.lock`` and the outputs in git that `shared` have left, by path. DVC sees
            by itself which of them another experiment can use.
    """

    targets: Sequence[str]
    shared: Sequence[str]
    turn: threading.Lock = field(default_factory=threading.Lock)
    handed_on: dict[str, bytes] = field(default_factory=dict)


@flow(name="sweep")
def sweep(
    changes: dict[str, list[Value]],
    sample: Annotated[int, Field(ge=1)] | None = None,
    sample_seed: int = 0,
    architectures: list[str] | None = None,
    jobs: Jobs | None = None,
) -> State[Any]:
    """Run experiments that differ in their parameters, except those that were run before.

    Args:
        changes: The values of each varied key of ``params.yaml``. Seeds are keys, too.
        sample: Number of combinations to draw; by default all are taken.
        sample_seed: Determines the draw.
        architectures: The networks to train; by default all, and then the figures are drawn, too.
        jobs: Experiments at once, see `choose_jobs`.

    Returns:
        Completed with the rows of the table, see `ranking.rank`; or failed with the error if any
        experiment failed, and then all others are finished.
    """
    rows: list[Row] = []

    def work() -> str:
        experiments = plan(changes, sample, sample_seed, architectures)
        # The whole folder is read now: its owner may go on to work in it.
        graph, wanted = read_graph(), list(dict.fromkeys(architectures or ()))
        networks = wanted or list(read_params().architectures)
        has_all_results = not wanted or set(graph.stages) <= set(locked_stages())
        states = _run_missing(experiments, make_recipe(graph, wanted), choose_jobs(jobs))
        rows.extend(_show(experiments, networks, states))
        _print_next_steps(experiments, has_all_results=has_all_results)
        return summarize(states, states)

    state = state_of(work)
    return state.model_copy(update={"data": rows}) if state.is_completed() else state


def make_recipe(graph: Graph, architectures: Iterable[str]) -> Recipe:
    """Choose the stages of the experiments; without architectures, the whole graph."""
    targets = [stage for name in architectures for stage in graph.key(name).stages]
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
                dict.fromkeys(missing, ()),
                dict.fromkeys(missing, 1),
                jobs,
                lambda name: experiment_task.submit(missing[name], recipe, processes),
            )
    return states


@task(task_run_name="{experiment.name}", cache_policy=NO_CACHE, persist_result=False)
def experiment_task(experiment: Experiment, recipe: Recipe, processes: Processes) -> State[str]:
    """Run one experiment as a task of Prefect."""
    log = line_logger()
    log(f"{experiment.name} | {dict(experiment.changes)}")
    run_experiment(experiment, recipe, processes, log)
    return Completed(name=RAN.capitalize(), data=RAN)


def run_experiment(
    experiment: Experiment, recipe: Recipe, processes: Processes, log: Callable[[str], None]
) -> None:
    """Run one experiment, and put it into the user's repository, the current folder."""

    def dvc(*arguments: str) -> None:
        command, options = dvc_command(*arguments), Options(folder=folder)
        run_child(experiment.name, command, processes, show, options, UNIMPORTANT)

    def show(line: str) -> None:
        if OF_THE_TEST_SET not in line:
            log(f"{experiment.name} | {line}")

    with ExitStack() as stack:
        with recipe.turn:
            if processes.stopped:
                raise StageStoppedError(f"{experiment.name}: not started")
            folder = stack.enter_context(place(experiment.commit))
            for name, content in recipe.handed_on.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            (folder / PARAMS).write_bytes(experiment.params.encode())
            if recipe.shared:
                dvc("repro", *recipe.shared)
                paths = {name: folder / name for name in changed_files(folder)}
                recipe.handed_on.update(
                    {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
                )
        dvc("exp", "run", "--name", experiment.name, *recipe.targets)
        reference = ExpRefInfo(experiment.commit, experiment.name)
        # By force, since another sweep may have come first; its experiment was the same.
        git("push", "--quiet", "--force", "here", f"{reference}:{reference}", folder=folder)


def _show(
    experiments: Sequence[Experiment],
    networks: Sequence[str],
    states: Mapping[str, str | Exception],
) -> list[Row]:
    """Print the results and show them in Prefect; return the rows."""
    scores = read_scores(experiments[0].commit)
    words = {name: each if isinstance(each, str) else FAILED for name, each in states.items()}
    rows = rank(experiments, networks, words, scores)
    fixed = describe_fixed(experiments)
    _show_table("sweep", f"Experiments, the best one first{fixed}", rows)
    if averages := average_over_seeds(experiments, networks, scores):
        _show_table("sweep-seeds", f"Averages over the seeds{fixed}", averages)
    return rows


def _show_table(key: str, caption: str, rows: list[Row]) -> None:
    print_rows(caption, rows)
    with best_effort(key):
        create_table_artifact(rows, key=key, description=caption)


def _print_next_steps(experiments: Sequence[Experiment], *, has_all_results: bool) -> None:
    shown = "|".join(["validation", *map(re.escape, varied(experiments))])
    others = f"(?!Experiment|.*({shown}))"
    # DVC then puts the files there all the same, and ends with an error.
    missing = "" if has_all_results else ", and complains of networks that were never run"
    commit = experiments[0].commit
    print(NEXT_STEPS.format(commit=commit, others=others, missing=missing), flush=True)

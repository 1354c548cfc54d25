"""The flow `sweep`: experiments of DVC, several at once, each in a place of its own.

An experiment is `dvc exp run` in a clone of its own, and then a git reference in the user's
repository, as if it had been run there. DVC's cache is shared, so what one experiment has finished
is there for all others, and for a second start. Nothing here looks at the test set.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast

from dvc.repo.experiments.refs import ExpRefInfo
from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed
from pydantic import Field

from convdepth.config.params import read_params
from convdepth.core.errors import MachineError
from pipelines.checkout.clone import place
from pipelines.checkout.git import changed_files, git
from pipelines.dvc.graph import Graph, Stage, read_graph
from pipelines.dvc.lockfile import locked_stages
from pipelines.dvc.stage import ADVICE, STAGE_LOG, Options, StageStoppedError, run_dvc
from pipelines.execution.concurrency import Jobs, Width, choose_width
from pipelines.execution.process_tree import Processes
from pipelines.execution.rounds import Queue
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

Positive = Annotated[int, Field(ge=1)]

RAN, KNOWN, FAILED = "ran", "known", "failed"
"""What became of an experiment; a known one was run before."""

UNIMPORTANT = (
    *ADVICE,
    "Reproducing experiment ",
    "Ran experiment(s): ",
    # The workspace is gone in a moment.
    "Experiment results have been applied to your workspace.",
    # Outputs of stages that are about to run for the first time.
    "WARNING: No file hash info found for ",
    "Generating lock file ",
    "Updating lock file ",
)
"""What DVC says for each experiment, and what would drown the rest here."""

OF_THE_TEST_SET = "test accuracy"
"""What the stage `evaluate` prints stays out of sight while experiments are compared."""

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
        root: The user's repository.
        targets: The stages that are wanted; none for all.
        shared: The stages that come before those of the networks, and are mostly the same in all
            experiments.
        turn: Is held while these run, so that they run once, and every other experiment finds
            them in DVC's cache.
        handed_on: What they have left beside the cache, by path: ``dvc.lock``, and the outputs
            that git keeps. DVC sees by itself what of it another experiment can use.
    """

    root: Path
    targets: Sequence[str]
    shared: Sequence[str]
    turn: threading.Lock = field(default_factory=threading.Lock)
    handed_on: dict[str, bytes] = field(default_factory=dict)


@flow(name="sweep")
def sweep(
    changes: dict[str, list[Value]],
    sample: Positive | None = None,
    sample_seed: int = 0,
    architectures: list[str] | None = None,
    jobs: Jobs | None = None,
) -> State[Any]:
    """Run experiments that differ in their parameters, and compare them.

    Those that were run before, with the same commit and the same changes, are not run again.

    Args:
        changes: The values of each key of ``params.yaml`` that is varied. Seeds are keys, too.
        sample: How many combinations to draw from all; by default all of them.
        sample_seed: Determines the draw.
        architectures: The networks to train; by default all, and then the figures are drawn, too.
        jobs: Experiments at once; by default as many as fill the cores.

    Returns:
        Completed with the rows of the table, see `ranking.rank`; or failed with the error if any
        experiment failed, and then all others are finished.
    """
    rows: list[Row] = []

    def work() -> str:
        experiments = plan(changes, sample, sample_seed, architectures)
        graph, wanted = read_graph(), list(dict.fromkeys(architectures or ()))
        # All of the folder is read before: its owner may go on to work in it.
        networks = wanted or list(read_params().architectures)
        is_part = bool(wanted) and not set(graph.stages) <= set(locked_stages())
        states = _run_missing(experiments, make_recipe(graph, wanted), choose_width(jobs))
        rows.extend(_show(experiments, networks, states))
        _print_next_steps(experiments, is_part=is_part)
        return summarize(states, states)

    state = state_of(work)
    return state.model_copy(update={"data": rows}) if state.is_completed() else state


def known_experiments(commit: str, root: Path = Path()) -> set[str]:
    """List the experiments that a repository has.

    Args:
        commit: On top of which commit.
        root: The repository.

    Returns:
        Their names.
    """
    references = git("for-each-ref", "--format=%(refname)", f"{ExpRefInfo(commit)}/", folder=root)
    return {reference.rpartition("/")[2] for reference in references.splitlines()}


def make_recipe(graph: Graph, architectures: Iterable[str], root: Path = Path()) -> Recipe:
    """Find the stages that the experiments of a sweep run.

    Args:
        graph: All stages.
        architectures: The networks that are wanted; none for the whole graph.
        root: The user's repository.

    Returns:
        The recipe.

    Raises:
        ParameterError: There is no such network.
    """
    targets = [stage for name in architectures for stage in graph.key(name).stages]
    before = graph.up_to(graph.select(_is_of_a_network)).select(
        lambda stage: not _is_of_a_network(stage)
    )
    return Recipe(root, targets, list(before.stages))


def run_experiment(
    experiment: Experiment, recipe: Recipe, processes: Processes, log: Callable[[str], None]
) -> None:
    """Run one experiment, and put it into the user's repository.

    Args:
        experiment: Which.
        recipe: How.
        processes: Starts its children, and can stop them.
        log: Is called with each line of output, the experiment's name in front.

    Raises:
        StageError: A stage failed; the message has the experiment's name and the last lines.
        StageStoppedError: ``processes`` were stopped before it had finished.
        MachineError: The disk or git does not let it run.
    """

    def dvc(*arguments: str) -> None:
        options = Options(folder=folder)
        run_dvc(experiment.name, arguments, processes, show, options, UNIMPORTANT)

    def show(line: str) -> None:
        if OF_THE_TEST_SET not in line:
            log(f"{experiment.name} | {line}")

    with ExitStack() as stack:
        with recipe.turn:
            if processes.stopped:
                raise StageStoppedError(f"{experiment.name}: not started")
            folder = stack.enter_context(place(experiment.commit, recipe.root))
            _write_files(folder, recipe.handed_on)
            (folder / PARAMS).write_bytes(experiment.params.encode())
            if recipe.shared:
                dvc("repro", *recipe.shared)
                recipe.handed_on.update(_read_results(folder))
        dvc("exp", "run", "--name", experiment.name, *recipe.targets)
        reference = ExpRefInfo(experiment.commit, experiment.name)
        # By force, since another sweep may have come first; its experiment was the same.
        git("push", "--quiet", "--force", "here", f"{reference}:{reference}", folder=folder)


@task(
    name="experiment",
    task_run_name="{experiment.name}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def experiment_task(experiment: Experiment, recipe: Recipe, processes: Processes) -> State[str]:
    """Run one experiment as a task of Prefect.

    Args:
        experiment: Which.
        recipe: How.
        processes: Starts its children, and can stop them.

    Returns:
        A completed state.

    Raises:
        StageError: A stage failed.
        StageStoppedError: The flow is being stopped.
        MachineError: The disk or git does not let it run.
    """
    logger = cast(logging.Logger, get_run_logger()).getChild(STAGE_LOG)
    logger.info("%s | %s", experiment.name, dict(experiment.changes))
    try:
        run_experiment(experiment, recipe, processes, logger.info)
    except MachineError as error:
        raise MachineError(f"{experiment.name}: {error}") from error
    return Completed(name=RAN.capitalize(), data=RAN)


def _is_of_a_network(stage: Stage) -> bool:
    return "@" in stage.name


def _run_missing(
    experiments: Sequence[Experiment], recipe: Recipe, width: Width
) -> dict[str, str | Exception]:
    """Run what was not run before; give the state, or the error, of each experiment by name."""
    states: dict[str, str | Exception] = dict.fromkeys((each.name for each in experiments), KNOWN)
    known = known_experiments(experiments[0].commit)
    if missing := [each for each in experiments if each.name not in known]:
        by_name = {each.name: each for each in missing}
        queue = Queue(width, dict.fromkeys(by_name, 1))
        queue.add(by_name)
        with Processes() as processes:
            states |= run_tasks(
                queue,
                len(missing),
                lambda name: experiment_task.submit(by_name[name], recipe, processes),
            )
    return states


def _read_results(folder: Path) -> dict[str, bytes]:
    """Read what was written since the commit and is not ignored by git."""
    paths = {name: folder / name for name in changed_files(folder)}
    return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


def _write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _show(
    experiments: Sequence[Experiment],
    networks: Sequence[str],
    states: Mapping[str, str | Exception],
) -> list[Row]:
    """Print the results and show them in Prefect; give the rows."""
    scores = read_scores(experiments[0].commit)
    words = {
        name: FAILED if isinstance(state, Exception) else state for name, state in states.items()
    }
    rows = rank(experiments, networks, words, scores)
    averages = average_over_seeds(experiments, networks, scores)
    fixed = describe_fixed(experiments)
    _show_table("sweep", f"Experiments, the best one first{fixed}", rows)
    if averages:
        _show_table("sweep-seeds", f"Averages over the seeds{fixed}", averages)
    return rows


def _show_table(key: str, caption: str, rows: list[Row]) -> None:
    print_rows(caption, rows)
    with best_effort(key):
        create_table_artifact(rows, key=key, description=caption)


def _print_next_steps(experiments: Sequence[Experiment], *, is_part: bool) -> None:
    wanted = "|".join(["validation", *map(re.escape, varied(experiments))])
    others = f"(?!Experiment|.*({wanted}))"
    # DVC then puts the files there all the same, and ends with an error.
    missing = ", and complains of networks that were never run" if is_part else ""
    commit = experiments[0].commit
    print(NEXT_STEPS.format(commit=commit, others=others, missing=missing), flush=True)

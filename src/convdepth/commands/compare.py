"""Facts for `convdepth compare` and `rank`: do the networks' answers differ beyond chance?

The predictions of every network are outputs that DVC or git keeps, so nothing is computed anew.
Where the studies have other seeds of a training, a difference has to exceed the seeds' variation.
"""

import io
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convdepth.core.errors import DataError, IntegrityError
from convdepth.core.hashes import md5_of
from convdepth.evaluation.metrics import learning_status
from convdepth.evaluation.significance import LEVEL, Paired, holm, pair, seed_range
from convdepth.workspace.dvc import STUDIES, Output, object_path, open_project, outputs_in
from convdepth.workspace.git import find_commit, read_file

EVALUATION = "evaluate@"  # prefix of the stages that write the predictions of a network
SEEDS = f"{STUDIES.as_posix()}:train_recipe@"  # prefix of those that train its seeds
COLUMNS = ["index", "label", "predicted", "loss"]  # columns that a table of predictions needs

Verdict = Enum("Verdict", "ADDED REMOVED UNKNOWN SAME NO_EVIDENCE LIKE_SEEDS BETTER WORSE")


@dataclass(frozen=True)
class Answers:
    """Predictions of one network; the table is None if this machine lacks it.

    `seeds` are the accuracies of all seeds, if the studies have run for this recipe.
    """

    md5: str
    table: pd.DataFrame | None
    seeds: Sequence[float] = ()


@dataclass(frozen=True)
class State:
    """The predictions of each network in a commit, or in the workspace without one."""

    label: str
    commit: str | None
    answers: Mapping[str, Answers]


@dataclass(frozen=True)
class Change:
    """One network in two states, or two networks in one state; the verdict is on the second.

    `p` is of McNemar's exact test, corrected for the number of comparisons. `between_seeds` bounds
    95% of the differences between two seeds. `collapsed` tells whether the network had learned
    nothing before, and after. `missing` labels the state without the network or its predictions.
    """

    names: Sequence[str]
    verdict: Verdict
    paired: Paired | None = None
    p: float | None = None
    between_seeds: float | None = None
    collapsed: tuple[bool, bool] = (False, False)
    missing: str = ""


def read_states(revisions: Sequence[str | None], project: Path = Path()) -> list[State]:
    """Read the predictions of commits; None is the workspace."""
    with open_project(project, DataError) as repo:
        commits = [None if each is None else find_commit(each, project) for each in revisions]
        cache = Path(repo.cache.local_cache_dir)
        return [
            State(revision or "workspace", commit, _read_answers(repo, commit, project, cache))
            for revision, commit in zip(revisions, commits, strict=True)
        ]


def compare(before: State, after: State) -> list[Change]:
    """Compare each network of two states, in the order of ``before``, then of ``after``."""
    names = dict.fromkeys([*before.answers, *after.answers])
    return _judge([_compare(name, before, after) for name in names])


def compare_networks(state: State) -> list[Change]:
    """Compare each pair of networks of one state; a missing table or no pair is a `DataError`."""
    if len(state.answers) < 2:
        raise DataError(
            f"{state.label}: expected predictions of at least two networks, found "
            f"{', '.join(state.answers) or 'none'}. Add a network to params.yaml, and run "
            "`make repro`."
        )
    tables = {name: answers.table for name, answers in state.answers.items()}
    if missing := [name for name, table in tables.items() if table is None]:
        raise DataError(
            f"{', '.join(missing)}: predictions in {state.label} are not in DVC's cache. Run "
            f"`dvc fetch --all-commits`, or `dvc repro` in that commit."
        )
    found = [(name, table) for name, table in tables.items() if table is not None]
    return _judge(
        [
            Change((one, two), Verdict.NO_EVIDENCE, pair(first, second))
            for (one, first), (two, second) in itertools.combinations(found, 2)
        ]
    )


def _compare(name: str, before: State, after: State) -> Change:
    first, second = before.answers.get(name), after.answers.get(name)
    if first is None:
        return Change([name], Verdict.ADDED, missing=before.label)
    if second is None:
        return Change([name], Verdict.REMOVED, missing=after.label)
    if first.table is None or second.table is None:
        if first.md5 == second.md5:
            return Change([name], Verdict.SAME)
        missing = before.label if first.table is None else after.label
        return Change([name], Verdict.UNKNOWN, missing=missing)
    paired = pair(first.table, second.table)
    if not paired.differing:
        return Change([name], Verdict.SAME, paired)
    between_seeds = seed_range([each.seeds for each in (first, second) if each.seeds])
    collapsed = (learning_status(first.table) != "ok", learning_status(second.table) != "ok")
    return Change([name], Verdict.NO_EVIDENCE, paired, None, between_seeds, collapsed)


def _judge(changes: Sequence[Change]) -> list[Change]:
    """Decide the comparisons without a verdict yet, by p corrected for their number."""
    paired = [each.paired for each in changes if each.verdict is Verdict.NO_EVIDENCE]
    corrected = iter(holm([each.p for each in paired if each]))
    return [
        _decide(each, each.paired.difference, next(corrected))
        if each.paired and each.verdict is Verdict.NO_EVIDENCE
        else each
        for each in changes
    ]


def _decide(change: Change, difference: float, p: float) -> Change:
    if p >= LEVEL:
        verdict = Verdict.NO_EVIDENCE
    elif change.between_seeds is not None and abs(difference) <= change.between_seeds:
        verdict = Verdict.LIKE_SEEDS
    else:
        verdict = Verdict.BETTER if difference > 0 else Verdict.WORSE
    return replace(change, p=p, verdict=verdict)


def _read_answers(repo: Any, commit: str | None, project: Path, cache: Path) -> dict[str, Answers]:
    seeds, answers = _read_seeds(repo, commit, project), {}
    for output in outputs_in(repo, commit):
        if output.stage.startswith(EVALUATION) and output.cached:
            name = output.stage.removeprefix(EVALUATION)
            table = _read_table(output, project, cache)
            accuracies = _seed_accuracies(seeds.get(name, []), table)
            answers[name] = Answers(output.md5, table, accuracies)
    return answers


def _read_table(output: Output, project: Path, cache: Path) -> pd.DataFrame | None:
    """Read a table of predictions from the workspace, or else from DVC's cache."""
    copy = object_path(cache, output.md5)
    for path in (project / output.path, copy):
        content = path.read_bytes() if path.is_file() else b""
        if md5_of(content) == output.md5:
            break
    else:
        if not copy.is_file():
            return None
        raise IntegrityError(
            f"{copy}: damaged: expected the MD5 {output.md5}, got {md5_of(content)}. "
            f"`convdepth verify` says how to mend it."
        )
    try:
        return pd.read_csv(io.BytesIO(content), usecols=COLUMNS)
    except ValueError as error:
        raise DataError(
            f"{output.path} of {output.stage}: not a predictions table: {error}. Expected the "
            f"columns {', '.join(COLUMNS)}."
        ) from error


def _read_seeds(repo: Any, commit: str | None, project: Path) -> dict[str, list[pd.DataFrame]]:
    """Read the mistakes of each network's seeds; a table that is missing or altered is left out."""
    try:
        outputs = outputs_in(repo, commit, STUDIES)
    except DataError:  # the studies have not run
        return {}
    seeds = defaultdict[str, list[pd.DataFrame]](list)
    for output in outputs:
        if not (output.stage.startswith(SEEDS) and output.path.endswith(".mistakes.csv")):
            continue
        content = read_file(output.path, commit, project)
        if content is not None and md5_of(content) == output.md5:
            name = output.stage.removeprefix(SEEDS).rpartition("-")[0]
            seeds[name].append(pd.read_csv(io.BytesIO(content)))
    return seeds


def _seed_accuracies(seeds: Sequence[pd.DataFrame], table: pd.DataFrame | None) -> list[float]:
    """Return the accuracy of each seed if the table is one of them, so of the same recipe."""
    if table is None:
        return []
    wrong = table.loc[table["predicted"] != table["label"], ["index", "label", "predicted"]]
    if not any(np.array_equal(each, wrong) for each in seeds):
        return []
    return [1 - len(each) / len(table) for each in seeds]

"""Facts for `convdepth compare` and `rank`: do the networks' answers differ beyond chance?

The predictions of every network are outputs that DVC or git keeps, so nothing is computed anew.
Where the studies have other seeds of a training, a difference has to exceed the seeds' variation.
"""

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path

import pandas as pd

from convdepth.core.errors import DataError, IntegrityError
from convdepth.core.hashes import md5_of
from convdepth.evaluation.metrics import learning_status
from convdepth.evaluation.significance import LEVEL, Paired, holm, pair, seed_range
from convdepth.studies.runs import rightness
from convdepth.workspace.dvc import STUDIES, Output, object_path, recorded_outputs
from convdepth.workspace.git import find_commit, read_file

EVALUATION = "evaluate@"
"""Prefix of the stages that write predictions; the network follows."""

REPLICATION = f"{STUDIES.as_posix()}:replicates@"
"""Prefix of the stages that collect the seeds of a network."""

COLUMNS = ["index", "label", "predicted", "loss"]
"""Columns that a table of predictions has, at least."""


class Verdict(Enum):
    """Outcome of a comparison."""

    ADDED = auto()
    REMOVED = auto()
    UNKNOWN = auto()
    SAME = auto()
    NO_EVIDENCE = auto()
    LIKE_SEEDS = auto()
    BETTER = auto()
    WORSE = auto()


@dataclass(frozen=True)
class Answers:
    """Predictions of one network: their MD5, and the table if this machine has it."""

    md5: str
    table: pd.DataFrame | None


@dataclass(frozen=True)
class State:
    """A commit or the workspace, with the predictions of its networks.

    Attributes:
        label: The revision as the user gave it, or ``workspace``.
        commit: Its 40 digits; None for the workspace.
        answers: Predictions by network.
        seeds: Predictions of all seeds by network; empty if the studies have not run.
    """

    label: str
    commit: str | None
    answers: Mapping[str, Answers]
    seeds: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Change:
    """One network in two states, or two networks in one state.

    Attributes:
        names: The network, or the two networks.
        verdict: Of the second state or network, relative to the first.
        paired: The counts; None where there is nothing to count.
        p: Of McNemar's exact test, corrected for the number of comparisons.
        between_seeds: Bound that 95% of the differences between two seeds stay below, 0 to 1.
        collapsed: Whether the network had learned nothing before, and after.
        missing: Label of the state that lacks the network, or its predictions on this machine.
    """

    names: Sequence[str]
    verdict: Verdict
    paired: Paired | None = None
    p: float | None = None
    between_seeds: float | None = None
    collapsed: tuple[bool, bool] = (False, False)
    missing: str = ""


def read_state(revision: str | None, cache: Path, project: Path = Path()) -> State:
    """Read the predictions of a commit; of the workspace if ``revision`` is None.

    Raises:
        ParameterError: Git knows no such commit.
        DataError: It has no valid ``dvc.lock``, or a table is malformed.
        IntegrityError: A copy in DVC's ``cache`` is damaged.
    """
    commit = None if revision is None else find_commit(revision, project)
    answers = {
        name: Answers(output.md5, _read_table(name, output, project, cache))
        for output in recorded_outputs(project, commit)
        if output.stage.startswith(EVALUATION) and output.cached
        for name in [output.stage.removeprefix(EVALUATION)]
    }
    return State(revision or "workspace", commit, answers, _read_seeds(project, commit))


def compare(before: State, after: State) -> list[Change]:
    """Compare each network of two states, in the order of ``before``, then of ``after``."""
    names = dict.fromkeys([*before.answers, *after.answers])
    return _judge([_compare(name, before, after) for name in names])


def compare_networks(state: State) -> list[Change]:
    """Compare each pair of networks of one state.

    Raises:
        DataError: A table is not on this machine.
    """
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
    groups = [
        rightness(seeds).mean(axis=1).tolist()
        for state, table in ((before, first.table), (after, second.table))
        if (seeds := _seeds_of(name, state, table)) is not None
    ]
    collapsed = (learning_status(first.table) != "ok", learning_status(second.table) != "ok")
    return Change([name], Verdict.NO_EVIDENCE, paired, None, seed_range(groups), collapsed)


def _judge(changes: Sequence[Change]) -> list[Change]:
    """Correct p for the number of comparisons without a verdict yet, and decide these."""
    open_ones = [each for each in changes if each.verdict is Verdict.NO_EVIDENCE]
    corrected = iter(holm([each.paired.p for each in open_ones if each.paired]))
    return [
        _decide(each, next(corrected)) if each.verdict is Verdict.NO_EVIDENCE else each
        for each in changes
    ]


def _decide(change: Change, p: float) -> Change:
    difference = change.paired.difference if change.paired else 0.0
    if p >= LEVEL:
        verdict = Verdict.NO_EVIDENCE
    elif change.between_seeds is not None and abs(difference) <= change.between_seeds:
        verdict = Verdict.LIKE_SEEDS
    else:
        verdict = Verdict.BETTER if difference > 0 else Verdict.WORSE
    return replace(change, p=p, verdict=verdict)


def _read_table(name: str, output: Output, project: Path, cache: Path) -> pd.DataFrame | None:
    """Read a table of predictions from the workspace, or else from DVC's cache."""
    content = None
    for path in (project / output.path, object_path(cache, output.md5)):
        content = path.read_bytes() if path.is_file() else None
        if content is not None and md5_of(content) == output.md5:
            break
    if content is None:
        return None
    if md5_of(content) != output.md5:
        raise IntegrityError(
            f"{path}: damaged: expected the MD5 {output.md5}, got {md5_of(content)}. "
            f"`convdepth verify` says how to mend it."
        )
    try:
        return pd.read_csv(io.BytesIO(content), usecols=COLUMNS)
    except ValueError as error:
        raise DataError(
            f"{output.path} of {EVALUATION}{name}: not a predictions table: {error}. Expected the "
            f"columns {', '.join(COLUMNS)}."
        ) from error


def _read_seeds(project: Path, commit: str | None) -> dict[str, pd.DataFrame]:
    """Read the predictions of all seeds; a table that is missing or altered is left out."""
    try:
        outputs = recorded_outputs(project, commit, STUDIES)
    except DataError:
        return {}
    return {
        output.stage.removeprefix(REPLICATION): pd.read_csv(io.BytesIO(content))
        for output in outputs
        if output.stage.startswith(REPLICATION) and output.path.endswith(".csv")
        if (content := read_file(output.path, commit, project)) is not None
        and md5_of(content) == output.md5
    }


def _seeds_of(name: str, state: State, table: pd.DataFrame) -> pd.DataFrame | None:
    """Return the seeds of a network if its own training is one of them, so of the same recipe."""
    seeds = state.seeds.get(name)
    if seeds is None or not seeds["label"].equals(table["label"]):
        return None
    is_one = any(seeds[column].equals(table["predicted"]) for column in seeds.columns[1:])
    return seeds if is_one else None

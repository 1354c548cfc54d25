"""Two states of the project, network by network: do their answers differ beyond chance?

A state is a commit, or the workspace. What each network answered to each test image is among the
results that DVC keeps, so that nothing has to be computed anew. Where the studies have other seeds
of the same training, a difference has to be larger than theirs.
"""

import io
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from convdepth.core.errors import DataError, IntegrityError
from convdepth.core.hashes import md5_of
from convdepth.evaluation.metrics import learning_status
from convdepth.evaluation.significance import LEVEL, NO_EVIDENCE, Paired, holm, pair, seed_range
from convdepth.studies.runs import rightness
from convdepth.workspace.repository import (
    LOCK,
    STUDIES,
    Output,
    find_commit,
    object_path,
    read_recorded,
    recorded_outputs,
)

EVALUATION = "evaluate@"
"""What the names of the stages that write predictions begin with; the network follows."""

REPLICATION = re.compile(rf"{re.escape(STUDIES.as_posix())}:replicates?@(.+)")
"""Names of the stages that put the seeds of a network together; `replicate` in former commits."""

LIKE_SEEDS = "no more than between two seeds"
"""The verdict where answers differ, but those of another seed would, too."""

COLUMNS = ["index", "label", "predicted", "loss"]
"""What a table of predictions has, at least."""


@dataclass(frozen=True)
class State:
    """What the networks answered at some time.

    Attributes:
        label: What the user called it.
        commit: Its 40 digits; None for the workspace.
        predictions: Of each network, the digest of its table, and the table; None in the place of
            a table that is not on this machine.
        seeds: Answers of all seeds, from the stage `replicates`, by network; empty if the studies
            have not run.
    """

    label: str
    commit: str | None
    predictions: Mapping[str, tuple[str, bytes | None]]
    seeds: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One network in two states.

    Attributes:
        network: Its name.
        verdict: In words, whether its answers differ.
        paired: The counts; None where there is nothing to count.
        p: That of the exact test, corrected for the number of networks that differ.
        between_seeds: What 95 % of two trainings that differ in their seed alone do not exceed, 0
            to 1; None where that is not known.
    """

    network: str
    verdict: str
    paired: Paired | None = None
    p: float | None = None
    between_seeds: float | None = None


def read_state(revision: str | None, cache: Path, project: Path = Path()) -> State:
    """Read what the networks answered at some time.

    Args:
        revision: A commit as git names it; None for the workspace.
        cache: The folder of DVC's cache.
        project: The root of the project.

    Raises:
        ParameterError: There is no such commit.
        DataError: It has no ``dvc.lock``, or one that cannot be read.
        IntegrityError: A table is damaged.
    """
    commit = None if revision is None else find_commit(revision, project)
    outputs = {
        output.stage.removeprefix(EVALUATION): output
        for output in recorded_outputs(project, commit)
        if output.stage.startswith(EVALUATION) and output.cached
    }
    tables = {name: (out.md5, _read(out, project, cache)) for name, out in outputs.items()}
    return State(revision or "workspace", commit, tables, _read_seeds(project, commit))


def compare(before: State, after: State) -> list[Change]:
    """Compare two states.

    Args:
        before: The one.
        after: The other.

    Returns:
        One change for each network, first those of ``before``, also where nothing has changed.

    Raises:
        DataError: A table is none of predictions.
    """
    names = dict.fromkeys([*before.predictions, *after.predictions])
    changes = [_compare(name, before, after) for name in names]
    differing = [
        (change, change.paired) for change in changes if change.paired and change.paired.differing
    ]
    corrected = holm([paired.p for _, paired in differing])
    judged = {
        change.network: replace(change, p=p, verdict=f"{_judge(change, paired, p)}{change.verdict}")
        for (change, paired), p in zip(differing, corrected, strict=True)
    }
    return [judged.get(change.network, change) for change in changes]


def compare_networks(state: State) -> list[Change]:
    """Compare each network with each other one.

    Args:
        state: Has what they answered.

    Returns:
        One change for each pair, from the network that is first in ``state`` to the other one,
        called such as ``cnn1 / cnn3``; p is corrected for the number of pairs.

    Raises:
        DataError: A table is none of predictions, or is not on this machine.
    """
    tables = {}
    for name, (_, content) in state.predictions.items():
        if content is None:
            raise DataError(f"{name}: {_missing(state.label)}")
        tables[name] = _parse(name, content)
    pairs = list(itertools.combinations(tables, 2))
    paired = [pair(tables[first], tables[second]) for first, second in pairs]
    corrected = holm([each.p for each in paired])
    return [
        Change(f"{first} / {second}", _rank(first, second, each, p), each, p)
        for (first, second), each, p in zip(pairs, paired, corrected, strict=True)
    ]


def _rank(first: str, second: str, paired: Paired, p: float) -> str:
    if p >= LEVEL:
        return NO_EVIDENCE
    return f"{second if paired.difference > 0 else first} is better"


def _read(output: Output, project: Path, cache: Path) -> bytes | None:
    """Read the table from the workspace or from DVC's cache, if one of them has it."""
    for path in (project / output.path, object_path(cache, output.md5)):
        content = path.read_bytes() if path.is_file() else None
        if content is not None and md5_of(content) == output.md5:
            return content
    if content is not None:
        raise IntegrityError(
            f"{path}: is damaged: expected the MD5 {output.md5}, got {md5_of(content)}. "
            f"`convdepth verify` says what mends it."
        )
    return None


def _compare(name: str, before: State, after: State) -> Change:
    """Compare one network; where answers differ, the verdict is what follows the judgement."""
    if name not in before.predictions:
        return Change(name, f"is not in {before.label}")
    if name not in after.predictions:
        return Change(name, f"is no longer in {after.label}")
    (first_md5, first), (second_md5, second) = before.predictions[name], after.predictions[name]
    if first is None or second is None:
        if first_md5 == second_md5:
            return Change(name, "the same answers")
        return Change(name, _missing(before.label if first is None else after.label))
    tables = [_parse(name, content) for content in (first, second)]
    paired = pair(*tables)
    if not paired.differing:
        return Change(name, "the same answers", paired)
    groups = [
        rightness(seeds).mean(axis=1).tolist()
        for state, table in zip((before, after), tables, strict=True)
        if (seeds := _seeds_of(name, state, table)) is not None
    ]
    return Change(name, _collapses(*tables), paired, between_seeds=seed_range(groups))


def _read_seeds(project: Path, commit: str | None) -> dict[str, pd.DataFrame]:
    """Read what other seeds answered; whatever of it is not there or not whole is left out."""
    try:
        outputs = recorded_outputs(project, commit, STUDIES)
    except DataError:
        return {}
    return {
        found[1]: pd.read_csv(io.BytesIO(content))
        for output in outputs
        if (found := REPLICATION.fullmatch(output.stage)) and output.path.endswith(".csv")
        if (content := read_recorded(output, project, commit)) is not None
    }


def _seeds_of(name: str, state: State, table: pd.DataFrame) -> pd.DataFrame | None:
    """Give the seeds of a network if its training is one of them, and not of another recipe."""
    seeds = state.seeds.get(name)
    if seeds is None or not seeds["label"].equals(table["label"]):
        return None
    is_one = any(seeds[column].equals(table["predicted"]) for column in seeds.columns[1:])
    return seeds if is_one else None


def _missing(label: str) -> str:
    return (
        f"unknown: its predictions in {label} are not in DVC's cache here; `dvc fetch "
        f"--all-commits` gets them from a remote, or `dvc repro` in that commit"
    )


def _parse(name: str, content: bytes) -> pd.DataFrame:
    try:
        return pd.read_csv(io.BytesIO(content), usecols=COLUMNS)
    except ValueError as error:
        raise DataError(
            f"{LOCK}: {EVALUATION}{name}: its table is none of predictions: {error}. "
            f"Expected the columns {', '.join(COLUMNS)}."
        ) from error


def _collapses(before: pd.DataFrame, after: pd.DataFrame) -> str:
    had, has = (learning_status(table) != "ok" for table in (before, after))
    if had and has:
        return ": it had learned nothing, and has not now"
    if had:
        return ": it had learned nothing, and now it has"
    return ": it has learned nothing now" if has else ""


def _judge(change: Change, paired: Paired, p: float) -> str:
    if p >= LEVEL:
        return NO_EVIDENCE
    if change.between_seeds is not None and abs(paired.difference) <= change.between_seeds:
        return LIKE_SEEDS
    return "improved" if paired.difference > 0 else "became worse"

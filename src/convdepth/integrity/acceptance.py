"""Which results stay valid after a change of the code, by the evidence of `equivalence`.

A result is accepted if it was made by the code that was compared, if nothing but code has changed
since, and if one epoch of training runs all the code that has changed.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convdepth.core.errors import DataError, MachineError
from convdepth.core.hashes import md5_of
from convdepth.workspace.code_digests import locked_versions, read_command
from convdepth.workspace.dvc import STUDIES, changed_stages
from convdepth.workspace.git import read_commit
from convdepth.workspace.lockfile import LOCK, read_lock_entries

COMMANDS = {
    "train": "train",
    "train_seed": "train",
    "evaluate_seed": "evaluate_seed",
    "train_tuned": "train_tuned",
    "evaluate_tuned": "evaluate_seed",
    "collapse": "collapse",
}
"""Groups of stages that train, or that need the model of a study: the command that each runs.

All others run again in seconds from what is there.
"""

CODE = "code/"
"""Where the dependencies lie that are code."""

REQUIREMENTS = "requirements.lock"

# What `dvc commit` does, with an argument that its command line does not have: a file that is not
# here, such as the model of a study, keeps the digest that dvc.lock records.
COMMIT = """
import sys
from dvc.repo import Repo
with Repo(_wait_for_lock=True) as repo, repo.lock:
    for stage in repo.index.stages:
        if stage.addressing in sys.argv[1:]:
            is_whole = all(dep.exists for dep in stage.deps)
            stage.save(allow_missing=True, run_cache=is_whole)
            stage.commit(allow_missing=True)
            stage.dump(update_pipeline=False)
"""


@dataclass(frozen=True)
class Judgement:
    """Whether a result stays valid.

    Attributes:
        stage: As `dvc repro` takes it.
        reason: Why it does not; empty if it does.
    """

    stage: str
    reason: str = ""


def judge_stages(
    names: Sequence[str], before: Path, commit: str, project: Path = Path()
) -> list[Judgement]:
    """Judge each stage of `COMMANDS` that is of one of some networks and would run again.

    Args:
        names: The networks whose first epochs were found equal.
        before: The folder with the code of the commit.
        commit: Its 40 digits.
        project: The root of the project; its ``code`` must be up to date.

    Raises:
        DataError: ``dvc.lock`` or a module cannot be read.
        MachineError: DVC failed.
    """
    judged = []
    covered = set(read_command("train", project / "src").modules.values())
    digest_sources(before)
    for stage, changes in changed_stages(project).items():
        group, _, key = stage.rpartition(":")[2].partition("@")
        is_one = group in COMMANDS and key.partition("-")[0] in names
        if is_one and any(_changed_paths(changes)):  # a model that is not here changes nothing
            command = COMMANDS[group]
            reason = (
                _explain_changes(changes, names)
                or _explain_origin(stage, before, commit, project)
                or _explain_libraries(command, commit, project)
                or _explain_modules(command, before, project, covered)
            )
            judged.append(Judgement(stage, reason))
    return judged


def accept(stages: Sequence[str], project: Path = Path()) -> None:
    """Record in ``dvc.lock`` that results belong to the present code.

    Args:
        stages: As `dvc repro` takes them.
        project: The root of the project.

    Raises:
        MachineError: DVC failed.
    """
    ended = subprocess.run(
        [sys.executable, "-c", COMMIT, *stages],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise MachineError(f"{project / LOCK}: DVC cannot record the results: {last}. Try again.")


def digest_sources(before: Path) -> None:
    """Run the stage `code` of a commit on its own sources: where its modules are, it knows.

    Args:
        before: The folder with the commit's ``src`` and lock; it gets the folder ``code``.

    Raises:
        DataError: The commit has no such stage.
    """
    program = "from convdepth.cli import run; run()"
    options = ["--sources", "src/convdepth", "--lock", REQUIREMENTS, "--digests", CODE]
    ended = subprocess.run(
        [sys.executable, "-c", program, "code", *options],
        cwd=before,
        env={**os.environ, "PYTHONPATH": str(before / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"{before}: the commit's stage `code` failed: {last}. Use a later commit.")


def _explain_changes(changes: Sequence[Any], names: Sequence[str]) -> str:
    """Name what has changed beside code, and parameters that were compared."""
    other = [path for path in _changed_paths(changes) if not _is_compared(path, names)]
    return f"changed beside code: {', '.join(other)}" if other else ""


def _changed_paths(changes: Sequence[Any]) -> Iterator[str]:
    """Give each changed dependency, parameter, output and command of a stage."""
    for change in changes:
        if not isinstance(change, dict):
            yield str(change)  # such as "changed command"
            continue
        for entries in change.values():
            for path, status in entries.items():
                if isinstance(status, dict):
                    yield from (f"{path}:{key}" for key in status)
                elif status not in ("deleted", "not in cache"):  # what is not here has not changed
                    yield path


def _is_compared(path: str, names: Sequence[str]) -> bool:
    keys = ["train", *(f"architectures.{name}" for name in names)]
    return path.startswith(CODE) or path in [f"params.yaml:{key}" for key in keys]


def _explain_origin(stage: str, before: Path, commit: str, project: Path) -> str:
    """Say that a result is not known to be of the commit's code."""
    folder = STUDIES.parent if ":" in stage else Path()
    entry = read_lock_entries(project / folder / LOCK).get(stage.rpartition(":")[2], {})
    recorded = {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])}
    code = {path: md5 for path, md5 in recorded.items() if path.startswith(CODE)}
    made_by_it = code and all(
        _is_of_sources(path, md5, before, commit, project) for path, md5 in code.items()
    )
    return "" if made_by_it else f"was not made by the code of {commit[:12]}"


def _is_of_sources(path: str, md5: str | None, before: Path, commit: str, project: Path) -> bool:
    """Tell whether a recorded text of digests is the commit's, and that of its sources."""
    try:
        text = read_commit(commit, ("cat-file", "blob", f"{commit}:{path}"), project)
    except DataError:
        return False
    return md5_of(text) == md5 and (before / path).read_bytes() == text


def _explain_libraries(command: str, commit: str, project: Path) -> str:
    """Name libraries whose locked version has changed: both versions ran with the one installed."""
    there_text = read_commit(commit, ("cat-file", "blob", f"{commit}:{REQUIREMENTS}"), project)
    there = locked_versions(there_text.decode())
    here = locked_versions((project / REQUIREMENTS).read_text(encoding="utf-8"))
    libraries = read_command(command, project / "src").libraries
    changed = [name for name in libraries if here.get(name) != there.get(name)]
    return f"other locked versions: {', '.join(changed)}" if changed else ""


def _explain_modules(command: str, before: Path, project: Path, covered: set[str]) -> str:
    """Name changed modules that a training of one epoch does not run."""
    there = set((before / CODE / f"{command}.txt").read_text(encoding="utf-8").splitlines())
    here = read_command(command, project / "src").modules
    changed = [name for name, digest in here.items() if digest not in there | covered]
    return f"changed, and not run by the comparison: {', '.join(changed)}" if changed else ""

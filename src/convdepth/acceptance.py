"""Which results stay valid after a change of the code, by the evidence of `equivalence`.

A result is accepted if it was made by the code that was compared, if nothing but code has changed
since, and if one epoch of training runs all the code that has changed.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convdepth.code_digests import PACKAGE, locked_versions, read_code
from convdepth.digests import md5_of
from convdepth.errors import DataError, MachineError
from convdepth.repository import LOCK, STUDIES, changed_stages, read_commit, read_lock_entries

TRAINING = {
    "train": "train",
    "train_seed": "train",
    "train_tuned": "train_tuned",
    "collapse": "collapse",
}
"""Groups of stages that train: the module that each runs. All others are cheap to run again."""

CODE = ("code/", "src/")
"""Where the dependencies lie that are code."""

REQUIREMENTS = "requirements.lock"

# DVC's own function, which its command line has no option for: an output that is not here, such as
# the model of a study, keeps the digest that dvc.lock records.
COMMIT = """
import sys
from dvc.repo import Repo
with Repo() as repo:
    for stage in sys.argv[1:]:
        repo.commit(stage, force=True, allow_missing=True)
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
    """Judge each stage that trains one of some networks and would run again.

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
    covered = set(read_code(f"{PACKAGE}.train", project / "src").modules.values())
    for stage, changes in changed_stages(project).items():
        group, _, key = stage.rpartition(":")[2].partition("@")
        if group in TRAINING and key.partition("-")[0] in names:
            module = f"{PACKAGE}.{TRAINING[group]}"
            reason = (
                _explain_changes(changes, names)
                or _explain_origin(stage, commit, project)
                or _explain_libraries(module, commit, project)
                or _explain_modules(module, before, project, covered)
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
        for kind, entries in change.items():
            for path, status in entries.items():
                if isinstance(status, dict):
                    yield from (f"{path}:{key}" for key in status)
                elif not (kind == "changed outs" and status in ("deleted", "not in cache")):
                    yield path


def _is_compared(path: str, names: Sequence[str]) -> bool:
    keys = ["train", *(f"architectures.{name}" for name in names)]
    return path.startswith(CODE) or path in [f"params.yaml:{key}" for key in keys]


def _explain_origin(stage: str, commit: str, project: Path) -> str:
    """Say that a result is not known to be of the commit's code."""
    folder = STUDIES.parent if ":" in stage else Path()
    entry = read_lock_entries(project / folder / LOCK).get(stage.rpartition(":")[2], {})
    recorded = {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])}
    code = {path: md5 for path, md5 in recorded.items() if path.startswith(CODE)}
    made_by_it = code and all(
        _committed_md5(path, commit, project) == md5 for path, md5 in code.items()
    )
    return "" if made_by_it else f"was not made by the code of {commit[:12]}"


def _committed_md5(path: str, commit: str, project: Path) -> str | None:
    try:
        return md5_of(read_commit(commit, ("cat-file", "blob", f"{commit}:{path}"), project))
    except DataError:
        return None


def _explain_libraries(module: str, commit: str, project: Path) -> str:
    """Name libraries whose locked version has changed: both versions ran with the one installed."""
    there_text = read_commit(commit, ("cat-file", "blob", f"{commit}:{REQUIREMENTS}"), project)
    there = locked_versions(there_text.decode())
    here = locked_versions((project / REQUIREMENTS).read_text(encoding="utf-8"))
    libraries = read_code(module, project / "src").libraries
    changed = [name for name in libraries if here.get(name) != there.get(name)]
    return f"other locked versions: {', '.join(changed)}" if changed else ""


def _explain_modules(module: str, before: Path, project: Path, covered: set[str]) -> str:
    """Name changed modules that a training of one epoch does not run."""
    try:
        there = set(read_code(module, before / "src").modules.values())
    except DataError:
        there = set()
    here: Mapping[str, str] = read_code(module, project / "src").modules
    changed = [name for name, digest in here.items() if digest not in there | covered]
    return f"changed, and not run by the comparison: {', '.join(changed)}" if changed else ""

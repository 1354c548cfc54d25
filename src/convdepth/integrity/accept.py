"""Judge which results stay valid after a change of code, and record them in ``dvc.lock``.

A result is valid if the compared commit made it, if only code has changed since, and if one epoch
of training runs all code that has changed.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from convdepth.config.questions import KINDS
from convdepth.core.errors import DataError
from convdepth.core.hashes import hash_files
from convdepth.integrity.training_process import PROGRAM
from convdepth.workspace.code_digests import NAMES
from convdepth.workspace.dvc import STUDIES, changed_stages, open_project
from convdepth.workspace.lockfile import LOCK, read_lock_entries
from convdepth.workspace.process import run_captured

COMMANDS = {
    "train": "train",
    "collapse": "collapse",
    "evaluate_corrupted": "evaluate_corrupted",
    **{f"train_{question}": "train_run" for question in KINDS},
}
"""Command of each group of stages that trains or needs a study's model; all others take seconds."""

COMPARED = ("train", "train_recipe", "train_fresh")
"""Groups whose trainings are by the recipe that the comparison runs."""

CODE = "code/"


def judge_stages(
    names: Sequence[str], before: Path, commit: str, project: Path = Path()
) -> dict[str, str]:
    """Return, for each stage of `COMMANDS` that would run again, why its result is not valid.

    The reason is empty if it is valid. ``names`` are networks whose first epoch is equal with the
    commit's sources in ``before``. The project's ``code`` must be up to date.
    """
    _digest_sources(before)
    reasons = {}
    for stage, changes in changed_stages(project).items():
        if not _recorded(stage, project):
            continue  # it never ran, so there is no result
        group, _, key = stage.rpartition(":")[2].partition("@")
        changed = list(_changed_paths(changes))
        # Without a change, only a file is missing here, such as the model of a study.
        if group in COMMANDS and set(key.split("-")) & set(names) and changed:
            reasons[stage] = (
                ("" if group in COMPARED else "trained by another recipe than the compared one")
                or _explain_changes(changed, names)
                or _explain_origin(stage, before, commit, project)
                or _explain_code(COMMANDS[group], before, project)
            )
    return reasons


def accept(stages: Sequence[str], project: Path = Path()) -> None:
    """Record in ``dvc.lock`` that results belong to the present code, as `dvc commit` does.

    A file that is not here, such as the model of a study, keeps its recorded digest: `dvc commit`
    has no option for that.
    """
    with open_project(project, wait=True) as repo, repo.lock:
        accepted = defaultdict(list)  # each lock file is written once: it takes seconds
        for stage in repo.index.stages:
            if stage.addressing in stages:
                is_whole = all(each.exists for each in (*stage.deps, *stage.outs))
                stage.save(allow_missing=True, run_cache=is_whole)
                stage.commit(allow_missing=True)
                accepted[stage.path].append(stage)
        for each in accepted.values():
            each[0].dvcfile.dump_stages(each, update_pipeline=False)


def _digest_sources(before: Path) -> None:
    """Run the stage `code` of a commit on its own sources: it knows where its modules are."""
    options = ["--sources", "src/convdepth", "--lock", "requirements.lock", "--digests", CODE]
    command = [sys.executable, "-c", PROGRAM, "code", *options]
    ended = run_captured(command, before, {"PYTHONPATH": str(before / "src")})
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"{before}: the commit's stage `code` failed: {last}. Use a later commit.")


def _changed_paths(changes: Sequence[Any]) -> Iterator[str]:
    """Give each changed dependency, parameter, output and command of a stage."""
    for change in changes:
        if not isinstance(change, dict):
            yield str(change)  # such as "changed command"
            continue
        for path, status in (item for entries in change.values() for item in entries.items()):
            if isinstance(status, dict):
                yield from (f"{path}:{key}" for key in status)
            elif status not in ("deleted", "not in cache"):  # missing files have not changed
                yield path


def _explain_changes(changed: Sequence[str], names: Sequence[str]) -> str:
    """Name changes beside code and the parameters that were compared."""
    compared = {"params.yaml:train", *(f"params.yaml:architectures.{name}" for name in names)}
    other = [path for path in changed if not path.startswith(CODE) and path not in compared]
    return f"changed beside code: {', '.join(other)}" if other else ""


def _explain_origin(stage: str, before: Path, commit: str, project: Path) -> str:
    """Tell unless the recorded digests of code are the digests of the commit's sources."""
    recorded = {
        before / dep["path"]: dep.get("md5")
        for dep in _recorded(stage, project).get("deps", [])
        if dep["path"].startswith(CODE)
    }
    there = {path: content.md5 for path, content in hash_files(recorded).items()}
    return "" if recorded and there == recorded else f"was not made by the code of {commit[:12]}"


def _recorded(stage: str, project: Path) -> Mapping[str, Any]:
    folder = STUDIES.parent if ":" in stage else Path()
    lock = project / folder / LOCK
    entries = read_lock_entries(lock) if lock.exists() else {}
    return dict(entries.get(stage.rpartition(":")[2], {}))


def _explain_code(command: str, before: Path, project: Path) -> str:
    """Name what has changed and no epoch compares: modules, and libraries' locked versions."""
    covered = {line for line in _read_digests("train", project) if "==" not in line}
    changed = _read_digests(command, project) - _read_digests(command, before) - covered
    modules = dict(line.split() for line in _read_digests(NAMES, project))
    named = sorted(modules.get(line, line) for line in changed)
    return f"changed, and not run by the comparison: {', '.join(named)}" if named else ""


def _read_digests(name: str, folder: Path) -> set[str]:
    return set((folder / CODE / f"{name}.txt").read_text(encoding="utf-8").splitlines())

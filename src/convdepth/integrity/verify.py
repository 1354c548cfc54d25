"""`convdepth verify`: hash each output and each cached copy, and compare with ``dvc.lock``.

DVC trusts mtime, size and read-only cache files, so it misses silent corruption.
"""

import json
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from convdepth.core.errors import DataError, IntegrityError, MachineError
from convdepth.core.hashes import FOLDER_SUFFIX, Content, folder_md5, hash_files
from convdepth.core.text import counted, name_first
from convdepth.workspace.dvc import (
    STUDIES,
    Output,
    cache_folder,
    find_remotes,
    ignored_by_dvc,
    is_md5,
    lies_within,
    object_path,
    recorded_outputs,
)
from convdepth.workspace.git import committed_md5
from convdepth.workspace.lockfile import LOCK, read_lock_entries
from convdepth.workspace.locks import held_outputs

DIFFERS, DAMAGED = "differs: damaged, or changed by hand", "is damaged"


class Damage(NamedTuple):
    """A file that is not the recorded one.

    The path is relative to the project if it lies in there. The remedy is a command for its root.
    """

    path: str
    problem: str
    remedy: str


@dataclass
class Report:
    """Result of a verification.

    Attributes:
        damages: One for each path.
        unverified: Outputs that were not hashed, each with the reason.
        absent: Outputs that are not in this workspace, which is no damage.
        uncopied: Files of which DVC's cache has no copy, which is no damage.
        outputs: Number of outputs in this workspace.
        objects: Number of hashed copies.
    """

    damages: list[Damage] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    uncopied: list[str] = field(default_factory=list)
    outputs: int = 0
    objects: int = 0


class _Pair(NamedTuple):
    """A file of an output and its copy in DVC's cache; both should have this MD5.

    Of a folder the copy is the list of its files. Outputs in git can have copies too: those of the
    run cache.
    """

    path: Path
    copy: Path
    md5: str


def verify(project: Path = Path()) -> Report:
    """Hash the outputs of both graphs, and DVC's copies of them.

    Raises:
        DataError: ``dvc.lock`` or ``dvc.yaml`` cannot be read, or has an unsafe path.
        MachineError: DVC failed, or the lock of an output cannot be read.
    """
    project = project.absolute()
    outputs = recorded_outputs(project)
    _require_safe_paths(project / LOCK)
    if (lock := (project / STUDIES).with_name(LOCK.name)).exists():
        outputs += recorded_outputs(project, graph=STUDIES)
        _require_safe_paths(lock)
    try:
        verification, busy = _Verification(project), held_outputs(project)
    except OSError as error:
        raise MachineError(
            f"{error.filename}: cannot be read: {error.strerror}. Correct its permissions."
        ) from error
    for output in outputs:
        verification.check(output, busy.get(output.path))
    copies = (path for path in verification.contents if path.is_relative_to(verification.cache))
    verification.report.objects = sum(not verification.contents[path].is_missing for path in copies)
    return verification.report


def print_verification(project: Path = Path()) -> None:
    """Verify, and print each damage with its remedy.

    Raises:
        IntegrityError: A file is damaged.
    """
    report = verify(project)
    for damage in report.damages:
        print(f"{damage.path}: {damage.problem}\n  to mend it: {damage.remedy}")
    for text in report.unverified:
        print(f"note: not verified: {text}")
    for paths, text in (
        (report.absent, "not in this workspace; `dvc checkout`, `dvc pull` or `dvc repro` gets it"),
        (report.uncopied, "without a copy in DVC's cache; `dvc commit` makes one"),
    ):
        if paths:
            print(f"note: {name_first(paths)}: {text}")
    checked = f"{counted(report.outputs, 'output')}, {counted(report.objects, 'cached file')}"
    print(f"{checked}: {len(report.damages) or 'none'} damaged")
    if report.damages:
        raise IntegrityError(
            f"{counted(len(report.damages), 'file')} not as {LOCK} records. Run the commands "
            "above, then verify again."
        )


class _Verification:
    """Collects the findings, one output after the other."""

    def __init__(self, project: Path) -> None:
        self.project, self.cache, self.report = project, cache_folder(project), Report()
        self.contents: dict[Path, Content] = {}

    def check(self, output: Output, writer: str | None) -> None:
        pair = self._pair(self.project / output.path, output.md5)
        if is_here := os.path.lexists(pair.path):
            self.report.outputs += 1
        else:
            self.report.absent.append(output.path)
        if writer:
            self.report.unverified.append(f"{output.path}: {writer} is writing it")
        elif not output.md5:
            unknown = [f"{output.path}: {output.lock} has no digest of it"] if is_here else []
            self.report.unverified += unknown
        elif output.is_folder:
            self._check_folder(output, pair)
        else:
            self._judge(output, pair)

    def _check_folder(self, output: Output, whole: _Pair) -> None:
        """Check the cached list of a folder's files, then each file.

        Without a good list, the folder's own files are the list if their common digest is right.
        """
        folder, index = whole.path, whole.copy
        paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
        contents = self._hash(*paths, index)
        files = {path.relative_to(folder).as_posix(): contents[path].md5 for path in paths}
        listed = _read_entries(index) if contents[index].md5 == whole.md5 else None
        if files.keys() - listed.keys() if listed else folder_md5(files) != output.md5:
            ignored = ignored_by_dvc(paths, self.project)
            files = {name: md5 for name, md5 in files.items() if folder / name not in ignored}
        if listed is None:
            if not contents[index].is_missing:
                self.contents[index] = Content(problem=DAMAGED)
            is_whole = folder_md5(files) == output.md5
            self.contents[folder] = Content(whole.md5) if is_whole else Content(problem=DIFFERS)
            self._judge(output, whole)
            listed = files if is_whole else {}
        for name in sorted(files.keys() - listed.keys()) if listed else []:
            problem = f"is in {output.path}, but not in {output.lock}"
            self._add(folder / name, problem, f"rm -rf {self._quote(folder / name)}")
        for name, md5 in listed.items():
            self._judge(output, self._pair(folder / name, md5))

    def _judge(self, output: Output, pair: _Pair) -> None:
        file, copy = self._hash(pair.path, pair.copy).values()
        is_good, is_copied = file.md5 == pair.md5, copy.md5 == pair.md5
        if is_good and copy.is_missing and output.cached:
            self.report.uncopied.append(self._show(pair.path))
        bad_file = not is_good and os.path.lexists(self.project / output.path)
        bad_copy = not is_copied and not copy.is_missing
        if bad_file or bad_copy:
            remedy = self._remedy(output, pair, is_good=is_good, is_copied=is_copied)
        if bad_file:
            problem = "is missing" if file.is_missing else file.problem or DIFFERS
            self._add(pair.path, f"{problem}; {output.lock} records it for {output.stage}", remedy)
        if bad_copy:
            problem = f"{copy.problem or DAMAGED}; it is DVC's copy of {self._show(pair.path)}"
            self._add(pair.copy, problem, remedy)

    def _remedy(self, output: Output, pair: _Pair, *, is_good: bool, is_copied: bool) -> str:
        """Return a command that deletes what is damaged and restores it from the best source."""
        places = ((pair.path, is_good), (pair.copy, is_copied))
        bad = [self._quote(path) for path, good in places if not good and os.path.lexists(path)]
        path, stage = shlex.quote(output.path), shlex.quote(output.stage)
        if is_good and not output.cached:
            restore = ""  # a copy in the run cache
        elif is_good and pair.path.is_dir():
            restore = f"dvc commit {stage}"
        elif is_good:  # not `dvc commit`, which also records code that has changed since
            restore = f"install -m 444 {self._quote(pair.path)} {self._quote(pair.copy)}"
        elif not output.cached and committed_md5(output, self.project) == output.md5:
            restore = f"git checkout HEAD -- {path}"
        elif is_copied and output.cached:
            restore = f"dvc checkout {path}"
        elif output.cached and find_remotes(self.project).default:
            restore = f"dvc pull {path}"
        else:
            restore = f"dvc repro --single-item {stage}"
        delete = f"rm -rf {' '.join(bad)}" if bad else ""
        return " && ".join(filter(None, [delete, restore]))

    def _pair(self, path: Path, md5: str) -> _Pair:
        return _Pair(path, object_path(self.cache, md5), md5.removesuffix(FOLDER_SUFFIX))

    def _hash(self, *paths: Path) -> dict[Path, Content]:
        self.contents |= hash_files(path for path in paths if path not in self.contents)
        return {path: self.contents[path] for path in paths}

    def _add(self, path: Path, problem: str, remedy: str) -> None:
        damage = Damage(self._show(path), problem, remedy)
        if damage.path not in {each.path for each in self.report.damages}:  # a shared copy
            self.report.damages.append(damage)

    def _show(self, path: Path) -> str:
        return str(path.relative_to(self.project) if path.is_relative_to(self.project) else path)

    def _quote(self, path: Path) -> str:
        return shlex.quote(self._show(path))


def _require_safe_paths(lock: Path) -> None:
    """Refuse a lock with a path outside the project, also of a stage that no longer exists."""
    for stage, entry in read_lock_entries(lock).items():
        for out in entry.get("outs", []):
            if not lies_within(out["path"]):
                raise DataError(
                    f"{lock}: stages.{stage}.outs: expected a path in the project, got "
                    f"{out['path']}. Run `git checkout {lock.name}`."
                )


def _read_entries(index: Path) -> dict[str, str] | None:
    """Read DVC's list of a folder's files; None if it is malformed or names other folders."""
    try:
        listed = json.loads(index.read_bytes())
        entries = {str(each["relpath"]): str(each["md5"]) for each in listed}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    is_safe = all(lies_within(name) and is_md5(md5) for name, md5 in entries.items())
    return entries if is_safe else None

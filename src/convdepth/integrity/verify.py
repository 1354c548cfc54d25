"""Whether what DVC keeps is still what was made: every output and every cached copy, hashed anew.

DVC itself does not look: it takes a file whose size and time have not changed for unchanged, and
a cached copy that is read-only for whole.
"""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from convdepth.core.errors import IntegrityError, MachineError
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
from convdepth.workspace.lockfile import LOCK
from convdepth.workspace.locks import held_outputs


class Damage(NamedTuple):
    """Something that is not what it should be.

    Attributes:
        text: What was found, and where.
        remedy: A command that puts it right, to be run in the root of the project.
        otherwise: What else helps where that command fails; empty if nothing does.
    """

    text: str
    remedy: str
    otherwise: str = ""


@dataclass
class Report:
    """What became of a verification.

    Attributes:
        damages: One entry for each file that is not what it should be.
        notes: What was not verified, and why; no damage.
        outputs: How many outputs are there.
        objects: How many cached copies are there.
        size: How much of all this was read, in bytes.
    """

    damages: list[Damage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outputs: int = 0
    objects: int = 0
    size: int = 0

    @property
    def summary(self) -> str:
        """One line for people."""
        read = f"{counted(self.outputs, 'output')}, DVC's copies of {counted(self.objects, 'file')}"
        found = f"all as {LOCK} records"
        if self.damages:
            found = f"{len(self.damages)} damaged, the others as {LOCK} records"
        return f"{read}, {self.size / 1e6:,.1f} MB: {found}"


class _Pair(NamedTuple):
    """A file of an output, and the place of its copy in the cache.

    Of what is not cached there can be a copy, too: that of the run, which serves for equal runs.
    """

    path: Path
    copy: Path
    md5: str


def verify(project: Path = Path()) -> Report:
    """Hash every output that a ``dvc.lock`` records, and every copy of it that DVC keeps.

    Args:
        project: The root of the project.

    Returns:
        What is damaged, and how to mend it. What is not here at all is no damage.

    Raises:
        DataError: ``dvc.lock`` or ``dvc.yaml`` cannot be read, or names what it must not.
        MachineError: DVC failed, or a lock cannot be read.
    """
    project = project.absolute()
    outputs = recorded_outputs(project)
    if (project / STUDIES).with_name(LOCK.name).exists():
        outputs += recorded_outputs(project, graph=STUDIES)
    verification = _Verification(project, cache_folder(project))
    try:
        busy = held_outputs(project)
    except OSError as error:
        raise MachineError(
            f"{error.filename or project}: cannot be read: {error.strerror or error}. Fix its "
            "permissions, then verify again."
        ) from error
    for output in outputs:
        if output.path in busy:
            verification.report.notes.append(
                f"{output.path} was not verified: {busy[output.path]} is writing it"
            )
        else:
            verification.check(output)
    return verification.finish()


def print_verification(project: Path = Path()) -> None:
    """Verify, and print what was found.

    Args:
        project: The root of the project.

    Raises:
        IntegrityError: Something is damaged.
        DataError: As `verify`.
        MachineError: As `verify`.
    """
    report = verify(project)
    for damage in report.damages:
        print(damage.text)
        print(f"  to mend it: {damage.remedy}")
        if damage.otherwise:
            print(f"  or, if that fails: {damage.otherwise}")
    for note in report.notes:
        print(f"note: {note}")
    print(report.summary)
    if report.damages:
        raise IntegrityError(
            f"{counted(len(report.damages), 'file')} not as {LOCK} records; above, each has a "
            "command that mends it. Then verify again."
        )


class _Verification:
    """Collects what is found; one output after the other."""

    def __init__(self, project: Path, cache: Path) -> None:
        self.project, self.cache = project, cache
        self.report = Report()
        self.absent: list[str] = []
        self.uncopied: list[str] = []
        self.copies: set[Path] = set()
        self.ignored: dict[Path, bool] = {}
        self._pull: bool | None = None

    def check(self, output: Output) -> None:
        path = self.project / output.path
        is_here = os.path.lexists(path)
        if is_here:
            self.report.outputs += 1
        else:
            self.absent.append(output.path)
        if not output.md5:
            if is_here:
                text = f"{output.path} was not verified: {output.lock} has no digest of it"
                self.report.notes.append(text)
        elif output.is_folder:
            self._check_folder(output, path)
        else:
            pair = _Pair(path, object_path(self.cache, output.md5), output.md5)
            self._check_pairs(output, [pair], {})

    def finish(self) -> Report:
        """Sum up, and give the report."""
        self.report.objects = len(self.copies)
        if self.absent:
            self.report.notes.append(
                f"{counted(len(self.absent), 'output')} not in this workspace: "
                f"{name_first(self.absent)}. `dvc checkout`, `dvc pull` or `dvc repro` puts there "
                "what is missing"
            )
        if self.uncopied:
            self.report.notes.append(
                f"DVC's cache has no copy of {counted(len(self.uncopied), 'output')}: "
                f"{name_first(self.uncopied)}. `dvc commit` makes one"
            )
        return self.report

    def _check_folder(self, output: Output, folder: Path) -> None:
        """Check the list of a folder's files that DVC keeps, and then each file.

        Where that list is damaged, or DVC keeps none, the folder itself tells what should be in
        it, if it is as a whole what it was.
        """
        index = object_path(self.cache, output.md5)
        kept = self._hash([index])[index]
        contents = self._hash(_list_files(folder))
        entries = _read_entries(index) if kept.md5 == _digits(output) else None
        if entries is None:
            entries = self._infer_entries(output, folder, contents)
            self._judge_list(output, folder, index, kept, whole=entries is not None)
        if entries is not None:
            pairs = [
                _Pair(folder / name, object_path(self.cache, md5), md5)
                for name, md5 in entries.items()
            ]
            self._check_pairs(output, pairs, contents)
            self._report_surplus(output, sorted(contents.keys() - {pair.path for pair in pairs}))

    def _infer_entries(
        self, output: Output, folder: Path, contents: Mapping[Path, Content]
    ) -> dict[str, str] | None:
        """Take what a folder holds for what it should hold, if its digest is the recorded one."""
        entries = {path.relative_to(folder).as_posix(): contents[path].md5 for path in contents}
        if contents and folder_md5(entries) != output.md5:
            for path in self._find_ignored(list(contents)):
                del entries[path.relative_to(folder).as_posix()]
        return entries if folder_md5(entries) == output.md5 else None

    def _judge_list(
        self, output: Output, folder: Path, index: Path, kept: Content, *, whole: bool
    ) -> None:
        """Say what is wrong with a folder whose list of files is not to be had from the cache."""
        if not kept.is_missing:
            text = f"{self._show(index)}: DVC's list of the files in {output.path} is damaged"
            commit = f" && dvc commit {shlex.quote(output.stage)}" if output.cached else ""
            remedy = f"rm -rf {self._quote(index)}{commit}"
            self._add(text, *((remedy,) if whole else self._make_again(output, folder, index)))
        elif whole and output.cached:
            self.uncopied.append(output.path)
        elif not whole and os.path.lexists(folder):
            text = f"{output.path}: {_differs(output)}"
            self._add(text, *self._make_again(output, folder, None))

    def _check_pairs(
        self, output: Output, pairs: Sequence[_Pair], known: Mapping[Path, Content]
    ) -> None:
        paths = [path for pair in pairs for path in (pair.path, pair.copy)]
        contents = {**known, **self._hash([path for path in paths if path not in known])}
        present = os.path.lexists(self.project / output.path)
        for pair in pairs:
            file, copy = contents[pair.path], contents[pair.copy]
            file_good, copy_good = file.md5 == pair.md5, copy.md5 == pair.md5
            if not file_good and (present or not file.is_missing):
                self._report_file(output, pair, file, copy_good=copy_good)
            if not copy_good and not copy.is_missing:
                self._report_copy(output, pair, copy, file_good=file_good)
            elif file_good and copy.is_missing and output.cached:
                self.uncopied.append(self._show(pair.path))

    def _report_file(self, output: Output, pair: _Pair, file: Content, *, copy_good: bool) -> None:
        text = f"{self._show(pair.path)}: {_explain(output, file)}"
        remove = "" if file.is_missing else f"rm -rf {self._quote(pair.path)} && "
        if copy_good and output.cached:
            self._add(text, f"{remove}dvc checkout {shlex.quote(output.path)}")
        elif copy_good:
            restore = f"install -m 644 {self._quote(pair.copy)} {self._quote(pair.path)}"
            self._add(text, f"{remove}{restore}")
        else:
            self._add(text, *self._make_again(output, pair.path, pair.copy))

    def _report_copy(self, output: Output, pair: _Pair, copy: Content, *, file_good: bool) -> None:
        found = copy.problem or "is damaged"
        text = f"{self._show(pair.copy)}: DVC's copy of {self._show(pair.path)} {found}"
        if not file_good:
            self._add(text, *self._make_again(output, pair.path, pair.copy))
        else:
            # Not `dvc commit`: it may also record code that has changed since.
            restore = f"install -m 444 {self._quote(pair.path)} {self._quote(pair.copy)}"
            self._add(text, restore)

    def _report_surplus(self, output: Output, paths: Sequence[Path]) -> None:
        ignored = self._find_ignored(paths)
        for path in paths:
            if path not in ignored:
                found = f"is in {output.path}, but not in what {output.lock} records"
                self._add(f"{self._show(path)}: {found}", f"rm -rf {self._quote(path)}")

    def _make_again(self, output: Output, path: Path, copy: Path | None) -> tuple[str, str]:
        """Say how to get what is good in no place of this project, and what else helps."""
        bad = [each for each in (copy, path) if each and os.path.lexists(each)]
        remove = f"rm -rf {' '.join(map(self._quote, bad))} && " if bad else ""
        run = f"dvc repro --single-item {shlex.quote(output.stage)}"
        if not output.cached and committed_md5(output, self.project) == output.md5:
            return f"{remove}git checkout HEAD -- {shlex.quote(output.path)}", ""
        if output.cached and self._can_pull():
            return f"{remove}dvc pull {shlex.quote(output.path)}", run
        return f"{remove}{run}", ""

    def _find_ignored(self, paths: Sequence[Path]) -> set[Path]:
        """Ask DVC what it does not look at, each path once, since it takes a second."""
        new = [path for path in paths if path not in self.ignored]
        found = ignored_by_dvc(new, self.project)
        self.ignored.update({path: path in found for path in new})
        return {path for path in paths if self.ignored[path]}

    def _can_pull(self) -> bool:
        if self._pull is None:
            self._pull = find_remotes(self.project).default is not None
        return self._pull

    def _hash(self, paths: Sequence[Path]) -> dict[Path, Content]:
        contents = hash_files(paths)
        self.report.size += sum(content.size for content in contents.values())
        self.copies.update(
            path
            for path, content in contents.items()
            if not content.is_missing and path.is_relative_to(self.cache)
        )
        return contents

    def _add(self, text: str, remedy: str, otherwise: str = "") -> None:
        damage = Damage(text, remedy, otherwise)
        if damage not in self.report.damages:  # two outputs may share a copy
            self.report.damages.append(damage)

    def _show(self, path: Path) -> str:
        return str(path.relative_to(self.project) if path.is_relative_to(self.project) else path)

    def _quote(self, path: Path) -> str:
        return shlex.quote(self._show(path))


def _explain(output: Output, file: Content) -> str:
    if file.is_missing:
        return f"is missing; {output.lock} records it as made by {output.stage}"
    return file.problem or _differs(output)


def _differs(output: Output) -> str:
    return (
        f"differs from what {output.lock} records for {output.stage}: damaged, or changed by hand"
    )


def _digits(output: Output) -> str:
    return output.md5.removesuffix(FOLDER_SUFFIX)


def _list_files(folder: Path) -> list[Path]:
    return sorted(Path(top) / name for top, _, names in os.walk(folder) for name in names)


def _read_entries(index: Path) -> dict[str, str] | None:
    """Read the list of a folder's files; None if it is none, or names what is not in the folder."""
    try:
        listed = json.loads(index.read_bytes())
        entries = {str(entry["relpath"]): str(entry["md5"]) for entry in listed}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    safe = all(lies_within(name) and is_md5(md5) for name, md5 in entries.items())
    return entries if safe else None

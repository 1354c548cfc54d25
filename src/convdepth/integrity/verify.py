"""`convdepth verify`: hash each output and each cached copy, and compare with ``dvc.lock``."""

import json
import os
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from convdepth.core.errors import DataError, IntegrityError, MachineError
from convdepth.core.hashes import FOLDER_SUFFIX, Content, folder_md5, hash_files
from convdepth.core.text import counted, name_first
from convdepth.integrity.published import describe_published
from convdepth.workspace import dvc
from convdepth.workspace.git import committed_md5
from convdepth.workspace.lockfile import LOCK, read_lock_entries
from convdepth.workspace.locks import held_outputs

DIFFERS, DAMAGED = "differs: damaged, or changed by hand", "is damaged"


class Damage(NamedTuple):
    """A file that is not the recorded one; the remedy is a command for the project's root."""

    path: str
    problem: str
    remedy: str


def verify(project: Path = Path()) -> "Verification":
    """Hash the outputs of both graphs, and DVC's copies of them."""
    project = project.absolute()
    try:
        busy = held_outputs(project)
    except OSError as error:
        raise MachineError(
            f"{error.filename}: cannot be read: {error.strerror}. Correct its permissions."
        ) from error
    with dvc.open_project(project) as repo:
        verification = Verification(project, repo)
        for graph in (dvc.GRAPH, dvc.STUDIES):
            lock = (project / graph).with_name(LOCK.name)
            if graph == dvc.GRAPH or lock.exists():
                outputs = dvc.recorded_outputs(project, graph=graph)
                _require_safe_paths(lock)
                for output in outputs:
                    verification.check(output, busy.get(output.path))
    return verification


def print_verification(project: Path = Path()) -> None:
    """Verify, and print each damage with its remedy; a damage is an `IntegrityError`."""
    found = verify(project)
    for damage in found.damages:
        print(f"{damage.path}: {damage.problem}\n  to mend it: {damage.remedy}")
    for text in found.unverified:
        print(f"note: not verified: {text}")
    for paths, text in (
        (found.absent, "not in this workspace; `dvc checkout`, `dvc pull` or `dvc repro` gets it"),
        (found.uncopied, "without a copy in DVC's cache; `dvc commit` makes one"),
    ):
        if paths:
            print(f"note: {name_first(paths)}: {text}")
    for text in describe_published(project):
        print(f"note: {text}")
    checked = f"{counted(found.outputs, 'output')}, {counted(found.objects, 'cached file')}"
    print(f"{checked}: {len(found.damages) or 'none'} damaged")
    if found.damages:
        raise IntegrityError(
            f"{counted(len(found.damages), 'file')} not as {LOCK} records. Run the commands "
            "above, then verify again."
        )


class Verification:
    """Collects the findings, one output after the other; a missing output or copy is no damage.

    Each file of an output, and each folder, has an MD5 and a copy in DVC's cache. The copy of a
    folder is the list of its files. Outputs in git can have copies too, those of the run cache.
    """

    def __init__(self, project: Path, repo: Any) -> None:
        self.project, self.cache, self.outputs = project, Path(repo.cache.local_cache_dir), 0
        self._is_ignored = repo.dvcignore.is_ignored_file
        self.damages: list[Damage] = []
        self.unverified: list[str] = []
        self.absent: list[str] = []
        self.uncopied: list[str] = []
        self._contents: dict[Path, Content] = {}

    @property
    def objects(self) -> int:
        """Number of hashed copies."""
        copies = (path for path in self._contents if path.is_relative_to(self.cache))
        return sum(not self._contents[path].is_missing for path in copies)

    def check(self, output: dvc.Output, writer: str | None) -> None:
        """Hash an output and its copy, unless a writer is at work."""
        path = self.project / output.path
        is_here = os.path.lexists(path)
        self.outputs += is_here
        self.absent += [] if is_here else [output.path]
        if writer:
            self.unverified.append(f"{output.path}: {writer} is writing it")
        elif not output.md5:
            unknown = f"{output.path}: {output.lock} has no digest of it"
            self.unverified += [unknown] if is_here else []
        elif output.is_folder:
            self._check_folder(output, path)
        else:
            self._judge(output, path, output.md5)

    def _check_folder(self, output: dvc.Output, folder: Path) -> None:
        """Check the cached list of a folder's files, then each file.

        Without a good list, the folder's own files are the list if their common digest is right.
        """
        index = dvc.object_path(self.cache, output.md5)
        paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
        contents = self._hash(*paths, index)
        files = {path.relative_to(folder).as_posix(): contents[path].md5 for path in paths}
        is_good = contents[index].md5 == output.md5.removesuffix(FOLDER_SUFFIX)
        listed = _read_entries(index) if is_good else None
        if files.keys() - listed.keys() if listed else folder_md5(files) != output.md5:
            files = {
                name: md5 for name, md5 in files.items() if not self._is_ignored(str(folder / name))
            }
        if listed is None:
            if not contents[index].is_missing:
                self._contents[index] = Content(problem=DAMAGED)
            is_whole = folder_md5(files) == output.md5
            self._contents[folder] = Content(output.md5) if is_whole else Content(problem=DIFFERS)
            self._judge(output, folder, output.md5)
            listed = files if is_whole else {}
        for name in sorted(files.keys() - listed.keys()) if listed else []:
            problem = f"is in {output.path}, but not in {output.lock}"
            self._add(folder / name, problem, f"rm -rf {self._quote(folder / name)}")
        for name, md5 in listed.items():
            self._judge(output, folder / name, md5)

    def _judge(self, output: dvc.Output, path: Path, md5: str) -> None:
        copy = dvc.object_path(self.cache, md5)
        found, copied = self._hash(path, copy).values()
        is_good, is_copied = found.md5 == md5, copied.md5 == md5.removesuffix(FOLDER_SUFFIX)
        if is_good and copied.is_missing and output.cached:
            self.uncopied.append(self._show(path))
        is_absent = not os.path.lexists(self.project / output.path)
        bad = [path] if not is_good and not is_absent else []
        bad += [copy] if not is_copied and not copied.is_missing else []
        if not bad:
            return
        source = path if is_good else copy if is_copied else None
        delete = [self._quote(each) for each in bad if os.path.lexists(each)]
        steps = [f"rm -rf {' '.join(delete)}"] if delete else []
        if output.cached or not is_good:  # not for a copy in the run cache
            steps.append(self._restore(output, path, copy, source))
        remedy = " && ".join(steps)
        if path in bad:
            problem = "is missing" if found.is_missing else found.problem or DIFFERS
            self._add(path, f"{problem}; {output.lock} records it for {output.stage}", remedy)
        if copy in bad:
            problem = f"{copied.problem or DAMAGED}; it is DVC's copy of {self._show(path)}"
            self._add(copy, problem, remedy)

    def _restore(self, output: dvc.Output, path: Path, copy: Path, source: Path | None) -> str:
        """Return the command that restores a file and its copy from the best source."""
        name, stage = shlex.quote(output.path), shlex.quote(output.stage)
        if source == path and path.is_dir():
            return f"dvc commit {stage}"
        if source == path:  # not `dvc commit`, which also records code that has changed since
            return f"install -m 444 {self._quote(path)} {self._quote(copy)}"
        if not output.cached and committed_md5(output, self.project) == output.md5:
            return f"git checkout HEAD -- {name}"
        if source == copy and output.cached:
            return f"dvc checkout {name}"
        if output.cached and dvc.default_remote(self.project):
            return f"dvc pull {name}"
        return f"dvc repro --single-item {stage}"

    def _hash(self, *paths: Path) -> dict[Path, Content]:
        self._contents |= hash_files(path for path in paths if path not in self._contents)
        return {path: self._contents[path] for path in paths}

    def _add(self, path: Path, problem: str, remedy: str) -> None:
        damage = Damage(self._show(path), problem, remedy)
        if damage.path not in {each.path for each in self.damages}:  # a shared copy
            self.damages.append(damage)

    def _show(self, path: Path) -> str:
        return str(path.relative_to(self.project) if path.is_relative_to(self.project) else path)

    def _quote(self, path: Path) -> str:
        return shlex.quote(self._show(path))


def _require_safe_paths(lock: Path) -> None:
    """Refuse a lock with a path outside the project, also of a stage that no longer exists."""
    for stage, entry in read_lock_entries(lock).items():
        for out in entry.get("outs", []):
            if not dvc.lies_within(out["path"]):
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
    is_safe = all(dvc.lies_within(name) and dvc.is_md5(md5) for name, md5 in entries.items())
    return entries if is_safe else None

"""``dvc.lock`` after several DVC processes, and after one that was killed."""

import json
import logging
import re
import shlex
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.lock import make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils import serialize
from voluptuous import Invalid

from convdepth.core.errors import MachineError, ParameterError
from convdepth.core.files import write_bytes, write_text
from convdepth.core.hashes import md5_of
from convdepth.workspace.dvc import open_project
from convdepth.workspace.git import read_file

LOCKS = (Path("dvc.lock"), Path("studies/dvc.lock"))  # either may be missing
TORN = Path(".dvc/tmp/torn")  # copies of torn files, by name and the beginning of their MD5

logger = logging.getLogger(__name__)


def order_lock(folder: Path = Path()) -> None:
    """Sort the entries of each ``dvc.lock`` as its ``dvc.yaml`` defines the stages.

    DVC appends an entry when its stage ends, so the order differs from run to run. Entries of
    stages that are no longer defined keep their order, at the end.
    """
    with open_project(folder, wait=True) as repo, repo.lock:
        for path in (folder / lock for lock in LOCKS if (folder / lock).exists()):
            text = path.read_text(encoding="utf-8")
            content = serialize.parse_yaml_for_update(text, path)  # keeps comments
            entries = content.get("stages", {})
            graph = path.with_suffix(".yaml").resolve()
            try:
                defined = [stage.name for stage in repo.stage.load_file(str(graph))]
            except DvcException as error:
                logger.warning("%s keeps its order: %s cannot be read: %s", path, graph, error)
                continue
            order = [name for name in dict.fromkeys([*defined, *entries]) if name in entries]
            if order != list(entries):
                content["stages"] = {name: entries[name] for name in order}
                write_text(path, serialize.dumps_yaml(content))


def mend_locks(folder: Path = Path()) -> None:
    """Mend the files that DVC rewrites in place, and that stop every run if a kill has torn them.

    DVC empties a file, then writes it: a torn one is empty, or ends within a line. A copy of it is
    kept in `TORN`. The list of busy files is deleted. ``dvc.lock`` is taken from the last commit,
    or deleted if that has none; what has run since then is restored from DVC's run cache.
    """
    _mend_busy_files(folder)
    if any(_is_torn(folder / lock) for lock in LOCKS):
        with open_project(folder, wait=True) as repo, repo.lock:
            for lock in LOCKS:
                if _is_torn(folder / lock):  # and not only just being written
                    _restore_lock(folder, lock)


def _mend_busy_files(folder: Path) -> None:
    tmp = folder / ".dvc" / "tmp"
    path = tmp / RWLOCK_FILE
    if not path.exists():
        return
    with make_lock(str(tmp / RWLOCK_LOCK), tmp_dir=str(tmp), wait=True):
        content = path.read_bytes()
        try:
            json.loads(content)
        except ValueError as error:
            if content.endswith(b"}"):
                raise ParameterError(
                    f"{path}: DVC's list of busy files is not valid: {error}. If no DVC process "
                    f"runs, run `rm {shlex.quote(str(path))}`."
                ) from error
            _replace(folder, Path(RWLOCK_FILE), path, None)


def _is_torn(path: Path) -> bool:
    """Tell whether a kill has torn a lock; one with another fault is a `ParameterError`."""
    if not path.exists():
        return False
    content = path.read_bytes()
    try:
        COMPILED_LOCKFILE_SCHEMA(serialize.parse_yaml(content.decode(), path))
    except (serialize.YAMLFileCorruptedError, Invalid, ValueError) as error:
        marker = re.search(rb"^(<{7} |={7}$|>{7} )", content, re.MULTILINE)
        if marker or content.endswith(b"\n"):
            raise ParameterError(_explain(path, content, marker, error)) from error
        return True
    return False


def _explain(path: Path, content: bytes, marker: re.Match[bytes] | None, error: Exception) -> str:
    name = shlex.quote(str(path))
    if marker:
        line = content.count(b"\n", 0, marker.start()) + 1
        return (
            f"{path}: line {line}: a merge conflict. Take one side by `git checkout --ours {name}` "
            f"or `git checkout --theirs {name}`, then `git add {name}`; what the other side ran "
            "is restored from DVC's run cache."
        )
    mark = getattr(error.__cause__, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    reason = " ".join(str(error.__cause__ if mark else error).split())
    return (
        f"{path}: {where}not a valid DVC lock: {reason}. `git diff {name}` shows the changes, "
        f"`git checkout {name}` takes the last commit's."
    )


def _restore_lock(folder: Path, lock: Path) -> None:
    path = folder / lock
    try:
        committed = read_file(str(lock), "HEAD", folder)
    except MachineError as error:
        raise MachineError(
            f"{path}: torn by a killed process, and not mended without its last commit: {error} "
            f"Without git, `rm {shlex.quote(str(path))}`; DVC's run cache restores the results."
        ) from error
    _replace(folder, lock, path, committed)


def _replace(folder: Path, name: Path, path: Path, content: bytes | None) -> None:
    """Replace a torn file, or delete it; keep a copy."""
    torn = path.read_bytes()
    copy = folder / TORN / f"{'-'.join(name.parts)}.{md5_of(torn)[:8]}"
    write_bytes(copy, torn)
    if content is None:
        path.unlink()
    else:
        write_bytes(path, content)
    what = "deleted it" if content is None else "restored it from the last commit"
    logger.warning("%s was torn by a killed process; %s, and kept a copy: %s", path, what, copy)

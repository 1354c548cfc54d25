"""DVC's own files in a workspace: several processes leave them other than one would."""

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dvc.lock import make_lock
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import (
    YAMLFileCorruptedError,
    dumps_yaml,
    parse_yaml,
    parse_yaml_for_update,
)
from voluptuous import Invalid

from convdepth.errors import MachineError
from convdepth.files import write_text
from pipelines.git import git

LOCK = Path("dvc.lock")

logger = logging.getLogger(__name__)


def locked_stages(folder: Path = Path()) -> list[str]:
    """List the stages that ``dvc.lock`` has, in its order.

    Args:
        folder: The root of the project.

    Returns:
        Their names; none if there is no such file yet.
    """
    return list(_read_lock(folder, parse_yaml).get("stages", {}))


def order_lock(stages: Iterable[str], before: Iterable[str], folder: Path = Path()) -> None:
    """Put the entries of ``dvc.lock`` into the order in which `dvc repro` would have written them.

    DVC appends what is new when it ends, and of several stages at once each time another one
    ends first. An entry that was there before keeps its place.

    Args:
        stages: All stages, in the order in which `dvc repro` runs them.
        before: The stages that the file had, in its order, when the run began.
        folder: The root of the project.
    """
    with Repo(str(folder), _wait_for_lock=True) as repo, repo.lock:
        content = _read_lock(folder, parse_yaml_for_update)  # slower, and keeps comments
        entries = content.get("stages", {})
        order = [name for name in dict.fromkeys([*before, *stages, *entries]) if name in entries]
        if order != list(entries):
            content["stages"] = {name: entries[name] for name in order}
            write_text(folder / LOCK, dumps_yaml(content))


def mend_locks(folder: Path = Path()) -> None:
    """Mend the two files that DVC rewrites in place, and that stop every run if they are torn.

    A process that is killed can leave half of one. The list of busy files is deleted, since who
    was busy has ended. ``dvc.lock`` becomes that of the last commit, or is deleted if git has
    none: what has run since then is restored from DVC's cache of runs, as far as it keeps it.

    Args:
        folder: The root of the project.
    """
    _mend_busy_files(folder)
    if _is_torn(folder / LOCK):
        with Repo(str(folder), _wait_for_lock=True) as repo, repo.lock:
            if _is_torn(folder / LOCK):  # and not only just being written
                _restore_lock(folder)


def _mend_busy_files(folder: Path) -> None:
    tmp = folder / ".dvc" / "tmp"
    path = tmp / RWLOCK_FILE
    if not path.exists():
        return
    with make_lock(str(tmp / RWLOCK_LOCK), tmp_dir=str(tmp), wait=True):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            path.unlink()
            logger.warning("%s was torn, by a process that was killed; deleted it", path)


def _is_torn(lock: Path) -> bool:
    try:
        COMPILED_LOCKFILE_SCHEMA(parse_yaml(lock.read_text(encoding="utf-8"), lock))
    except FileNotFoundError:
        return False
    except (YAMLFileCorruptedError, Invalid, ValueError):
        return True
    return False


def _restore_lock(folder: Path) -> None:
    path = folder / LOCK
    try:
        write_text(path, git("show", f"HEAD:./{LOCK}", folder=folder) + "\n")
        what = "took that of the last commit"
    except MachineError:  # it was never committed
        path.unlink()
        what = "deleted it"
    logger.warning("%s was torn, by a process that was killed; %s", path, what)


def _read_lock(folder: Path, parse: Callable[[str, Path], Any]) -> dict[str, Any]:
    path = folder / LOCK
    if not path.exists():
        return {}
    return dict(parse(path.read_text(encoding="utf-8"), path))

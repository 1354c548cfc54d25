"""DVC's own files in a workspace: several processes leave them other than one would."""

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
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

from convdepth.core.errors import MachineError
from convdepth.core.files import write_text
from pipelines.checkout.git import git

LOCKS = (Path("dvc.lock"), Path("studies/dvc.lock"))
"""What DVC records of the pipeline and of the studies; neither need be there."""

logger = logging.getLogger(__name__)


def locked_stages(folder: Path = Path()) -> list[str]:
    """List the stages that each ``dvc.lock`` has, in its order.

    Args:
        folder: The root of the project.

    Returns:
        Their names as `dvc repro` takes them; none where there is no such file yet.
    """
    return [
        f"{_prefix(lock)}{name}"
        for lock in LOCKS
        for name in _read_lock(folder / lock, parse_yaml).get("stages", {})
    ]


def order_lock(folder: Path = Path()) -> None:
    """Sort the entries of each ``dvc.lock`` as the ``dvc.yaml`` beside it defines the stages.

    DVC appends an entry when its stage ends. That order differs from run to run: stages run side
    by side, and DVC itself walks a small part of a graph in random order. Entries of stages that
    are not defined any more come last, in the order that they had.

    Args:
        folder: The root of the project.
    """
    with Repo(str(folder), _wait_for_lock=True) as repo, repo.lock:
        for lock in LOCKS:
            if (folder / lock).exists():
                _order_entries(folder / lock, _defined_stages(repo, folder / lock))


def _defined_stages(repo: Repo, lock: Path) -> list[str]:
    """Return the names of the stages as defined; foreach and matrix in the order of their items."""
    graph = lock.with_suffix(".yaml").resolve()
    try:
        return [stage.name for stage in repo.stage.load_file(str(graph))]
    except DvcException as error:
        logger.warning("%s keeps its order: %s cannot be read: %s", lock, graph, error)
        return []


def _order_entries(lock: Path, wanted: Iterable[str]) -> None:
    content = _read_lock(lock, parse_yaml_for_update)  # slower, and keeps comments
    entries = content.get("stages", {})
    order = [name for name in dict.fromkeys([*wanted, *entries]) if name in entries]
    if order != list(entries):
        content["stages"] = {name: entries[name] for name in order}
        write_text(lock, dumps_yaml(content))


def _prefix(lock: Path) -> str:
    """Give what stands before the names of a file's stages, as in ``studies/dvc.yaml:``."""
    return "" if lock.parent == Path() else f"{lock.with_suffix('.yaml').as_posix()}:"


def mend_locks(folder: Path = Path()) -> None:
    """Mend the files that DVC rewrites in place, and that stop every run if they are torn.

    A process that is killed can leave half of one. The list of busy files is deleted, since who
    was busy has ended. ``dvc.lock`` becomes that of the last commit, or is deleted if git has
    none: what has run since then is restored from DVC's cache of runs, as far as it keeps it.

    Args:
        folder: The root of the project.
    """
    _mend_busy_files(folder)
    if any(_is_torn(folder / lock) for lock in LOCKS):
        with Repo(str(folder), _wait_for_lock=True) as repo, repo.lock:
            for lock in LOCKS:
                if _is_torn(folder / lock):  # and not only just being written
                    _restore_lock(folder, lock)


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


def _restore_lock(folder: Path, lock: Path) -> None:
    path = folder / lock
    try:
        write_text(path, git("show", f"HEAD:./{lock}", folder=folder) + "\n")
        what = "took that of the last commit"
    except MachineError:  # it was never committed
        path.unlink()
        what = "deleted it"
    logger.warning("%s was torn, by a process that was killed; %s", path, what)


def _read_lock(path: Path, parse: Callable[[str, Path], Any]) -> dict[str, Any]:
    if not path.exists():
        return {}
    return dict(parse(path.read_text(encoding="utf-8"), path))

"""``dvc.lock`` after several DVC processes, and after one that was killed."""

import json
import logging
from collections.abc import Callable
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
from pipelines.core.git import git

LOCKS = (Path("dvc.lock"), Path("studies/dvc.lock"))
"""The lock files of the pipeline and of the studies; either may be missing."""

logger = logging.getLogger(__name__)


def locked_stages(folder: Path = Path()) -> list[str]:
    """Return the names of the stages in each ``dvc.lock``, as `dvc repro` takes them, in order."""
    return [
        name if lock.parent == Path() else f"{lock.with_suffix('.yaml').as_posix()}:{name}"
        for lock in LOCKS
        for name in _read_lock(folder / lock, parse_yaml).get("stages", {})
    ]


def order_lock(folder: Path = Path()) -> None:
    """Sort the entries of each ``dvc.lock`` as its ``dvc.yaml`` defines the stages.

    DVC appends an entry when its stage ends, so the order differs from run to run. Entries of
    stages that are no longer defined keep their order, at the end.
    """
    with Repo(str(folder), _wait_for_lock=True) as repo, repo.lock:
        for lock in LOCKS:
            path = folder / lock
            content = _read_lock(path, parse_yaml_for_update)  # keeps comments
            entries = content.get("stages", {})
            wanted = _defined_stages(repo, path) if entries else []
            order = [name for name in dict.fromkeys([*wanted, *entries]) if name in entries]
            if order != list(entries):
                content["stages"] = {name: entries[name] for name in order}
                write_text(path, dumps_yaml(content))


def _defined_stages(repo: Repo, lock: Path) -> list[str]:
    graph = lock.with_suffix(".yaml").resolve()
    try:
        return [stage.name for stage in repo.stage.load_file(str(graph))]
    except DvcException as error:
        logger.warning("%s keeps its order: %s cannot be read: %s", lock, graph, error)
        return []


def _read_lock(path: Path, parse: Callable[[str, Path], Any]) -> dict[str, Any]:
    return dict(parse(path.read_text(encoding="utf-8"), path)) if path.exists() else {}


def mend_locks(folder: Path = Path()) -> None:
    """Mend the files that DVC rewrites in place, and that stop every run if they are torn.

    A killed process can leave half of one. The list of busy files is deleted. ``dvc.lock`` is
    taken from the last commit, or deleted if git has none; what has run since then is restored
    from DVC's run cache.
    """
    _mend_busy_files(folder / ".dvc" / "tmp")
    if any(_is_torn(folder / lock) for lock in LOCKS):
        with Repo(str(folder), _wait_for_lock=True) as repo, repo.lock:
            for lock in LOCKS:
                if _is_torn(folder / lock):  # and not only just being written
                    _restore_lock(folder, lock)


def _mend_busy_files(tmp: Path) -> None:
    path = tmp / RWLOCK_FILE
    if not path.exists():
        return
    with make_lock(str(tmp / RWLOCK_LOCK), tmp_dir=str(tmp), wait=True):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            path.unlink()
            logger.warning("%s was torn by a killed process; deleted it", path)


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
        what = "restored it from the last commit"
    except MachineError:  # it was never committed
        path.unlink()
        what = "deleted it"
    logger.warning("%s was torn by a killed process; %s", path, what)

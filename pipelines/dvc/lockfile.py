"""``dvc.lock`` after several DVC processes, and after one that was killed."""

import json
import logging
from pathlib import Path

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

from convdepth.core.files import write_bytes, write_text
from convdepth.workspace.git import read_file

LOCKS = (Path("dvc.lock"), Path("studies/dvc.lock"))
"""The lock files of the pipeline and of the studies; either may be missing."""

logger = logging.getLogger(__name__)


def order_lock(folder: Path = Path()) -> None:
    """Sort the entries of each ``dvc.lock`` as its ``dvc.yaml`` defines the stages.

    DVC appends an entry when its stage ends, so the order differs from run to run. Entries of
    stages that are no longer defined keep their order, at the end.
    """
    with Repo(str(folder), _wait_for_lock=True) as repo, repo.lock:
        for path in (folder / lock for lock in LOCKS if (folder / lock).exists()):
            content = parse_yaml_for_update(path.read_text(encoding="utf-8"), path)  # and comments
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
                write_text(path, dumps_yaml(content))


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
    path, committed = folder / lock, read_file(str(lock), "HEAD", folder)
    if committed is None:
        path.unlink()
    else:
        write_bytes(path, committed)
    what = "deleted it" if committed is None else "restored it from the last commit"
    logger.warning("%s was torn by a killed process; %s", path, what)

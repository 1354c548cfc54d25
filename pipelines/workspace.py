"""DVC's own files in a workspace: several processes leave them other than one would."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.lock import make_lock
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

from convdepth.files import write_text

LOCK = Path("dvc.lock")

logger = logging.getLogger(__name__)


def locked_stages(folder: Path = Path()) -> list[str]:
    """List the stages that ``dvc.lock`` has, in its order.

    Args:
        folder: The root of the project.

    Returns:
        Their names; none if there is no such file yet.
    """
    return list(_read_lock(folder).get("stages", {}))


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
        content = _read_lock(folder)
        entries = content.get("stages", {})
        order = [name for name in dict.fromkeys([*before, *stages, *entries]) if name in entries]
        if order != list(entries):
            content["stages"] = {name: entries[name] for name in order}
            write_text(folder / LOCK, dumps_yaml(content))


def mend_locks(folder: Path = Path()) -> None:
    """Delete DVC's list of busy files if it is torn, which else stops every run.

    It is rewritten in place, so a process that is killed can leave half of it.

    Args:
        folder: The root of the project.
    """
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


def _read_lock(folder: Path) -> dict[str, Any]:
    path = folder / LOCK
    if not path.exists():
        return {}
    return dict(parse_yaml_for_update(path.read_text(encoding="utf-8"), path))

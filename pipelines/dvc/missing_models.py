"""Models of the studies that are missing, as in a fresh clone without a DVC remote.

Git keeps the histories, answers and scores of these trainings. A missing model alone is therefore
no reason to train again.
"""

from collections.abc import Container, Set
from functools import cached_property
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from convdepth.core.errors import MachineError
from pipelines.dvc.graph import Graph, Stage, name_of

GROUPS = frozenset({"train_seed", "evaluate_seed", "train_tuned", "evaluate_tuned"})
"""Stages that write or read such a model."""


class Models:
    """Says which stages may be skipped although their model is missing."""

    def __init__(self, graph: Graph, folder: Path) -> None:
        """Name the stages; nothing is read yet.

        Args:
            graph: The stages.
            folder: The root of the project.
        """
        self._folder = folder
        self._stages = {name: each for name, each in graph.stages.items() if each.group in GROUPS}

    def may_be_missing(self, stage: str) -> bool:
        """Return True for a stage of `GROUPS` that does not need its model.

        Args:
            stage: Its name. All stages upstream of `GROUPS` have run.

        Raises:
            MachineError: DVC cannot read the state of the stages.
        """
        return stage in self._stages and stage not in self._needing

    @cached_property
    def _needing(self) -> Set[str]:
        """The evaluations that must run for another reason, and their trainings."""
        changed = _changed_stages(self._stages, self._folder)
        stale = {
            name
            for name, stage in self._stages.items()
            if name in changed or _lacks_file_of_git(stage)
        }
        return stale.union(*(self._stages[name].upstream for name in stale))


def _changed_stages(names: Container[str], folder: Path) -> Set[str]:
    """Return the stages that DVC calls changed, apart from missing files."""
    try:
        with Repo(str(folder), _wait_for_lock=True) as repo, repo.lock:
            return {
                name
                for stage in repo.index.stages
                if (name := name_of(stage)) in names and stage.changed(allow_missing=True)
            }
    except DvcException as error:
        raise MachineError(
            f"DVC cannot tell which trainings have changed: {error}. Run `dvc status`."
        ) from error


def _lacks_file_of_git(stage: Stage) -> bool:
    """Return True if an output is missing that git keeps; `--allow-missing` ignores that too."""
    return not all(path.exists() for path in stage.in_git)

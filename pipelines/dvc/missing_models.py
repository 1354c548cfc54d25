"""Models of the studies that are missing, as in a fresh clone without a DVC remote.

Git keeps the histories, answers and scores of these trainings. A missing model alone is therefore
no reason to train again.
"""

from collections.abc import Set
from functools import cached_property
from pathlib import Path

from dvc.stage import Stage

from convdepth.workspace.dvc import open_project
from pipelines.dvc.graph import Graph, name_of

GROUPS = frozenset({"train_seed", "evaluate_seed", "train_tuned", "evaluate_tuned"})
"""Groups of stages that write or read such a model."""


class Models:
    """Tells which stages of a graph may be skipped although their model is missing."""

    def __init__(self, graph: Graph, folder: Path) -> None:
        self._stages = graph.groups(*GROUPS).stages
        self._folder = folder

    def may_be_missing(self, stage: str) -> bool:
        """Return True for a stage of `GROUPS` that does not need its model.

        At the first call with such a stage, all stages upstream of `GROUPS` must have run.
        """
        return stage in self._stages and stage not in self._needing

    @cached_property
    def _needing(self) -> Set[str]:
        """The stages that must run for another reason, and the trainings of their models."""
        with open_project(self._folder, wait=True) as repo, repo.lock:
            stale = {
                name
                for stage in repo.index.stages
                if (name := name_of(stage)) in self._stages
                # `allow_missing` ignores missing files of git, too.
                and (stage.changed(allow_missing=True) or _lacks_file_of_git(stage))
            }
        return stale.union(*(self._stages[name].upstream for name in stale))


def _lacks_file_of_git(stage: Stage) -> bool:
    return any(not out.use_cache and not out.exists for out in stage.outs)

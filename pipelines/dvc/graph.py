"""The stages of the project and their order, read from DVC's own graph."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.stage import Stage
from dvc.stage.cache import RunCacheNotFoundError

from convdepth.config.questions import KINDS
from convdepth.core.errors import ParameterError
from convdepth.workspace.dvc import GRAPH, address, open_project

# Groups of stages that write or read the model of a study.
MODEL_GROUPS = frozenset({"evaluate_corrupted", *(f"train_{question}" for question in KINDS)})


@dataclass(frozen=True)
class Node:
    """A stage of the graph."""

    name: str  # as `dvc repro` takes it: ``train@cnn1``, ``studies/dvc.yaml:train_recipe@cnn1-2``
    upstream: frozenset[str]  # the stages that must be done before it
    outs: tuple[Path, ...]  # the absolute paths of its outputs

    @property
    def group(self) -> str:
        """Name without file and key: ``collapse`` for ``studies/dvc.yaml:collapse@cnn1``."""
        return self.name.partition("@")[0].rpartition(":")[2]

    @property
    def key(self) -> str:
        """The item of ``foreach`` or ``matrix``: ``cnn1-2``; empty for a stage without items."""
        return self.name.partition("@")[2]


@dataclass(frozen=True)
class Graph:
    """Stages by name, in the order in which `dvc repro` runs them."""

    stages: Mapping[str, Node]

    def select(self, wanted: Callable[[Node], bool]) -> "Graph":
        """Keep some stages, and the edges among them."""
        kept = {name: stage for name, stage in self.stages.items() if wanted(stage)}
        for name, stage in kept.items():
            kept[name] = replace(stage, upstream=stage.upstream & kept.keys())
        return Graph(kept)

    def groups(self, *groups: str) -> "Graph":
        """Keep the stages of some groups, see `Node.group`."""
        return self.select(lambda stage: stage.group in groups)

    def up_to(self, targets: "Graph") -> "Graph":
        """Keep the stages of a selection of this graph, and all upstream of them."""
        needed = set(targets.stages)
        for name in reversed(list(self.stages)):  # what a stage waits for stands before it
            if name in needed:
                needed |= self.stages[name].upstream
        return self.select(lambda stage: stage.name in needed)

    def key(self, key: str, *groups: str) -> "Graph":
        """Keep the stages of one network, which must be there, and of some groups."""
        known = sorted({stage.key for stage in self.stages.values() if stage.key})
        if key not in known:
            raise ParameterError(
                f"params.yaml: architectures.{key}: no such architecture; there are "
                f"{', '.join(known) or 'none'}"
            )
        return self.select(lambda stage: stage.key == key or stage.group in groups)


def read_graph(folder: Path = Path(), file: Path = GRAPH) -> Graph:
    """Read the stages of one ``dvc.yaml`` of the project, and all upstream of them."""
    with open_project(folder, ParameterError) as repo:
        graph = repo.index.graph  # its edges point from a stage to what the stage depends on
        nodes = [
            Node(
                address(stage),
                frozenset(map(address, graph.successors(stage))),
                tuple(Path(out.fs_path) for out in stage.outs),
            )
            for stage in _plan(repo, folder / file)
        ]
    return Graph({node.name: node for node in nodes})


def is_up_to_date(file: Path = GRAPH, folder: Path = Path()) -> bool:
    """Return True if `dvc repro` would neither run nor restore a stage of a ``dvc.yaml``.

    Return False if DVC cannot tell, for example while another process writes an output.
    """
    try:
        with open_project(folder) as repo, repo.lock:
            return not any(stage.changed() for stage in _plan(repo, folder / file))
    except Exception:  # the flow meets the same error, and reports it
        return False


def _plan(repo: Repo, file: Path) -> list[Stage]:
    """List the stages that `dvc repro` visits, in its order."""
    planned: list[Stage] = plan_repro(
        get_active_graph(repo.index.graph), repo.stage.collect(str(file))
    )
    return planned


def is_finished(stage: Stage) -> bool:
    """Return True if a locked project's stage is unchanged, or DVC's run cache has its result."""
    if not stage.changed():
        return True
    if not all(dep.exists for dep in stage.deps):
        return False
    if not stage.deps_cached():
        stage.save_deps()  # in memory; else DVC would look up what the lock file has
        for out in stage.outs:
            out.clear()
    try:
        stage.repo.stage_cache.restore(stage, dry=True)
    except RunCacheNotFoundError:
        return False
    return True


class Models:
    """Tells which stages may be skipped although their model is missing, as in a fresh clone.

    Git keeps the histories, answers and scores of these trainings.
    """

    def __init__(self, graph: Graph, folder: Path) -> None:
        self._stages = graph.groups(*MODEL_GROUPS).stages
        self._folder = folder

    def may_be_missing(self, stage: str) -> bool:
        """Return True for a stage of `MODEL_GROUPS` that does not need its model.

        At the first call with such a stage, all stages upstream of `MODEL_GROUPS` must have run.
        """
        return stage in self._stages and stage not in self._needing

    @cached_property
    def _needing(self) -> Set[str]:
        """The stages that must run for another reason, and the trainings of their models."""
        with open_project(self._folder, wait=True) as repo, repo.lock:
            stale = {
                name
                for stage in repo.index.stages
                if (name := address(stage)) in self._stages
                # `allow_missing` ignores missing files of git, too.
                and (
                    stage.changed(allow_missing=True)
                    or not all(out.exists or repo.scm.is_ignored(out.fs_path) for out in stage.outs)
                )
            }
        return stale.union(*(self._stages[name].upstream for name in stale))

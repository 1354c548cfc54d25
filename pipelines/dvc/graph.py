"""The stages of the project and their order, read from DVC's own graph."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dvc.dvcfile import PROJECT_FILE
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.stage import PipelineStage, Stage
from dvc.stage.cache import RunCacheNotFoundError

from convdepth.core.errors import ParameterError
from convdepth.workspace.dvc import open_project


@dataclass(frozen=True)
class Node:
    """A stage of the graph."""

    name: str  # as `dvc repro` takes it: ``train@cnn1``, ``studies/dvc.yaml:train_seed@cnn1-2``
    upstream: frozenset[str]  # the stages that must be done before it
    outs: tuple[Path, ...]  # the absolute paths of its outputs

    @property
    def group(self) -> str:
        """Name without file and key: ``train_seed`` for ``studies/dvc.yaml:train_seed@cnn1-2``."""
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
        return Graph(
            {
                name: replace(stage, upstream=stage.upstream & kept.keys())
                for name, stage in kept.items()
            }
        )

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


def read_graph(folder: Path = Path(), file: str = PROJECT_FILE) -> Graph:
    """Read the stages of one ``dvc.yaml`` of the project, and all upstream of them."""
    with open_project(folder, ParameterError) as repo:
        graph = repo.index.graph  # its edges point from a stage to what the stage depends on
        planned = plan_repro(get_active_graph(graph), repo.stage.collect(str(folder / file)))
        nodes = [
            Node(
                name_of(stage),
                frozenset(map(name_of, graph.successors(stage))),
                tuple(Path(out.fs_path) for out in stage.outs),
            )
            for stage in planned
        ]
    return Graph({node.name: node for node in nodes})


def is_finished(stage: Stage) -> bool:
    """Return True if a stage is unchanged, or DVC's run cache has its result.

    Its dependencies must be in the workspace, and its project locked.
    """
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


def name_of(stage: Stage) -> str:
    """Return the name of a stage as `dvc repro` takes it in the root of the project."""
    # DVC's own `addressing` is relative to the current folder.
    if not isinstance(stage, PipelineStage):
        return str(stage.path_in_repo)
    prefix = "" if stage.path_in_repo == PROJECT_FILE else f"{stage.path_in_repo}:"
    return f"{prefix}{stage.name}"

"""The graph that Prefect walks is DVC's own."""

from pathlib import Path

import pytest
import toy

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import MachineError, ParameterError
from pipelines.dvc.graph import MODEL_GROUPS, Node, read_graph
from pipelines.execution.runner import QUICK, stage_costs
from pipelines.flows.local import FIRST, STUDIES

NETWORKS = read_params(PROJECT / "params.yaml").architectures
NAMES = list(NETWORKS)


def test_code_and_parameters_are_looked_at_before_any_training() -> None:
    name = NAMES[0]
    network = read_graph(PROJECT).key(name, *FIRST).stages
    assert list(network) == [*FIRST, f"train@{name}", f"evaluate@{name}"]
    assert network[f"train@{name}"].upstream == {*FIRST}
    outs = network[f"train@{name}"].outs
    assert {out.relative_to(PROJECT).name for out in outs} == {f"{name}.csv", f"{name}.keras"}


def test_trainings_cost_what_their_network_does_and_evaluations_nothing() -> None:
    graph = read_graph(PROJECT, STUDIES)
    assert {stage.group for stage in graph.stages.values()} >= QUICK | MODEL_GROUPS
    by_group: dict[str, set[tuple[str, int]]] = {}
    for name, cost in stage_costs(graph, PROJECT).items():
        stage = Node(name, frozenset(), ())
        by_group.setdefault(stage.group, set()).add((stage.key.partition("-")[0], cost))
    for group in ("train", "train_seed", "train_tuned", "collapse"):
        assert by_group[group] == {(name, each.flop) for name, each in NETWORKS.items()}
    for group in ("evaluate", "evaluate_seed", "evaluate_tuned", "replicates", "plot", "code"):
        assert {cost for _, cost in by_group[group]} == {0}


def test_of_other_pipelines_only_what_is_needed_belongs_to_it(tmp_path: Path) -> None:
    folder = toy.create(tmp_path / "toy", tmp_path).folder
    for name, stage in {
        "studies": "    cmd: 'true'\n    deps: [../one.model]\n",
        "sub": "    cmd: touch given\n    outs: [given]\n",
    }.items():
        (folder / name).mkdir()
        (folder / name / "dvc.yaml").write_text(f"stages:\n  other:\n{stage}")
    assert sorted(read_graph(folder).stages) == sorted(toy.STAGES)
    text = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(text.replace("deps: [work.sh]", "deps: [work.sh, sub/given]"))
    graph = read_graph(folder)
    assert graph.stages["download"].upstream == {"sub/dvc.yaml:other"}
    assert next(iter(graph.stages)) == "sub/dvc.yaml:other"
    (folder / "dvc.yaml").write_text("stages: [")
    for broken in (tmp_path, folder):
        with pytest.raises((ParameterError, MachineError), match=str(broken)):
            read_graph(broken)

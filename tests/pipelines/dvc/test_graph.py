"""The graph that Prefect walks is DVC's own."""

from pathlib import Path

import pytest
import toy

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import MachineError, ParameterError
from pipelines.dvc.graph import Graph, Node, read_graph
from pipelines.dvc.missing_models import GROUPS as MAY_LACK_MODELS
from pipelines.execution.runner import QUICK, stage_costs
from pipelines.flows.local import FIRST, STUDIES

NETWORKS = read_params(PROJECT / "params.yaml").architectures
NAMES = list(NETWORKS)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_graph(PROJECT)


def upstream(graph: Graph) -> dict[str, set[str]]:
    return {name: set(stage.upstream) for name, stage in graph.stages.items()}


def test_the_stages_and_edges_are_those_of_the_project_in_order(graph: Graph) -> None:
    expected = {
        "download": set(),
        "normalize": {"download"},
        "validate": {"download", "normalize"},
        "plot": {"normalize"},
    }
    for name in NAMES:
        expected[f"train@{name}"] = {"normalize", "validate"}
        expected[f"evaluate@{name}"] = {"normalize", f"train@{name}"}
        expected["plot"] |= {f"train@{name}", f"evaluate@{name}"}
    expected = {name: {*before, *FIRST} for name, before in expected.items()}
    assert upstream(graph) == expected | {"code": set(), "check": {"code"}}
    done: set[str] = set()
    for name, stage in graph.stages.items():
        assert stage.upstream <= done
        done.add(name)
    # Code and parameters are looked at before any training.
    network = graph.key(NAMES[0], *FIRST).stages
    assert list(network) == [*FIRST, f"train@{NAMES[0]}", f"evaluate@{NAMES[0]}"]
    outs = network[f"train@{NAMES[0]}"].outs
    assert {out.name for out in outs} == {f"{NAMES[0]}.csv", f"{NAMES[0]}.keras"}
    assert all(out.is_relative_to(PROJECT) for out in outs)


def test_trainings_cost_what_their_network_does_and_evaluations_nothing() -> None:
    graph = read_graph(PROJECT, STUDIES)
    assert {stage.group for stage in graph.stages.values()} >= QUICK | MAY_LACK_MODELS
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

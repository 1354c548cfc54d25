"""The graph that Prefect walks is DVC's own."""

import json
import os
import re
from pathlib import Path

import pytest
import toy

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import MachineError, ParameterError
from convdepth.workspace.dvc import STUDIES
from pipelines.dvc.graph import MODEL_GROUPS, Node, is_up_to_date, read_graph
from pipelines.dvc.inputs import FIRST
from pipelines.execution.runner import QUICK, stage_costs
from project import Project

NETWORKS = read_params(PROJECT / "params.yaml").architectures
NAMES = list(NETWORKS)


def test_code_and_parameters_are_looked_at_before_any_training() -> None:
    name = NAMES[0]
    network = read_graph(PROJECT).key(name, *FIRST).stages
    assert list(network) == [
        *FIRST,
        *(f"{stage}@{name}" for stage in ("train", "evaluate", "digest")),
    ]
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
    for group in ("train", "train_recipe", "train_tuned", "collapse"):
        assert by_group[group] == {(name, each.flop) for name, each in NETWORKS.items()}
    for group in ("evaluate", "evaluate_corrupted", "plot", "code"):
        assert {cost for _, cost in by_group[group]} == {0}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The made-up project with all results. Read-only by agreement."""
    home = tmp_path_factory.mktemp("finished")
    return toy.create(home / "toy", home, ran=True)


UNTOUCHED = [
    "touch work.sh normalized.txt",
    "echo >> work.sh; sed -i 's/{cmd: sh work.sh d/{frozen: true, cmd: sh work.sh d/' dvc.yaml",
    "mkdir studies; printf 'stages: {s: {cmd: \"true\", deps: [../x]}}' > studies/dvc.yaml",
]

TOUCHED = [
    "rm normalized.txt",
    "rm -r .dvc/cache",
    "touch figures/more",
    "rm dvc.lock",
    "sed -i 's/filters: 2/filters: 3/' params.yaml",
    "sed -i 's/{cmd: sh work.sh p/{always_changed: true, cmd: sh work.sh p/' dvc.yaml",
]


@pytest.mark.parametrize("command", [*UNTOUCHED, *TOUCHED])
def test_nothing_to_do_is_what_dvc_repro_says(
    finished: Project, tmp_path: Path, command: str
) -> None:
    project = finished.copy(tmp_path / "toy")
    project.run("sh", "-e", "-c", command)
    assert is_up_to_date(folder=project.folder) == (command in UNTOUCHED)
    skipped = re.findall("didn't change, skipping", project.run("dvc", "repro"))
    assert (len(skipped) == len(read_graph(project.folder).stages)) == (command in UNTOUCHED)


def test_what_dvc_cannot_tell_is_left_to_the_flow(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "toy")
    busy = project.folder / ".dvc" / "tmp" / "rwlock"
    writer = {"pid": os.getppid(), "cmd": "dvc repro"}
    busy.write_text(json.dumps({"write": {str(project.folder / "one.json"): writer}, "read": {}}))
    assert not is_up_to_date(folder=project.folder)
    busy.unlink()
    assert is_up_to_date(folder=project.folder)
    (project.folder / "dvc.yaml").write_text("stages: [")
    assert not is_up_to_date(folder=project.folder)


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

"""The graph that Prefect walks is DVC's own."""

from pathlib import Path

import pytest
import toy

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import ParameterError
from pipelines.dvc.graph import Graph, Stage, read_graph
from pipelines.dvc.missing_models import GROUPS as MAY_LACK_MODELS
from pipelines.execution.runner import QUICK
from pipelines.flows.local import STUDIES

# DVC 3.67 builds its graph with a call that its library pygtrie will drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")

NAMES = list(read_params(PROJECT / "params.yaml").architectures)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_graph(PROJECT)


def upstream(graph: Graph) -> dict[str, set[str]]:
    return {name: set(stage.upstream) for name, stage in graph.stages.items()}


def test_the_stages_and_edges_are_those_of_the_project(graph: Graph) -> None:
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
    expected = {name: {*before, "code", "check"} for name, before in expected.items()}
    assert upstream(graph) == expected | {"code": set(), "check": {"code"}}


def test_each_stage_comes_after_what_it_depends_on(graph: Graph) -> None:
    done: set[str] = set()
    for name, stage in graph.stages.items():
        assert stage.upstream <= done
        done.add(name)
    assert list(read_graph(PROJECT).stages) == list(graph.stages)


def test_the_sorter_gives_what_is_ready(graph: Graph) -> None:
    sorter = graph.sorter()
    for name in ("code", "check", "download", "normalize"):
        assert sorter.get_ready() == (name,)
        sorter.done(name)


def test_a_stage_knows_its_outputs(graph: Graph) -> None:
    outs = graph.stages[f"train@{NAMES[0]}"].outs
    assert {out.name for out in outs} == {f"{NAMES[0]}.csv", f"{NAMES[0]}.keras"}
    assert all(out.is_relative_to(PROJECT) for out in outs)
    evaluation = graph.stages[f"evaluate@{NAMES[0]}"]
    assert [out.name for out in evaluation.in_git] == [f"{NAMES[0]}.json"]
    assert len(evaluation.outs) == 2


@pytest.mark.parametrize(
    ("name", "group", "key"),
    [
        ("plot", "plot", ""),
        ("train@cnn1", "train", "cnn1"),
        ("studies/dvc.yaml:tuned", "tuned", ""),
        ("studies/dvc.yaml:train_seed@cnn1-2", "train_seed", "cnn1-2"),
    ],
)
def test_a_name_has_a_group_and_a_key(name: str, group: str, key: str) -> None:
    stage = Stage(name, frozenset(), ())
    assert (stage.group, stage.key) == (group, key)


def test_the_groups_of_the_studies_are_those_that_the_flow_knows() -> None:
    groups = {stage.group for stage in read_graph(PROJECT, STUDIES).stages.values()}
    assert groups >= QUICK
    assert groups >= MAY_LACK_MODELS


def test_a_selection_keeps_the_edges_among_its_stages(graph: Graph) -> None:
    assert upstream(graph.groups("normalize", "validate")) == {
        "normalize": set(),
        "validate": {"normalize"},
    }
    assert set(graph.groups("train").stages) == {f"train@{name}" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_one_architecture_has_its_own_stages(graph: Graph, name: str) -> None:
    assert upstream(graph.key(name)) == {
        f"train@{name}": set(),
        f"evaluate@{name}": {f"train@{name}"},
    }


def test_one_architecture_up_to_its_stages(graph: Graph) -> None:
    assert list(graph.up_to(graph.key("cnn3")).stages) == [
        "code",
        "check",
        "download",
        "normalize",
        "validate",
        "train@cnn3",
        "evaluate@cnn3",
    ]


def test_an_unknown_architecture_is_refused(graph: Graph) -> None:
    with pytest.raises(ParameterError, match=r"architectures\.cnn9: .*cnn1, cnn3, cnn5, cnn7"):
        graph.key("cnn9")


def test_another_pipeline_in_the_repository_is_left_alone(tmp_path: Path) -> None:
    project = toy.create(tmp_path / "toy", tmp_path)
    (project.folder / "studies").mkdir()
    (project.folder / "studies" / "dvc.yaml").write_text(
        "stages:\n  seeds:\n    cmd: 'true'\n    deps: [../one.model]\n"
    )
    assert sorted(read_graph(project.folder).stages) == sorted(toy.STAGES)


def test_what_is_needed_from_elsewhere_in_the_repository_belongs_to_it(tmp_path: Path) -> None:
    project = toy.create(tmp_path / "toy", tmp_path)
    (project.folder / "sub").mkdir()
    (project.folder / "sub" / "dvc.yaml").write_text(
        "stages:\n  write:\n    cmd: touch given\n    outs: [given]\n"
    )
    text = (project.folder / "dvc.yaml").read_text()
    (project.folder / "dvc.yaml").write_text(
        text.replace("deps: [work.sh]", "deps: [work.sh, sub/given]")
    )
    graph = read_graph(project.folder)
    assert graph.stages["download"].upstream == {"sub/dvc.yaml:write"}
    assert next(iter(graph.stages)) == "sub/dvc.yaml:write"


def test_a_lone_stage_is_a_graph(tmp_path: Path) -> None:
    project = toy.create(tmp_path / "toy", tmp_path)
    (project.folder / "dvc.yaml").write_text("stages:\n  only:\n    cmd: 'true'\n")
    assert upstream(read_graph(project.folder)) == {"only": set()}


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="DVC cannot read the stages"):
        read_graph(tmp_path)


def test_a_damaged_dvc_yaml_is_refused(tmp_path: Path) -> None:
    project = toy.create(tmp_path / "toy", tmp_path)
    (project.folder / "dvc.yaml").write_text("stages: [")
    with pytest.raises(ParameterError, match="DVC cannot read the stages"):
        read_graph(project.folder)

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
    expected = {name: {*before, "code", "check"} for name, before in expected.items()}
    assert upstream(graph) == expected | {"code": set(), "check": {"code"}}
    done: set[str] = set()
    for name, stage in graph.stages.items():
        assert stage.upstream <= done
        done.add(name)


def test_a_stage_knows_its_outputs(graph: Graph) -> None:
    outs = graph.stages[f"train@{NAMES[0]}"].outs
    assert {out.name for out in outs} == {f"{NAMES[0]}.csv", f"{NAMES[0]}.keras"}
    assert all(out.is_relative_to(PROJECT) for out in outs)
    evaluation = graph.stages[f"evaluate@{NAMES[0]}"]
    assert [out.name for out in evaluation.in_git] == [f"{NAMES[0]}.json"]


@pytest.mark.parametrize(
    ("name", "group", "key"),
    [
        ("plot", "plot", ""),
        ("train@cnn1", "train", "cnn1"),
        ("studies/dvc.yaml:train_seed@cnn1-2", "train_seed", "cnn1-2"),
    ],
)
def test_a_name_has_a_group_and_a_key(name: str, group: str, key: str) -> None:
    stage = Stage(name, frozenset(), ())
    assert (stage.group, stage.key) == (group, key)


def test_the_groups_of_the_studies_are_those_that_the_flow_knows() -> None:
    groups = {stage.group for stage in read_graph(PROJECT, STUDIES).stages.values()}
    assert groups >= QUICK | MAY_LACK_MODELS


def test_selections_keep_the_edges_among_their_stages(graph: Graph) -> None:
    chosen = graph.groups("normalize", "validate")
    assert upstream(chosen) == {"normalize": set(), "validate": {"normalize"}}
    name = NAMES[-1]
    network = graph.key(name)
    assert upstream(network) == {f"train@{name}": set(), f"evaluate@{name}": {f"train@{name}"}}
    before = ["code", "check", "download", "normalize", "validate"]
    assert list(graph.up_to(network).stages) == [*before, *network.stages]
    with pytest.raises(ParameterError, match=rf"architectures\.cnn9: .*{', '.join(NAMES)}"):
        graph.key("cnn9")


def test_only_what_is_needed_of_other_pipelines_in_the_repository_belongs_to_it(
    tmp_path: Path,
) -> None:
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


def test_a_folder_without_a_project_and_a_damaged_dvc_yaml_are_refused(tmp_path: Path) -> None:
    project = toy.create(tmp_path / "toy", tmp_path)
    (project.folder / "dvc.yaml").write_text("stages: [")
    for folder in (tmp_path, project.folder):
        with pytest.raises(ParameterError, match="dvc status"):
            read_graph(folder)

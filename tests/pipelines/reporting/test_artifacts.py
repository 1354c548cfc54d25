"""What a flow shows of the metrics, without a server."""

import json

import pytest

from pipelines.reporting.artifacts import compare_answers, diff_metrics
from project import Project

# DVC 3.67 builds its graph with a call that its library pygtrie will drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")


def test_the_difference_is_that_of_dvc(project: Project) -> None:
    project.repro()
    project.commit("Results")
    assert diff_metrics(project.folder) == []
    (project.folder / "one.json").write_text('{"accuracy": 0.75, "loss": 1.5, "digits": {"0": 1}}')
    said = json.loads(project.run("dvc", "metrics", "diff", "--json"))["one.json"]
    rows = diff_metrics(project.folder)
    assert sorted(row["Metric"] for row in rows) == sorted(said)
    accuracy = {"Path": "one.json", "Metric": "accuracy", "HEAD": "0.5", "workspace": "0.75"}
    assert rows[0] == accuracy | {"Change": "0.25"}


GRAPH = """
stages:
  evaluate:
    foreach: [one]
    do:
      cmd: cp ${item}.txt ${item}.csv
      deps: ["${item}.txt"]
      outs: ["${item}.csv"]
"""


def test_the_comparison_is_that_with_the_last_commit(project: Project) -> None:
    assert "dvc.lock" in compare_answers(project.folder)  # nothing was run yet
    (project.folder / "dvc.yaml").write_text(GRAPH)
    answers = project.folder / "one.txt"
    answers.write_text("index,label,predicted,loss\n0,1,1,0.5\n1,2,2,0.5\n2,3,3,0.5\n")
    project.repro()
    project.commit("Results")
    assert "| one | 100.00 | 100.00 | 0 | 0 | 0 |" in compare_answers(project.folder)
    answers.write_text(answers.read_text().replace("2,2,", "2,5,"))
    project.repro()
    assert "| 1 | 0 | 1 |" in compare_answers(project.folder)

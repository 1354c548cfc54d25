"""What a flow shows of the metrics, without a server."""

import re

import pytest

from pipelines.artifacts import diff_metrics
from project import Project

# DVC 3.67 builds its graph with a call that its library pygtrie will drop.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning")


def test_the_difference_is_that_of_dvc(project: Project) -> None:
    project.repro()
    project.commit("Results")
    assert diff_metrics(project.folder) == ""
    (project.folder / "one.json").write_text('{"accuracy": 0.75, "loss": 1.5, "digits": {"0": 1}}')
    said = project.run("dvc", "metrics", "diff", "--md")

    def cells(table: str) -> list[list[str]]:
        lines = [line for line in table.splitlines() if re.search(r"\w", line)]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    assert cells(diff_metrics(project.folder)) == cells(said)
    assert ["one.json", "accuracy", "0.5", "0.75", "0.25"] in cells(said)

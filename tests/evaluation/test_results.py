"""Result files: what is written fits its schema, and what does not fit is named."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.evaluation import results
from convdepth.evaluation.metrics import Score, Scores
from convdepth.evaluation.notebook_record import read_notebook
from convdepth.evaluation.result_file import Result, read_result

METRICS = PROJECT / "metrics"
SCHEMAS: dict[str, type[Result]] = {
    "recipe/*/*/*.scores.json": Scores,
    "studies/collapse/*.json": results.Collapse,
    "studies/depth.json": results.Answer,
    "studies/reading.json": results.Reading,
    "studies/recipe.json": results.Answer,
    "studies/tuned.json": results.Answer,
    "validation.json": results.Validation,
}


@pytest.mark.parametrize("pattern", SCHEMAS)
def test_the_projects_result_files_fit_their_schemas(pattern: str) -> None:
    paths = list(METRICS.glob(pattern))
    assert paths
    for path in paths:
        found = read_result(path, SCHEMAS[pattern], "").model_dump(exclude_unset=True)
        assert found == json.loads(path.read_bytes())


def test_every_architecture_of_the_notebook_is_recorded() -> None:
    architectures = read_params(PROJECT / "params.yaml").architectures
    for name, record in read_notebook(PROJECT / "data" / "notebook.json").items():
        assert architectures[name].num_parameters == record.parameters
        assert [epoch.epoch for epoch in record.epochs] == list(range(1, 13))
        assert record.epochs[-1].val_accuracy == record.test_accuracy
        assert record.claimed_accuracy != record.test_accuracy  # its closing text contradicts it


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (None, "cannot be read"),
        ("{", r"Invalid JSON"),
        ("{}", r"images"),
        ('{"images": 3, "networks": [4]}', r"networks\.0: "),
        ('{"images": "3", "networks": []}', r"images: "),
        ('{"images": 3, "networks": [], "more": 1}', r"more: "),
    ],
)
def test_the_key_that_does_not_fit_is_named(tmp_path: Path, content: str | None, key: str) -> None:
    if content is not None:
        (tmp_path / "found.json").write_text(content)
    with pytest.raises(DataError, match=rf"found\.json: .*{key}.*`dvc repro x`"):
        read_result(tmp_path / "found.json", results.AllFail, "dvc repro x")


@pytest.mark.parametrize(
    "content",
    ["index,label\n1,1\n", "index,label,predicted\n1,1,10\n", "index,label,predicted\n1,,3\n"],
)
def test_other_tables_are_no_mistakes(tmp_path: Path, content: str) -> None:
    (tmp_path / "1.mistakes.csv").write_text(content)
    with pytest.raises(DataError, match=r"1\.mistakes\.csv: .*`dvc repro"):
        results.read_mistakes(tmp_path / "1.mistakes.csv", np.ones(5, np.uint8))


def test_the_table_of_scores_agrees_with_the_metrics_and_the_confusion_matrices() -> None:
    tables = METRICS / "tables"
    scores = pd.read_csv(tables / "scores.csv").set_index("network")
    assert list(scores.columns) == [field.name for field in fields(Score)]
    counts = pd.read_csv(tables / "confusion.csv").groupby(["network", "predicted"])["count"].sum()
    for name, row in scores.iterrows():
        metrics = json.loads((METRICS / f"{name}.json").read_text())
        answers = counts[name] / metrics["images"]
        expected = {"answer": answers.idxmax(), "answer_share": answers.max()} | metrics
        assert row.to_dict() == {key: expected[key] for key in scores.columns}

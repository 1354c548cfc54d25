"""The results that git keeps agree with each other."""

import json
from dataclasses import fields

import pandas as pd

from conftest import PROJECT
from convdepth.evaluation.metrics import Score


def test_the_table_of_scores_agrees_with_the_metrics_and_the_confusion_matrices() -> None:
    tables = PROJECT / "metrics" / "tables"
    scores = pd.read_csv(tables / "scores.csv").set_index("network")
    assert list(scores.columns) == [field.name for field in fields(Score)]
    counts = pd.read_csv(tables / "confusion.csv").groupby(["network", "predicted"])["count"].sum()
    for name, row in scores.iterrows():
        metrics = json.loads((PROJECT / "metrics" / f"{name}.json").read_text())
        answers = counts[name] / metrics["images"]
        expected = {"answer": answers.idxmax(), "answer_share": answers.max()} | metrics
        assert row.to_dict() == {key: expected[key] for key in scores.columns}

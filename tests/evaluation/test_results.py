"""Result files: what is written fits its schema, and what does not fit is named."""

import json
from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.core.errors import DataError
from convdepth.evaluation.collapse_trials import Collapse
from convdepth.evaluation.metrics import Scores
from convdepth.evaluation.result_file import Result, read_result
from convdepth.evaluation.results import (
    AllContrasts,
    AllFail,
    Reading,
    Replicates,
    TunedNetworks,
    Validation,
    read_seed_answers,
)

METRICS = PROJECT / "metrics"
SCHEMAS: dict[str, type[Result]] = {
    "replicates/*.json": Replicates,
    "seeds/*/*.scores.json": Scores,
    "studies/collapse/*.json": Collapse,
    "studies/contrasts.json": AllContrasts,
    "studies/reading.json": Reading,
    "tuned/summary.json": TunedNetworks,
    "validation.json": Validation,
}


@pytest.mark.parametrize("pattern", SCHEMAS)
def test_the_projects_result_files_fit_their_schemas(pattern: str) -> None:
    paths = list(METRICS.glob(pattern))
    assert paths
    for path in paths:
        found = read_result(path, SCHEMAS[pattern], "").model_dump(exclude_unset=True)
        assert found == json.loads(path.read_bytes())


def test_at_gives_the_point_with_the_nearest_scale() -> None:
    found = read_result(METRICS / "studies" / "collapse" / "cnn7.json", Collapse, "")
    assert found.at(1.01).scale == 1


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
        read_result(tmp_path / "found.json", AllFail, "dvc repro x")


@pytest.mark.parametrize(
    "content",
    [
        *("", "label\n1\n", "label,seed_1\n", "label,other\n1,1\n", "seed_1,label\n1,1\n"),
        *(f"label,seed_1\n1,{value}\n" for value in ("x", "", "10", "-1", "1.5", "inf")),
    ],
)
def test_other_tables_are_no_answers(tmp_path: Path, content: str) -> None:
    (tmp_path / "answers.csv").write_text(content)
    with pytest.raises(DataError, match=r"answers\.csv: "):
        read_seed_answers(tmp_path / "answers.csv")

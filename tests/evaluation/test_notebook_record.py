"""The notebook's records."""

from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.evaluation.notebook_record import read_notebook

NOTEBOOK = PROJECT / "data" / "notebook.json"


def test_every_architecture_of_the_notebook_is_recorded() -> None:
    records = read_notebook(NOTEBOOK)
    architectures = read_params(PROJECT / "params.yaml").architectures
    for name, record in records.items():
        assert architectures[name].num_parameters == record.parameters
        assert [epoch.epoch for epoch in record.epochs] == list(range(1, 13))
        assert record.epochs[-1].val_accuracy == record.test_accuracy


def test_the_closing_claims_contradict_the_outputs() -> None:
    records = read_notebook(NOTEBOOK)
    assert all(record.claimed_accuracy != record.test_accuracy for record in records.values())


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '{"cnn1": {"parameters": 3}}'])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "notebook.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"notebook\.json: cannot be read"):
        read_notebook(path)

"""The notebook's records."""

from pathlib import Path

import pytest

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.evaluation.notebook_record import read_notebook


def test_every_architecture_of_the_notebook_is_recorded() -> None:
    architectures = read_params(PROJECT / "params.yaml").architectures
    for name, record in read_notebook(PROJECT / "data" / "notebook.json").items():
        assert architectures[name].num_parameters == record.parameters
        assert [epoch.epoch for epoch in record.epochs] == list(range(1, 13))
        assert record.epochs[-1].val_accuracy == record.test_accuracy
        assert record.claimed_accuracy != record.test_accuracy  # its closing text contradicts it


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '{"cnn1": {"parameters": 3}}'])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "notebook.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"notebook\.json"):
        read_notebook(path)

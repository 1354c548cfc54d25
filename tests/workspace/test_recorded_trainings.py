"""What `dvc.lock` says of the trainings."""

from pathlib import Path

import pytest

from convdepth.core.errors import DataError, ParameterError
from convdepth.workspace.lockfile import model_path

LOCK = """
stages:
  normalize: {cmd: something}
  train@cnn1:
    cmd: convdepth train cnn1 -a 'b c'
    outs: [{path: trained/cnn1.csv, md5: abc}, {path: trained/cnn1.keras, md5: def}]
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "dvc.lock"
    path.write_text(LOCK)
    return path


def test_a_recorded_model_is_found_once_it_is_checked_out_and_no_other_is(lock: Path) -> None:
    model = lock.parent / "trained" / "cnn1.keras"
    with pytest.raises(DataError, match=rf"{model}.*dvc checkout"):
        model_path("cnn1", lock.parent)
    model.parent.mkdir()
    model.touch()
    assert model_path("cnn1", lock.parent) == model
    with pytest.raises(ParameterError, match=r"dvc\.lock: .*cnn3"):
        model_path("cnn3", lock.parent)


@pytest.mark.parametrize(
    "content", [None, "[1, 2", "[]", "schema: '2.0'", "stages: 3", f"<<<<<<< HEAD{LOCK}======="]
)
def test_a_missing_or_damaged_lock_is_named(lock: Path, content: str | None) -> None:
    lock.unlink()
    if content is not None:
        lock.write_text(content)
    with pytest.raises(DataError, match=r"dvc\.lock: "):
        model_path("cnn1", lock.parent)
    assert content is None or lock.read_text() == content

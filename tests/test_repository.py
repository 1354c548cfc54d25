"""Where the trained networks are."""

from pathlib import Path

import pytest

from convdepth.errors import DataError, ParameterError
from convdepth.repository import model_path

LOCK = """
schema: '2.0'
stages:
  normalize:
    cmd: something
  train@cnn1:
    cmd: something
    outs:
    - path: trained/cnn1.csv
      md5: abc
    - path: trained/cnn1.keras
      md5: def
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "dvc.lock"
    path.write_text(LOCK)
    return path


def test_the_model_is_the_one_that_dvc_recorded(lock: Path) -> None:
    model = lock.parent / "trained" / "cnn1.keras"
    model.parent.mkdir()
    model.touch()
    assert model_path("cnn1", lock) == model


def test_a_model_that_is_not_checked_out_is_named(lock: Path) -> None:
    with pytest.raises(DataError, match=r"cnn1\.keras: is not in this workspace.*dvc checkout"):
        model_path("cnn1", lock)


def test_a_network_that_was_not_trained_is_refused(lock: Path) -> None:
    with pytest.raises(ParameterError, match="no trained network cnn3; there are cnn1"):
        model_path("cnn3", lock)


@pytest.mark.parametrize("content", ["[1, 2", "[]", "schema: '2.0'", "stages: 3"])
def test_a_damaged_lock_is_refused(lock: Path, content: str) -> None:
    lock.write_text(content)
    with pytest.raises(DataError, match=r"dvc\.lock: is no DVC lock"):
        model_path("cnn1", lock)


def test_without_a_lock_nothing_was_trained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dvc\.lock: cannot be read: .*make repro"):
        model_path("cnn1", tmp_path / "dvc.lock")

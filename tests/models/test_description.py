"""What an archive says of its network, without ``params.yaml``."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from conftest import PROJECT
from convdepth.config.architecture import Architecture
from convdepth.config.params import read_params
from convdepth.core.errors import DataError
from convdepth.models.archive import load_network, save_network
from convdepth.models.build import build_network
from convdepth.models.description import describe_archive

NORMALIZED = {
    "block1": {
        "conv1": {"filters": 3, "kernel_size": 5, "padding": "same"},
        "conv2": {"filters": 2, "kernel_size": 2},
        "pool_size": 3,
        "batch_normalization": True,
    },
    "block2": {"conv1": {"filters": 2, "kernel_size": 1}, "pool_size": 1, "dropout": 0.25},
    "head": {"units": 5, "dropout": 0.125},
}
ARCHITECTURES = {
    **read_params(PROJECT / "params.yaml").architectures,
    "normalized": Architecture.model_validate(NORMALIZED),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_architecture_and_precision_of_an_archive_are_found(tmp_path: Path, name: str) -> None:
    precision = "mixed_bfloat16" if name == "normalized" else "float32"
    saved, path = build_network(ARCHITECTURES[name], precision, seed=1), tmp_path / "some.keras"
    save_network(saved, path)
    described = describe_archive(path)
    assert described == (ARCHITECTURES[name], precision)
    images = np.zeros((1, 28, 28, 1), np.float32)
    loaded = load_network(described.architecture, path, described.precision)
    # Not equal: on loading, normalization divides by the square root another way.
    np.testing.assert_allclose(loaded(images), saved(images), rtol=1e-2)


@pytest.mark.parametrize("config", [None, "[1, 2", "[]", '{"config": {"layers": [{}]}}'])
def test_what_is_no_archive_is_refused(tmp_path: Path, config: str | None) -> None:
    path = tmp_path / "odd.keras"
    path.write_text("no zip")
    if config is not None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", config)
    with pytest.raises(DataError, match=r"odd\.keras: "):
        describe_archive(path)

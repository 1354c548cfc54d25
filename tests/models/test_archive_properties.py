"""Archives: any weights are read back bit by bit, and any damage is found."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import cases, damaged

from convdepth.config.architecture import Architecture
from convdepth.core.errors import IntegrityError
from convdepth.models.archive import load_weights, save_network
from convdepth.models.backend import keras
from convdepth.models.build import build_network

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = Architecture.model_validate(
    {
        "block1": {
            "conv1": {"filters": 2, "kernel_size": 3},
            "pool_size": 9,
            "batch_normalization": True,
        },
        "head": {"units": 2},
    }
)

Networks = tuple[keras.Model, keras.Model, Path]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Networks:  # noqa: ARG001  # before TensorFlow does anything
    """A network, another of the same layers, and the archive of the first one."""
    path = tmp_path_factory.mktemp("archive") / "a.keras"
    first = build_network(TINY, seed=1)
    save_network(first, path)
    return first, build_network(TINY, seed=2), path


def bits(network: keras.Model) -> list[bytes]:
    return [weight.tobytes() for weight in network.get_weights()]


@cases(10)
@given(st.integers(0, 2**32 - 1))
def test_weights_of_any_bits_are_read_back(networks: Networks, tmp_path: Path, seed: int) -> None:
    network, other, _ = networks
    former, random = network.get_weights(), np.random.default_rng(seed)
    # Of random bits, one number in 256 is NaN or infinite.
    drawn = [random.bytes(weight.nbytes) for weight in former]
    pairs = zip(drawn, former, strict=True)
    network.set_weights([np.frombuffer(each, np.float32).reshape(one.shape) for each, one in pairs])
    save_network(network, tmp_path / "a.keras")
    network.set_weights(former)
    load_weights(other, tmp_path / "a.keras")
    assert bits(other) == drawn


@cases(150)
@given(st.data())
def test_a_damaged_archive_is_refused_or_gives_the_same(
    networks: Networks, tmp_path: Path, data: st.DataObject
) -> None:
    network, other, archive = networks
    path = tmp_path / "a.keras"
    path.write_bytes(data.draw(damaged(archive.read_bytes())))
    try:
        load_weights(other, path)
    except IntegrityError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert bits(other) == bits(network)

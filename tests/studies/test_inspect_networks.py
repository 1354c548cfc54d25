"""The stage `examine`, dead channels and Grad-CAM, on networks with known behavior."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import PROJECT
from convdepth.config.architecture import Architecture
from convdepth.config.dataset import IMAGE_SHAPE
from convdepth.config.params import read_params
from convdepth.core.errors import IntegrityError
from convdepth.core.files import write_csv
from convdepth.data.arrays import read_split
from convdepth.evaluation.answers import predict
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import Layer, Reading
from convdepth.models.archive import save_network
from convdepth.models.build import build_network
from convdepth.studies import inspect_networks
from convdepth.studies.dead_channels import active_channels
from convdepth.studies.grad_cam import choose_layer, grad_cam
from convdepth.studies.inspect_networks import LISTED, PICTURED, main

pytestmark = pytest.mark.usefixtures("one_thread")

SECOND = """  other:
    block1:
      conv1: {filters: 20, kernel_size: 3}
      pool_size: 4
      batch_normalization: true
    head: {units: 16}
"""
ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures
IMAGES = np.random.default_rng(0).random((7, *IMAGE_SHAPE), np.float32)


@pytest.fixture
def folder(tiny_params: Path, normalized: Path, tmp_path: Path) -> Path:
    """Two networks and their predictions; most answers of ``tiny`` are right."""
    tiny_params.write_text(tiny_params.read_text() + SECOND)
    images, labels = read_split(normalized, "test")
    for name, architecture in read_params(tiny_params).architectures.items():
        network = build_network(architecture, seed=3)
        save_network(network, tmp_path / "models" / f"{name}.keras")
        table = predict(network, images, labels)
        if name == "tiny":
            table["predicted"] = np.where(np.arange(len(labels)) % 50, labels, 9 - labels)
        write_csv(tmp_path / "predictions" / f"{name}.csv", table)
    return tmp_path


def examine(params: Path, normalized: Path, folder: Path) -> Reading:
    main(
        normalized=normalized,
        models=folder / "models",
        predictions=folder / "predictions",
        reading=folder / "reading.json",
        pictures=folder / "pictures",
        params=params,
    )
    return read_result(folder / "reading.json", Reading, "")


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "pictures").glob("*")}


def test_the_findings_and_pictures_are_those_of_the_networks_and_the_same_twice(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    found = examine(tiny_params, normalized, folder)
    tiny, other = found.networks["tiny"], found.networks["other"]
    assert (tiny.status, tiny.accuracy) == ("ok", 0.98)
    assert tiny.parameters == read_params(tiny_params).architectures["tiny"].num_parameters
    assert sum(each.images for each in tiny.reliability) == 2000
    assert list(found.agreement) == ["tiny / other"]
    for network, channels in ((tiny, [8, 32]), (other, [20, 16])):
        assert [layer.channels for layer in network.layers] == channels
        assert all(0 < layer.share <= 1 for layer in network.layers)
    # A network that has learned nothing does not say which images are hard.
    assert other.status != "ok"
    assert found.all_fail.model_dump() == {"images": 40, "networks": ["tiny"]}
    assert len(found.hardest) == LISTED
    assert {tuple(hard.answers) for hard in found.hardest} == {("tiny",)}
    first = pictures(folder)
    assert sorted(first) == ["grad_cam.png", "kernels.png"]
    assert examine(tiny_params, normalized, folder) == found
    assert pictures(folder) == first


def test_if_no_network_has_learned_anything_all_are_examined(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    other = (folder / "predictions" / "other.csv").read_bytes()
    (folder / "predictions" / "tiny.csv").write_bytes(other)
    found = examine(tiny_params, normalized, folder)
    assert found.all_fail.networks == ["tiny", "other"]
    assert all(hard.failing == 2 for hard in found.hardest)


def test_if_no_network_fails_no_image_is_shown(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    for path in (folder / "predictions").glob("*.csv"):
        table = pd.read_csv(path)
        table.assign(predicted=table["label"]).to_csv(path, index=False)
    assert examine(tiny_params, normalized, folder).hardest == []
    with Image.open(folder / "pictures" / "grad_cam.png") as picture:
        assert min(picture.size) > 200
    (folder / "models" / "other.keras").unlink()
    with pytest.raises(IntegrityError, match=r"other\.keras"):
        examine(tiny_params, normalized, folder)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_networks_compute_in_the_precision_of_the_recipe(
    tiny_params: Path,
    normalized: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    text = tiny_params.read_text()
    tiny_params.write_text(text.replace("precision: float32", f"precision: {precision}"))
    computed = []
    for whole in (active_channels, grad_cam):

        def record(network: Any, images: Any, whole: Any = whole) -> Any:
            result = whole(network, images)
            computed.append((whole, network.layers[0].compute_dtype, len(result)))
            return result

        monkeypatch.setattr(inspect_networks, whole.__name__, record)
    examine(tiny_params, normalized, folder)
    kind, counts = precision.removeprefix("mixed_"), [2, 2, PICTURED]
    called = zip([active_channels, active_channels, grad_cam], counts, strict=True)
    assert computed == [(whole, kind, count) for whole, count in called]


def architecture(*, kernel_size: int = 3, filters: int = 6, pool_size: int = 4, **more: Any) -> Any:
    conv = {"filters": filters, "kernel_size": kernel_size}
    block = {"conv1": conv, "pool_size": pool_size} | more
    return Architecture.model_validate({"block1": block, "head": {"units": 5}})


@pytest.mark.parametrize("normalizes", [False, True])
def test_a_channel_that_no_image_raises_above_zero_is_dead(normalizes: bool) -> None:
    network = build_network(architecture(batch_normalization=normalizes), seed=1)
    first = next(layer for layer in network.layers if layer.weights)
    kernel = np.abs(np.random.default_rng(1).normal(size=(3, 3, 1, 6)))
    kernel[..., [1, 4]] *= -1
    first.kernel.assign(kernel)
    head = network.get_layer("head_dense")
    head.kernel.assign(np.zeros(head.kernel.shape))
    head.bias.assign([1, 0, -1, 0, 1e-6])
    assert active_channels(network, IMAGES) == [
        Layer(layer="block1_conv1", channels=6, active=4),
        Layer(layer="head_dense", channels=5, active=2),
    ]


def test_one_pixel_in_one_image_is_enough() -> None:
    network = build_network(architecture(), seed=1)
    images = np.zeros_like(IMAGES)
    images[3, 20, 11] = 1.0
    first = network.layers[0]
    first.kernel.assign(np.ones(first.kernel.shape))
    first.bias.assign([-0.5, -2, 0, 0, 0, 0])  # one pixel makes a sum of 1
    assert active_channels(network, images)[0].active == 5


def test_only_what_speaks_for_the_answer_is_shown() -> None:
    # The network answers 3 if there is ink in the upper left quarter, and looks nowhere else.
    network = build_network(architecture(kernel_size=1, filters=2, pool_size=14))
    conv, dense, softmax = map(network.get_layer, ("block1_conv1", "head_dense", "softmax"))
    conv.kernel.assign(np.broadcast_to([0, 1], (1, 1, 1, 2)))
    conv.bias.assign([0, 0])
    weights = np.zeros(dense.kernel.shape)
    weights[1, 0] = 1  # of the first quarter, the second map
    dense.set_weights([weights, np.zeros(5)])
    answer = np.zeros((5, 10))
    answer[0, 3] = 1
    softmax.set_weights([answer, np.zeros(10)])
    images = np.zeros((2, *IMAGE_SHAPE), np.float32)
    images[0, 4:8, 4:8] = 1
    heat = grad_cam(network, images)
    assert (heat.shape, heat.dtype) == ((2, 28, 28), np.float32)
    assert heat[0].max() == 1
    np.testing.assert_array_equal(heat[0] > 0, images[0, :, :, 0] > 0)
    assert heat[1].max() == 0  # an empty image: nothing speaks for anything


NORMALIZED = ARCHITECTURES["cnn1"].model_copy(
    update={
        "blocks": {
            name: block.model_copy(update={"batch_normalization": True})
            for name, block in ARCHITECTURES["cnn1"].blocks.items()
        }
    }
)


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        (ARCHITECTURES["cnn1"], "block1_conv2"),
        (ARCHITECTURES["cnn3"], "block2_conv2"),  # 8 x 8
        (ARCHITECTURES["cnn7"], "block5_conv2"),  # 10 x 10; the next maps are 4 x 4 and smaller
        (NORMALIZED, "block1_conv2_relu"),
        (architecture(kernel_size=25, pool_size=1), "block1_conv1"),  # 4 x 4, the only maps
    ],
)
def test_the_maps_are_of_the_last_layer_that_is_fine_enough(
    network: Architecture, layer: str
) -> None:
    built = build_network(network, seed=1)
    assert choose_layer(built).name == layer
    heat = grad_cam(built, IMAGES)
    assert heat.shape == (len(IMAGES), 28, 28)
    assert np.isfinite(heat).all()
    assert heat.min() >= 0
    assert heat.max() <= 1

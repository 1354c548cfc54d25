"""The stage `examine`, dead channels and Grad-CAM, on networks with known behavior."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from study_inputs import Study

from conftest import PROJECT, SECOND
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
from convdepth.studies.grad_cam import choose_layer, grad_cam
from convdepth.studies.inspect_networks import LISTED, PICTURED, active_channels, main
from project import edit_yaml

pytestmark = pytest.mark.usefixtures("one_thread")

ARCHITECTURES = read_params(PROJECT / "params.yaml").architectures
IMAGES = np.random.default_rng(0).random((7, *IMAGE_SHAPE), np.float32)


@pytest.fixture
def folder(study: Study) -> Path:
    """Two networks and their predictions; most answers of ``tiny`` are right."""
    study.params.write_text(study.params.read_text() + SECOND)
    images, labels = read_split(study.normalized, "test")
    for name, architecture in read_params(study.params).architectures.items():
        network = build_network(architecture, seed=3)
        save_network(network, study.folder / "models" / f"{name}.keras")
        table = predict(network, images, labels)
        if name == "tiny":
            table["predicted"] = np.where(np.arange(len(labels)) % 50, labels, 9 - labels)
        write_csv(study.folder / "predictions" / f"{name}.csv", table)
    return study.folder


def examine(study: Study) -> tuple[Reading, dict[str, bytes]]:
    """Run the stage; return what it found, and its pictures."""
    paths = {name: name for name in ("models", "predictions", "pictures")}
    study.run(main, **paths, reading="reading.json")
    pictures = {path.name: path.read_bytes() for path in (study.folder / "pictures").glob("*")}
    return read_result(study.folder / "reading.json", Reading, ""), pictures


@pytest.mark.usefixtures("folder")
def test_the_findings_and_pictures_are_those_of_the_networks_and_the_same_twice(
    study: Study,
) -> None:
    found, pictures = examine(study)
    tiny, other = found.networks["tiny"], found.networks["cnn9"]
    assert (tiny.status, tiny.accuracy) == ("ok", 0.98)
    assert tiny.parameters == read_params(study.params).architectures["tiny"].num_parameters
    assert sum(each.images for each in tiny.reliability) == 2000
    for network, channels in ((tiny, [8, 32]), (other, [4, 4, 8])):
        assert [layer.channels for layer in network.layers] == channels
        assert all(0 < layer.share <= 1 for layer in network.layers)
    # A network that has learned nothing does not say which images are hard.
    assert other.status != "ok"
    assert found.all_fail.model_dump() == {"images": 40, "networks": ["tiny"]}
    assert len(found.hardest) == LISTED
    assert {tuple(hard.answers) for hard in found.hardest} == {("tiny",)}
    assert sorted(pictures) == ["grad_cam.png", "kernels.png"]
    assert examine(study) == (found, pictures)


def test_if_no_network_has_learned_anything_all_are_examined_in_the_recipes_precision(
    study: Study, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_yaml(study.params, {"train.precision": "mixed_bfloat16"})
    tables = folder / "predictions"
    (tables / "tiny.csv").write_bytes((tables / "cnn9.csv").read_bytes())
    computed = []
    for name, whole in (("active_channels", active_channels), ("grad_cam", grad_cam)):

        def record(network: Any, images: Any, name: str = name, whole: Any = whole) -> Any:
            computed.append((name, network.layers[0].compute_dtype, len(images)))
            return whole(network, images)

        monkeypatch.setattr(inspect_networks, name, record)
    found, _ = examine(study)
    assert found.all_fail.networks == ["tiny", "cnn9"]
    assert all(hard.failing == 2 for hard in found.hardest)
    counts = {"active_channels": 2000, "grad_cam": PICTURED}
    assert computed == [(name, "bfloat16", n) for name, n in counts.items() for _ in range(2)]


def test_if_no_network_fails_no_image_is_shown(study: Study, folder: Path) -> None:
    for path in (folder / "predictions").glob("*.csv"):
        table = pd.read_csv(path)
        table.assign(predicted=table["label"]).to_csv(path, index=False)
    assert examine(study)[0].hardest == []
    with Image.open(folder / "pictures" / "grad_cam.png") as picture:
        assert min(picture.size) > 200
    (folder / "models" / "cnn9.keras").unlink()
    with pytest.raises(IntegrityError, match=r"cnn9\.keras"):
        examine(study)


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
    one_pixel = np.zeros_like(IMAGES)  # in one image, which is enough
    one_pixel[3, 20, 11] = 1.0
    for images in (IMAGES, one_pixel):
        assert active_channels(network, images) == [
            Layer(layer="block1_conv1", channels=6, active=4),
            Layer(layer="head_dense", channels=5, active=2),
        ]


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


@pytest.mark.parametrize(
    ("network", "layer"),
    [
        (ARCHITECTURES["cnn3"], "block2_conv2"),  # 8 x 8
        (ARCHITECTURES["cnn7"], "block5_conv2"),  # 10 x 10; the next maps are 4 x 4 and smaller
        (architecture(batch_normalization=True), "block1_conv1_relu"),
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
    assert 0 <= heat.min() <= heat.max() <= 1

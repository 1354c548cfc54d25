"""The stage `examine`: what is found in made-up networks, and the pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from convdepth.studies.examine import LISTED, PICTURED, main
from PIL import Image

from convdepth.config.params import read_params
from convdepth.core.errors import IntegrityError
from convdepth.core.files import write_csv
from convdepth.data.arrays import read_split
from convdepth.evaluation.answers import predict
from convdepth.models.archive import save_network
from convdepth.models.build import build_network
from convdepth.studies import examine as examine_module

pytestmark = pytest.mark.usefixtures("one_thread")

SECOND = """  other:
    block1:
      conv1: {filters: 20, kernel_size: 3}
      pool_size: 4
      batch_normalization: true
    head: {units: 16}
"""


@pytest.fixture
def folder(tiny_params: Path, normalized: Path, tmp_path: Path) -> Path:
    """Two networks and their predictions; of the first most answers are right."""
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


def examine(params: Path, normalized: Path, folder: Path) -> dict[str, Any]:
    main(
        normalized=normalized,
        models=folder / "models",
        predictions=folder / "predictions",
        reading=folder / "reading.json",
        pictures=folder / "pictures",
        params=params,
    )
    found: dict[str, Any] = json.loads((folder / "reading.json").read_text())
    return found


def test_what_is_found(tiny_params: Path, normalized: Path, folder: Path) -> None:
    found = examine(tiny_params, normalized, folder)
    assert list(found["networks"]) == ["other", "tiny"]
    tiny = found["networks"]["tiny"]
    assert (tiny["status"], tiny["accuracy"]) == ("ok", 0.98)
    assert tiny["parameters"] == read_params(tiny_params).architectures["tiny"].num_parameters
    assert sum(entry["images"] for entry in tiny["reliability"]) == 2000
    assert list(found["agreement"]) == ["tiny / other"]
    # Batch normalization has its ReLU in a layer of its own.
    for name, channels in {
        "tiny": {"block1_conv1": 8, "head_dense": 32},
        "other": {"block1_conv1": 20, "head_dense": 16},
    }.items():
        layers = found["networks"][name]["layers"]
        assert {each["layer"]: each["channels"] for each in layers} == channels
        assert all(0 < each["active"] <= each["channels"] for each in layers)
    assert len(found["hardest"]) == LISTED


def test_who_has_learned_nothing_does_not_say_what_is_hard(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    found = examine(tiny_params, normalized, folder)
    assert found["networks"]["other"]["status"] != "ok"
    assert found["all_fail"] == {"images": 40, "networks": ["tiny"]}
    assert {tuple(entry["answers"]) for entry in found["hardest"]} == {("tiny",)}


def test_the_pictures_are_the_same_twice(tiny_params: Path, normalized: Path, folder: Path) -> None:
    def pictures() -> dict[str, bytes]:
        examine(tiny_params, normalized, folder)
        return {path.name: path.read_bytes() for path in (folder / "pictures").glob("*")}

    first = pictures()
    assert sorted(first) == ["grad_cam.png", "kernels.png"]
    assert pictures() == first
    for name in first:
        with Image.open(folder / "pictures" / name) as picture:
            assert min(picture.size) > 200


def test_where_no_network_has_learned_anything_all_are_examined(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    (folder / "predictions" / "tiny.csv").write_bytes(
        (folder / "predictions" / "other.csv").read_bytes()
    )
    found = examine(tiny_params, normalized, folder)
    assert found["all_fail"]["networks"] == ["tiny", "other"]
    assert all(entry["failing"] == 2 for entry in found["hardest"])


def test_where_no_network_fails_no_image_is_shown(
    tiny_params: Path, normalized: Path, folder: Path
) -> None:
    for path in (folder / "predictions").glob("*.csv"):
        table = pd.read_csv(path)
        table.assign(predicted=table["label"]).to_csv(path, index=False)
    assert examine(tiny_params, normalized, folder)["hardest"] == []
    with Image.open(folder / "pictures" / "grad_cam.png") as picture:
        assert min(picture.size) > 200


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
    for name in ("active_channels", "grad_cam"):
        whole = getattr(examine_module, name)

        def record(network: Any, images: Any, whole: Any = whole) -> Any:
            result = whole(network, images)
            computed.append((whole.__name__, network.layers[0].compute_dtype, len(result)))
            return result

        monkeypatch.setattr(examine_module, name, record)
    examine(tiny_params, normalized, folder)
    kind = precision.removeprefix("mixed_")
    assert computed == [
        ("active_channels", kind, 2),
        ("active_channels", kind, 2),
        ("grad_cam", kind, PICTURED),
    ]


def test_a_missing_model_is_named(tiny_params: Path, normalized: Path, folder: Path) -> None:
    (folder / "models" / "other.keras").unlink()
    with pytest.raises(IntegrityError, match=r"other\.keras"):
        examine(tiny_params, normalized, folder)

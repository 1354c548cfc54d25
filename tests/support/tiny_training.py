"""Trainings of the tiny network on drawn digits."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from convdepth.config.architecture import Architecture
from convdepth.config.params import read_architecture, read_params
from convdepth.config.recipe import Train
from convdepth.models.backend import keras
from convdepth.training.data import TrainingData, read_training_data
from convdepth.training.progress import TrainingProgress
from convdepth.training.train import main
from convdepth.training.trainer import build_trainer

AUGMENTATION = ("{shift: 0, rotation: 0, zoom: 0}", "{shift: 0.1, rotation: 0.03, zoom: 0.1}")
BATCH_NORMALIZATION = ("pool_size: 4\n", "pool_size: 4\n      batch_normalization: true\n")
"""Changes of the parameters that turn on what the notebook does not have."""


@dataclass(frozen=True)
class Tiny:
    """The parameters of the tiny network, which tests change, and a folder for its trainings."""

    params: Path
    normalized: Path
    folder: Path

    def change(self, *changes: tuple[str, str]) -> None:
        """Replace parts of the text of the parameters."""
        text = self.params.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.params.write_text(text)

    def train(self, name: str) -> tuple[Path, Path]:
        """Run the stage in the folder ``name``; return its model and its history."""
        folder = self.folder / name
        model, history = folder / "models" / "tiny.keras", folder / "histories" / "tiny.csv"
        main(
            name="tiny",
            normalized=self.normalized,
            model=model,
            history=history,
            checkpoints=folder / "checkpoints" / "tiny",
            code="of the tests",
            params=self.params,
            progress=TrainingProgress,
        )
        return model, history

    def trained_bytes(self, name: str) -> list[bytes]:
        """Run the stage as `train` does; return the bytes of its model and its history."""
        return [path.read_bytes() for path in self.train(name)]

    @property
    def recipe(self) -> Train:
        """How the network is trained."""
        return read_params(self.params).train

    @property
    def architecture(self) -> Architecture:
        """The network."""
        return read_architecture("tiny", self.params)

    def read_data(self) -> TrainingData:
        """Read the images of the training."""
        return read_training_data(self.normalized, self.recipe)

    def build_trainer(self) -> keras.Sequential:
        """Build the trainer of the network, with fresh weights."""
        return build_trainer(self.architecture, self.recipe, self.read_data())


@pytest.fixture
def tiny(tiny_params: Path, normalized: Path, tmp_path: Path, one_thread: None) -> Tiny:  # noqa: ARG001
    """The tiny network with two epochs, and TensorFlow with one thread."""
    return Tiny(tiny_params, normalized, tmp_path)

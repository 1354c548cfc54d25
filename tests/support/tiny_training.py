"""Trainings of the tiny network."""

from pathlib import Path

from convdepth.config.params import read_architecture, read_params
from convdepth.models.backend import keras
from convdepth.training.data import read_training_data
from convdepth.training.loop import build_trainer
from convdepth.training.progress import TrainingProgress
from convdepth.training.train import main

AUGMENTATION = ("{shift: 0, rotation: 0, zoom: 0}", "{shift: 0.1, rotation: 0.03, zoom: 0.1}")
"""A change of the parameters that turns all augmentations on."""


def train(params: Path, normalized: Path, folder: Path) -> tuple[Path, Path]:
    """Run the stage; return its model and its history."""
    model, history = folder / "models" / "tiny.keras", folder / "histories" / "tiny.csv"
    main(
        name="tiny",
        normalized=normalized,
        model=model,
        history=history,
        checkpoints=folder / "checkpoints" / "tiny",
        code="of the tests",
        params=params,
        progress=TrainingProgress,
    )
    return model, history


def trained_bytes(params: Path, normalized: Path, folder: Path) -> list[bytes]:
    """Run the stage; return the bytes of its model and its history."""
    return [path.read_bytes() for path in train(params, normalized, folder)]


def change(params: Path, *changes: tuple[str, str]) -> None:
    """Replace parts of the text of a file of parameters."""
    text = params.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    params.write_text(text)


def tiny_trainer(params: Path, normalized: Path) -> keras.Sequential:
    """Build the trainer of the tiny network, with fresh weights."""
    recipe = read_params(params).train
    data = read_training_data(normalized, recipe)
    return build_trainer(read_architecture("tiny", params), recipe, data)

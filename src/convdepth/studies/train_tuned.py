"""The stage `train_tuned`: train one network with its tuned settings."""

from pathlib import Path

from convdepth.config.tuned_settings import read_tuned
from convdepth.training.loop import Progress, ProgressMaker
from convdepth.training.train import train


def main(
    name: str,
    seed: int,
    normalized: Path,
    model: Path,
    history: Path,
    checkpoints: Path,
    code: str,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
    progress: ProgressMaker = Progress,
) -> None:
    """Train as `training.train.main`, with ``tuned.settings.<name>`` of `studies`.

    No image is held out: the settings are chosen.
    """
    _, architecture, recipe = read_tuned(name, params, studies)
    recipe = recipe.model_copy(update={"seed": seed})
    title = f"{name} tuned seed {seed}"
    train(title, architecture, recipe, normalized, model, history, checkpoints, code, progress)

"""The stage `train_tuned`: train one network with the settings that a tuning found."""

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
    """Train the tuned network ``name``; write its model and its history per epoch.

    All training images are trained on: the settings are chosen, so none is held out.

    Args:
        name: A key of ``tuned.settings`` in the studies' parameters.
        seed: Replaces ``train.seed``.
        normalized: As in `train.main`, like all that follow.
        model: The ``.keras`` file to write.
        history: The CSV file to write.
        checkpoints: The folder for the checkpoints of this network.
        code: Digest of the code that trains.
        params: The parameters.
        studies: Those of the studies.
        progress: Shows the training.

    Raises:
        ConvdepthError: As `train.main`.
    """
    _, architecture, recipe = read_tuned(name, params, studies)
    recipe = recipe.model_copy(update={"seed": seed})
    title = f"{name} tuned seed {seed}"
    train(title, architecture, recipe, normalized, model, history, checkpoints, code, progress)

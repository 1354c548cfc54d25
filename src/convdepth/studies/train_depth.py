"""The stage `train_depth`: train and evaluate one network of the study of depth alone."""

from pathlib import Path

from convdepth.config.depth import read_depth
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.answers import predict
from convdepth.evaluation.metrics import score_training
from convdepth.models.archive import load_network
from convdepth.training.loop import Progress, ProgressMaker
from convdepth.training.train import train


def main(
    arm: str,
    blocks: int,
    seed: int,
    normalized: Path,
    model: Path,
    history: Path,
    scores: Path,
    mistakes: Path,
    checkpoints: Path,
    code: str,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
    progress: ProgressMaker = Progress,
) -> None:
    """Train as `training.train.main`; write the scores, and index, label, predicted of mistakes.

    Git keeps hundreds of trainings, so only mistakes are written, not all answers.
    """
    architecture, recipe = read_depth(arm, blocks, params, studies)
    recipe = recipe.model_copy(update={"seed": seed})
    title = f"{arm} {blocks} seed {seed}"
    train(title, architecture, recipe, normalized, model, history, checkpoints, code, progress)
    images, labels = read_split(normalized, "test")
    network = load_network(architecture, model, recipe.precision)
    predictions = predict(network, images, labels)
    is_wrong = predictions["predicted"] != predictions["label"]
    found = score_training(predictions)
    write_csv(mistakes, predictions.loc[is_wrong, ["index", "label", "predicted"]])
    write_json(scores, found.model_dump())
    print(f"{scores}: test accuracy {found.accuracy:.4f}, loss {found.loss:.4f}", flush=True)

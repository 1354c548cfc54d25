"""The stages `train_depth`, `train_fresh` and so on: train and evaluate one run of a question."""

from pathlib import Path

from convdepth.config.questions import TrainedQuestion, read_recipe
from convdepth.core.errors import ParameterError
from convdepth.core.files import write_csv, write_json
from convdepth.evaluation.answers import predict
from convdepth.evaluation.metrics import score_training
from convdepth.evaluation.question_scores import EpochChoice
from convdepth.evaluation.result_file import read_result
from convdepth.models.archive import load_network
from convdepth.training.data import read_training_data
from convdepth.training.loop import Progress, ProgressMaker
from convdepth.training.train import train


def main(
    question: TrainedQuestion,
    group: str,
    network: str,
    seed: int,
    normalized: Path,
    model: Path,
    history: Path,
    scores: Path,
    mistakes: Path,
    checkpoints: Path,
    code: str,
    epochs: Path | None = None,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
    progress: ProgressMaker = Progress,
) -> None:
    """Train as `training.train.main`; write the scores, and index, label, predicted of mistakes.

    They are of the test set, or of held-out training images if the recipe holds some out. Git keeps
    hundreds of trainings, so only mistakes are written, not all answers. `epochs` has the choice
    for the question ``shared``, which needs it.
    """
    architecture, recipe = read_recipe(question, group, network, params, studies)
    recipe = recipe.model_copy(update={"seed": seed})
    if question == "shared":
        if epochs is None:
            raise ParameterError("shared: --epochs: expected the file of the stage `epochs`.")
        chosen = read_result(epochs, EpochChoice, "dvc repro studies/dvc.yaml:epochs").epochs
        recipe = recipe.model_copy(update={"epochs": chosen})
    title = f"{question} {group} {network} seed {seed}"
    train(title, architecture, recipe, normalized, model, history, checkpoints, code, progress)
    judged = read_training_data(normalized, recipe).validation
    trained = load_network(architecture, model, recipe.precision)
    predictions = predict(trained, judged.images[judged.rows], judged.labels[judged.rows])
    predictions["index"] = judged.rows
    is_wrong = predictions["predicted"] != predictions["label"]
    found = score_training(predictions)
    write_csv(mistakes, predictions.loc[is_wrong, ["index", "label", "predicted"]])
    write_json(scores, found.model_dump())
    kind = "held-out" if recipe.validation_images else "test"
    print(f"{scores}: {kind} accuracy {found.accuracy:.4f}, loss {found.loss:.4f}", flush=True)

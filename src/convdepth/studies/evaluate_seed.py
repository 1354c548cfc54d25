"""The stages `evaluate_seed` and `evaluate_tuned`: evaluate one training of a study."""

from pathlib import Path

from convdepth.config.recipe import read_training
from convdepth.config.tuned_settings import read_tuned
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.answers import predict
from convdepth.evaluation.metrics import score_training
from convdepth.models.archive import load_network
from convdepth.models.backend import configure


def main(
    name: str,
    normalized: Path,
    model: Path,
    answers: Path,
    scores: Path,
    tuned: bool = False,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Evaluate one network, by the recipe or `tuned`; write its answers and `metrics.Scores`."""
    if tuned:
        _, architecture, recipe = read_tuned(name, params, studies)
    else:
        architecture, recipe = read_training(name, params)
    images, labels = read_split(normalized, "test")
    configure(recipe.threads, portable=recipe.portable)
    network = load_network(architecture, model, recipe.precision)
    predictions = predict(network, images, labels)
    found = score_training(predictions)
    write_csv(answers, predictions[["label", "predicted"]])
    write_json(scores, found.model_dump())
    print(f"{scores}: test accuracy {found.accuracy:.4f}, loss {found.loss:.4f}", flush=True)

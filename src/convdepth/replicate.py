"""The stage `replicate`: train one network with several seeds, to see how much chance there is.

The first seed is that of the recipe, and its training is the one of the pipeline, which is not
repeated. The others differ from it in nothing but their seed, and follow it by one each. A seed's
last checkpoint stays until all of them are done, so an interrupted stage goes on where it was.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from convdepth.architecture import Architecture
from convdepth.archive import load_weights
from convdepth.checkpoints import Checkpoints
from convdepth.errors import DataError
from convdepth.evaluate import predict
from convdepth.files import write_csv, write_json
from convdepth.images import read_split
from convdepth.network import build_network
from convdepth.numeric_class import describe_numeric_class
from convdepth.params import Train, find_architecture, read_params
from convdepth.replicates import CURVES, Run, summarize, tabulate_answers
from convdepth.runtime import configure, keras
from convdepth.train import checkpoints_of, fit
from convdepth.training_data import read_training_data


def main(
    name: str,
    seeds: int,
    normalized: Path,
    model: Path,
    history: Path,
    summary: Path,
    answers: Path,
    checkpoints: Path,
    params: Path = Path("params.yaml"),
) -> None:
    """Train the architecture ``name`` with several seeds; write what comes out.

    Args:
        name: A key of ``architectures`` in the parameters.
        seeds: How many there are, that of the recipe included; at least 1.
        normalized: The folder of the normalized arrays.
        model: The ``.keras`` file that the pipeline trained.
        history: The CSV file of that training.
        summary: The JSON file to write, see `replicates.summarize`.
        answers: The CSV file to write, see `replicates.tabulate_answers`.
        checkpoints: The folder for what an interrupted stage goes on from.
        params: The parameters.

    Raises:
        ParameterError: A parameter is wrong, or there is no such architecture.
        DataError: The arrays or the history are missing or damaged.
        IntegrityError: The model is missing, damaged, or of another architecture.
        TrainingError: The loss is not a finite number; nothing is written then.
        MachineError: A file cannot be written, or the memory is not enough.
    """
    parameters = read_params(params)
    architecture, recipe = find_architecture(name, parameters, params), parameters.train
    configure(recipe.threads)
    runs, kept = [_first_run(architecture, recipe, normalized, model, history)], []
    for run, own in _train_others(name, architecture, recipe, seeds, normalized, checkpoints):
        runs.append(run)
        kept.append(own)
    result = summarize(runs)
    write_csv(answers, tabulate_answers(runs))
    write_json(summary, result)
    for own in kept:
        own.clear()
    accuracy = result["accuracy"]
    print(
        f"{name}: {len(runs)} seeds: test accuracy {accuracy['mean']:.4f} "
        f"({accuracy['low']:.4f} to {accuracy['high']:.4f}); "
        f"{result['collapsed']} of {len(runs)} collapsed",
        flush=True,
    )


def _first_run(
    architecture: Architecture, recipe: Train, normalized: Path, model: Path, history: Path
) -> Run:
    network = build_network(architecture)
    load_weights(network, model)
    try:
        curves = pd.read_csv(history)[["epoch", *CURVES]]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{history}: is no history of a training: {error}. Run `dvc repro` to write it again."
        ) from error
    return _run(network, architecture, recipe, curves, normalized)


def _train_others(
    name: str,
    architecture: Architecture,
    recipe: Train,
    seeds: int,
    normalized: Path,
    folder: Path,
) -> Iterator[tuple[Run, Checkpoints]]:
    numeric_class = describe_numeric_class(recipe.threads, recipe.precision)
    for number in range(1, seeds):
        seeded = recipe.model_copy(update={"seed": recipe.seed + number})
        own = folder / f"seed-{seeded.seed}"
        kept = checkpoints_of(architecture, seeded, normalized, numeric_class, own)
        data = read_training_data(normalized, seeded)
        network, history = fit(f"{name} seed {seeded.seed}", architecture, seeded, data, kept)
        yield _run(network, architecture, seeded, history, normalized), kept
        keras.backend.clear_session()  # else the graphs of all seeds stay in memory


def _run(
    network: keras.Model,
    architecture: Architecture,
    recipe: Train,
    history: pd.DataFrame,
    normalized: Path,
) -> Run:
    """Let a network answer the test images, in the precision that the recipe has."""
    images, labels = read_split(normalized, "test")
    answering = build_network(architecture, recipe.precision)
    answering.set_weights(network.get_weights())
    return Run(recipe.seed, history, predict(answering, images, labels))

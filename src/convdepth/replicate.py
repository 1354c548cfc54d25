"""The stage `replicate`: train one network with several seeds, to see how much chance there is.

The first seed is that of the recipe, and its training is the one of the pipeline, which is not
repeated. The others differ from it in nothing but their seed, and follow it by one each. A seed's
last checkpoint stays until all of them are done, so an interrupted stage goes on where it was.
"""

from pathlib import Path

import pandas as pd

from convdepth.architecture import Architecture
from convdepth.archive import load_weights
from convdepth.errors import DataError
from convdepth.files import write_csv, write_json
from convdepth.network import build_network
from convdepth.params import Train, find_architecture, read_params
from convdepth.replicates import CURVES, Run, summarize, tabulate_answers
from convdepth.runtime import configure
from convdepth.seeds import answer_test_images, train_seeds


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
    others = range(recipe.seed + 1, recipe.seed + seeds)
    for run, own in train_seeds(name, architecture, recipe, others, normalized, checkpoints):
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
    return answer_test_images(network, architecture, recipe, curves, normalized)

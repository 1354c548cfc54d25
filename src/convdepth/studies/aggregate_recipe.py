"""The stage `replicates`: summarize the trainings of one network by the recipe."""

from pathlib import Path

from convdepth.config.params import read_architecture, read_params
from convdepth.config.studies import read_study_params
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.results import ANSWER_COLUMNS, read_history, read_predictions
from convdepth.evaluation.seed_scores import score_predictions
from convdepth.studies.runs import Run, describe, read_run, summarize, tabulate_answers


def main(
    name: str,
    normalized: Path,
    histories: Path,
    predictions: Path,
    seeds: Path,
    summary: Path,
    answers: Path,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Summarize the trainings of the network ``name``; write `Replicates` and all answers.

    The first training is the pipeline's: ``<name>.csv`` in `histories` and `predictions`. The
    others are in `seeds`, see `runs.read_run`.

    Raises:
        ParameterError: A parameter is wrong, or there is no such network.
        DataError: A file is missing or damaged, or has other test images.
        MachineError: A file cannot be written.
    """
    read_architecture(name, params)
    first = read_params(params).train.seed
    _, labels = read_split(normalized, "test")
    table = read_predictions(predictions, name, labels)
    history, scores = read_history(histories, name), score_predictions(table)
    others = read_study_params(studies).replicates.seeds
    runs = [
        Run(first, history, table[ANSWER_COLUMNS], scores),
        *(read_run(seeds, seed, labels) for seed in others),
    ]
    result = summarize(runs)
    write_csv(answers, tabulate_answers(runs))
    write_json(summary, result.model_dump())
    print(f"{name}: {describe(result)}", flush=True)

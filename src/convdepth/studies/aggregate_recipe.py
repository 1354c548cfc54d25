"""The stage `replicates`: summarize the trainings of one network by the recipe."""

from pathlib import Path

from convdepth.config.recipe import read_training
from convdepth.config.studies import read_study_params
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.metrics import score_training
from convdepth.evaluation.results import read_history, read_predictions
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
    """
    _, recipe = read_training(name, params)
    _, labels = read_split(normalized, "test")
    table = read_predictions(predictions, name, labels)
    runs = [Run(recipe.seed, read_history(histories, name), table, score_training(table))]
    runs += [read_run(seeds, seed, labels) for seed in read_study_params(studies).replicates.seeds]
    result = summarize(runs)
    write_csv(answers, tabulate_answers(runs))
    write_json(summary, result.model_dump())
    print(f"{name}: {describe(result)}", flush=True)

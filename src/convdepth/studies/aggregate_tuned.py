"""The stage `tuned`: summarize the trainings of each tuned network."""

from pathlib import Path

from convdepth.config.studies import read_study_params
from convdepth.config.tuned_settings import read_tuned
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import read_split
from convdepth.evaluation.results import Cost, TunedNetwork, TunedNetworks
from convdepth.studies.runs import describe, read_run, summarize, tabulate_answers


def main(
    normalized: Path,
    seeds: Path,
    tuned: Path,
    params: Path = Path("params.yaml"),
    studies: Path = Path("studies/params.yaml"),
) -> None:
    """Summarize the tuned networks; write ``summary.json`` and ``<name>.csv``, all answers."""
    study = read_study_params(studies).tuned
    _, training_labels = read_split(normalized, "train")
    _, labels = read_split(normalized, "test")
    networks = {}
    for name in study.settings:
        settings, architecture, recipe = read_tuned(name, params, studies)
        runs = [read_run(seeds / f"{name}-tuned", seed, labels) for seed in study.seeds]
        write_csv(tuned / f"{name}.csv", tabulate_answers(runs))
        networks[name] = TunedNetwork(
            **dict(summarize(runs)),
            settings=settings.model_dump(),
            precision=recipe.precision,
            cost=Cost(
                parameters=architecture.num_parameters,
                flop=architecture.flop,
                images=recipe.epochs * len(training_labels),
            ),
        )
        print(f"{name} tuned, {describe(networks[name])}", flush=True)
    write_json(tuned / "summary.json", TunedNetworks(networks=networks).model_dump())

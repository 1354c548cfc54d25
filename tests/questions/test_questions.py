"""The questions of the plan: a run is trained and scored, and all runs together are compared."""

from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_inputs import make_run
from ruamel.yaml import YAML
from study_inputs import Study

from convdepth.config.params import read_architecture
from convdepth.config.questions import AnsweredQuestion, TrainedQuestion, read_recipe
from convdepth.core.errors import DataError, ParameterError
from convdepth.core.files import write_csv, write_json
from convdepth.data import corruptions
from convdepth.data.arrays import Labels, read_split
from convdepth.evaluation.metrics import Scores
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import EQUIVALENT, Answer
from convdepth.models.archive import save_network
from convdepth.models.build import build_network
from convdepth.questions import answer, choose_epochs, evaluate_corrupted, train_run
from convdepth.workspace.code_digests import read_command
from project import edit_yaml

SMALL = {
    "depth.groups": ["width", "size-normalized"],
    "depth.networks": [3, 1],
    "depth.seeds": [1, 2, 3],
    "depth.design.filters": 2,
    "depth.design.epochs": 1,
}

ENDS = {"scores": "scores.json", "mistakes": "mistakes.csv"}


@pytest.fixture(autouse=True)
def labels(study: Study) -> Labels:
    edit_yaml(study.studies, SMALL)
    return read_split(study.normalized, "test")[1]


def write_run(folder: Path, seed: int, labels: Labels, wrong: int) -> None:
    """Write a training that gets so many images wrong, others for each seed."""
    images = (seed * 7 + np.arange(wrong)) % len(labels)
    truth = labels[images]
    columns = {"index": images, "label": truth, "predicted": (truth + 1) % 10}
    write_csv(folder / f"{seed}.mistakes.csv", pd.DataFrame(columns))
    run = make_run(seed, round(1 - wrong / len(labels), 6), "ok")
    write_json(folder / f"{seed}.scores.json", {key: run[key] for key in Scores.model_fields})


def summarize(study: Study, question: AnsweredQuestion = "depth", **more: str) -> Answer:
    study.run(partial(answer.main, question), runs="runs", summary="answer.json", **more)
    return read_result(study.folder / "answer.json", Answer, "")


def train(
    study: Study, question: TrainedQuestion, group: str, network: str, **more: str
) -> dict[str, Any]:
    """Train with seed 2; return the scores."""
    folder = f"runs/{group}/{network}"
    paths = {"model": "m.keras", "history": "h.csv", "checkpoints": "checkpoints"}
    paths |= {"scores": f"{folder}/2.scores.json", "mistakes": f"{folder}/2.mistakes.csv"}
    study.run(partial(train_run.main, question, group, network, 2), **paths, **more)
    found: dict[str, Any] = study.read(paths["scores"])
    return found


def test_a_training_is_scored_and_its_mistakes_are_kept(study: Study) -> None:
    accuracy = train(study, "depth", "width", "1")["accuracy"]
    assert len(pd.read_csv(study.folder / "h.csv")) == 1
    found = summarize(study)
    (point,) = found.groups["width"]
    assert (point.network, point.seeds) == ("1", [2])
    assert point.over_seeds is not None
    votes = point.over_seeds.vote, found.votes["width"]
    assert (point.accuracy.mean, *votes) == (accuracy,) * 3
    assert found.groups["size-normalized"] == []
    assert (found.trained, found.planned) == (1, 12)


def test_epochs_are_judged_by_held_out_images(study: Study) -> None:
    changes = {"groups": [1], "networks": ["tiny", "other"], "validation_images": 50}
    edit_yaml(study.studies, {f"epochs.{key}": value for key, value in changes.items()})
    accuracy = train(study, "epochs", "1", "tiny")["accuracy"]
    mistakes = pd.read_csv(study.folder / "runs/1/tiny/2.mistakes.csv")
    assert accuracy == pytest.approx(1 - len(mistakes) / 50)
    _, labels = read_split(study.normalized, "train")
    assert (labels[mistakes["index"]] == mistakes["label"]).all()
    history = pd.read_csv(study.folder / "h.csv")
    assert history["val_accuracy"].tolist() == [pytest.approx(accuracy)]


def test_the_shared_recipe_has_the_best_number_of_epochs_by_held_out_images(
    study: Study, labels: Labels
) -> None:
    names = ["tiny", "other"]
    edit_yaml(study.studies, {"epochs.groups": [9, 2, 1], "epochs.networks": names})
    edit_yaml(study.studies, {"shared.networks": names, "shared.recipe.precision": "float32"})
    for epochs, wrong in ((1, (50, 10)), (2, (20, 20)), (9, (10, 30))):  # equal: 2 and 9
        for name, count in zip(names, wrong, strict=True):
            write_run(study.folder / "epochs" / f"{epochs}" / name, 1, labels, count)
    study.run(choose_epochs.main, runs="epochs", summary="chosen.json")
    choice = study.read("chosen.json")
    assert (choice["epochs"], choice["networks"]["9"]["tiny"]) == (2, 0.995)
    with pytest.raises(ParameterError, match=r"shared: --epochs"):
        train(study, "shared", "recipe", "tiny")
    with pytest.raises(DataError, match=r"none\.json"):
        train(study, "shared", "recipe", "tiny", epochs="none.json")
    train(study, "shared", "recipe", "tiny", epochs="chosen.json")
    assert len(pd.read_csv(study.folder / "h.csv")) == 2


def test_networks_are_compared_when_all_trainings_are_there(study: Study, labels: Labels) -> None:
    for group, blocks, wrong in (
        ("width", 1, 400),
        ("width", 3, 40),
        ("size-normalized", 1, 100),
        ("size-normalized", 3, 100),
    ):
        assert summarize(study).comparisons == []
        for seed in (1, 2, 3):
            write_run(study.folder / "runs" / group / f"{blocks}", seed, labels, wrong + seed)
    found = summarize(study)
    wide, narrow = found.find("width", "3"), found.find("size-normalized", "3")
    assert wide is not None
    assert narrow is not None
    assert len(found.comparisons) == 2
    assert wide.verdict == "depth 3 is better"
    assert wide.difference == pytest.approx(360 / len(labels))
    assert "better" not in narrow.verdict
    assert [point.network for point in found.groups["width"]] == ["1", "3"]


def test_each_pair_of_networks_of_params_yaml_is_compared(study: Study, labels: Labels) -> None:
    names = ["tiny", "small", "large"]
    architectures = YAML(typ="safe").load(study.params)["architectures"]
    edit_yaml(study.params, {f"architectures.{name}": architectures["tiny"] for name in names})
    edit_yaml(study.studies, {"fresh.networks": names, "fresh.seeds": [6, 7]})
    for name, wrong in zip(names, (400, 40, 41), strict=True):
        for seed in (6, 7):
            write_run(study.folder / "runs" / "recipe" / name, seed, labels, wrong + seed)
    found = summarize(study, "fresh").comparisons
    pairs = [(each.first, each.second) for each in found]
    assert pairs == [("tiny", "small"), ("tiny", "large"), ("small", "large")]
    assert found[0].verdict == "small is better"


def test_tuned_networks_are_compared_with_each_other_and_with_the_recipe(
    study: Study, labels: Labels
) -> None:
    tuned = study.folder / "runs" / "tuned" / "tiny"
    for seed in (1, 2):
        write_run(tuned, seed, labels, 10 + seed)
    for seed in (2, 3):
        write_run(study.folder / "old" / "recipe" / "tiny", seed, labels, 400 + seed)
    edit_yaml(study.studies, {"recipe.seeds": [2, 3], "tuned.seeds": [1, 2, 3]})
    assert summarize(study, "tuned", recipe="old").gains == {}
    edit_yaml(study.studies, {"tuned.seeds": [1, 2]})
    found = summarize(study, "tuned", recipe="old")
    assert found.comparisons == []
    assert found.gains["tiny"].difference == pytest.approx(391 / len(labels))
    assert found.gains["tiny"].verdict == "tuned is better"
    (network,) = found.groups["tuned"]
    # Tuning adds batch normalization, which has parameters.
    assert network.parameters > read_architecture("tiny", study.params).num_parameters
    edit_yaml(study.studies, {"recipe.seeds": [2, 3, 4]})  # of which one is still to come
    assert summarize(study, "tuned", recipe="old").gains == {}
    edit_yaml(study.studies, {"tuned.settings": {}})
    found = summarize(study, "tuned", recipe="old")
    assert (found.planned, found.groups, found.gains) == (0, {"tuned": []}, {})


def test_means_deviations_and_failures_by_hand(study: Study, labels: Labels) -> None:
    folder = study.folder / "runs" / "recipe" / "tiny"
    edit_yaml(study.studies, {"recipe.seeds": [1, 2]})
    write_run(folder, 1, labels, 200)
    (single,) = summarize(study, "recipe").groups["recipe"]
    assert single.accuracy.standard_deviation is None
    assert single.accuracy.low < 0.9 < single.accuracy.high
    write_run(folder, 2, labels, 100)
    (both,) = summarize(study, "recipe").groups["recipe"]
    assert (both.accuracy.mean, both.accuracy.standard_deviation) == (0.925, 0.035355)
    assert both.accuracy.low < 0.9
    assert both.accuracy.high == 1  # two seeds say little; no accuracy is above 1
    assert both.has_learned
    scores = study.read("runs/recipe/tiny/2.scores.json")
    write_json(folder / "2.scores.json", scores | {"status": "near chance", "loss": 0.3})
    (failed,) = summarize(study, "recipe").groups["recipe"]
    assert (failed.failed, failed.has_learned) == (1, False)
    assert (failed.loss.mean, failed.loss.standard_deviation) == (0.2, 0.141421)


@pytest.mark.parametrize("command", ["train", "train_run", "collapse"])
def test_other_result_files_are_no_part_of_a_training(command: str) -> None:
    modules = {name.removeprefix("convdepth.") for name in read_command(command).modules}
    assert not modules & {"evaluation.results", "evaluation.significance", "config.params"}


def test_networks_are_compared_by_their_mean_over_all_corruptions(
    study: Study, labels: Labels
) -> None:
    names = ["tiny", "other"]
    architectures = YAML(typ="safe").load(study.params)["architectures"]
    edit_yaml(study.params, {"architectures.other": architectures["tiny"]})
    edit_yaml(study.studies, {"shared.networks": names, "shared.seeds": [1, 2]})
    corruptions.main(study.normalized, study.folder / "corrupted")
    architecture, _ = read_recipe("shared", "recipe", "tiny", study.params, study.studies)
    save_network(build_network(architecture), study.folder / "m.keras")
    for folder in ("runs/recipe/tiny", "runs/recipe/other"):
        for seed in (1, 2):
            paths = {key: f"{folder}/{seed}.{end}" for key, end in ENDS.items()}
            study.run(
                partial(evaluate_corrupted.main, "tiny"),
                corrupted="corrupted",
                model="m.keras",
                **paths,
            )
    scores = study.read("runs/recipe/tiny/1.scores.json")
    assert set(scores["by_corruption"]) == set(corruptions.CORRUPTIONS)
    assert scores["accuracy"] == pytest.approx(fmean(scores["by_corruption"].values()), abs=1e-6)
    answer = summarize(study, "corrupted")
    (comparison,) = answer.comparisons
    assert (comparison.difference, comparison.verdict) == (0, EQUIVALENT)
    assert [each.accuracy.mean for each in answer.groups["recipe"]] == [scores["accuracy"]] * 2
    assert answer.groups["recipe"][0].by_corruption == scores["by_corruption"]
    path = study.folder / "runs/recipe/tiny/1.mistakes.csv"
    for change in ({"index": len(labels)}, {"index": 3}):
        write_csv(path, pd.read_csv(path).assign(**change))
        with pytest.raises(DataError, match=r"1\.mistakes\.csv: index"):
            summarize(study, "corrupted")


def test_mistakes_of_other_images_are_refused(study: Study, labels: Labels) -> None:
    folder = study.folder / "runs" / "width" / "1"
    write_run(folder, 1, labels, 5)
    path = folder / "1.mistakes.csv"
    table = pd.read_csv(path)
    for change in ({"label": 9 - labels[7:12].astype(int)}, {"index": len(labels)}, {"index": 7.5}):
        write_csv(path, table.assign(**change))
        with pytest.raises(DataError, match=r"1\.mistakes\.csv: .*label"):
            summarize(study)


def test_scores_belong_to_the_mistakes_and_none_are_no_fault(study: Study, labels: Labels) -> None:
    folder = study.folder / "runs" / "width" / "1"
    write_run(folder, 1, labels, 0)
    assert summarize(study).groups["width"][0].accuracy.mean == 1
    write_run(folder, 2, labels, 5)
    (folder / "1.scores.json").write_text((folder / "2.scores.json").read_text())
    with pytest.raises(DataError, match=r"1\.scores\.json: accuracy"):
        summarize(study)

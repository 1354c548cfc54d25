"""The stages `train_depth` and `depth`: trainings that differ in depth alone."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_inputs import make_replicates
from study_inputs import Study

from convdepth.core.errors import DataError
from convdepth.core.files import write_csv, write_json
from convdepth.data.arrays import Labels, read_split
from convdepth.evaluation.metrics import Scores
from convdepth.evaluation.result_file import read_result
from convdepth.evaluation.results import DepthStudy
from convdepth.studies import depth, train_depth
from project import edit_yaml

SMALL = {
    "depth.arms": ["width", "size-normalized"],
    "depth.blocks": [3, 1],
    "depth.seeds": [1, 2, 3],
    "depth.design.filters": 2,
    "depth.design.epochs": 1,
}


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
    (run,) = make_replicates([round(1 - wrong / len(labels), 6)], "ok")["runs"]
    write_json(folder / f"{seed}.scores.json", {key: run[key] for key in Scores.model_fields})


def summarize(study: Study) -> DepthStudy:
    study.run(depth.main, runs="runs", summary="depth.json")
    return read_result(study.folder / "depth.json", DepthStudy, "")


def test_a_training_is_scored_and_its_mistakes_are_kept(study: Study) -> None:
    paths = {"model": "m.keras", "history": "h.csv", "checkpoints": "checkpoints"}
    paths |= {"scores": "runs/width/1/2.scores.json", "mistakes": "runs/width/1/2.mistakes.csv"}
    train = partial(train_depth.main, "width", 1, 2)
    study.run(train, **paths)
    accuracy = json.loads((study.folder / paths["scores"]).read_text())["accuracy"]
    assert len(pd.read_csv(study.folder / "h.csv")) == 1
    found = summarize(study)
    (point,) = found.arms["width"]
    assert (point.blocks, point.seeds) == (1, 1)
    assert point.accuracy.mean == accuracy
    assert found.arms["size-normalized"] == []


def test_depths_are_compared_when_all_trainings_are_there(study: Study, labels: Labels) -> None:
    for arm, blocks, wrong in (
        ("width", 1, 400),
        ("width", 3, 40),
        ("size-normalized", 1, 100),
        ("size-normalized", 3, 100),
    ):
        assert summarize(study).comparisons == {}
        for seed in (1, 2, 3):
            write_run(study.folder / "runs" / arm / f"{blocks}", seed, labels, wrong + seed)
    found = summarize(study)
    verdicts = {name: each.verdict for name, each in found.comparisons.items()}
    assert set(verdicts) == {"width: 3 / 1", "size-normalized: 3 / 1"}
    assert verdicts["width: 3 / 1"] == "depth 3 is better"
    assert found.comparisons["width: 3 / 1"].difference == pytest.approx(360 / len(labels))
    assert "better" not in verdicts["size-normalized: 3 / 1"]
    assert [point.blocks for point in found.arms["width"]] == [1, 3]


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
    assert summarize(study).arms["width"][0].accuracy.mean == 1
    write_run(folder, 2, labels, 5)
    (folder / "1.scores.json").write_text((folder / "2.scores.json").read_text())
    with pytest.raises(DataError, match=r"1\.scores\.json: accuracy"):
        summarize(study)

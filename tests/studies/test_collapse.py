"""The stage `collapse`: networks that learn stop, the others use all epochs, and it resumes."""

from collections.abc import Iterator
from typing import Any

import pytest
from epochs import PRETEND, counted_epochs, pretended_epochs
from study_inputs import Study

from convdepth.evaluation.collapse_trials import Collapse
from convdepth.evaluation.result_file import read_result
from convdepth.studies.collapse import main
from project import edit_yaml

SMALL = {"scales": [4.5, 0, 6], "seeds": 2, "epochs": 3, "learned": 0.95, "validation_share": 0.1}


def run(study: Study, folder: str) -> Collapse:
    study.run(main, summary=f"{folder}/summary.json", checkpoints=f"{folder}/checkpoints")
    return read_result(study.folder / folder / "summary.json", Collapse, "")


def limit(trainer: Any, _recipe: object) -> float:
    """Learn in the second epoch, unless a dropout leaves little."""
    layers = trainer.layers[-1].layers
    return 0.08 if all(getattr(layer, "rate", 0) < 0.5 for layer in layers) else 0


@pytest.fixture(params=PRETEND)
def epochs(request: pytest.FixtureRequest) -> Iterator[None]:
    with pretended_epochs(limit, pretend=request.param):
        yield


@pytest.mark.usefixtures("epochs")
def test_a_network_that_learns_stops_and_an_interrupted_stage_resumes(study: Study) -> None:
    edit_yaml(study.params, {"train.learning_rate": 0.01})
    edit_yaml(study.studies, {"collapse": SMALL | {"signal_images": 30, "masks": 5}})
    found = run(study, "whole")
    without, most = found.points  # 6 x 0.2 is above 1
    assert (without.scale, without.keep_share, without.learned) == (0, 1, 2)
    assert (most.scale, most.keep_share) == (4.5, 0.01)
    assert [trial.seed for trial in without.runs] == [1, 2]
    for trial in (*without.runs, *most.runs):
        assert trial.prior_loss == pytest.approx(2.3, abs=0.05)
        learned = [loss < 0.95 * trial.prior_loss for loss in trial.loss]
        assert len(trial.accuracy) == len(trial.loss) == (trial.epochs_to_learn or 3)
        assert learned[-1] == (trial.epochs_to_learn is not None)
        assert not any(learned[:-1])
    assert without.signal["head_dense"] == 1
    assert most.signal["head_dense"] < 0.2
    assert set(most.runs[0].gradient_norm) == {"block1"}
    assert not list((study.folder / "whole" / "checkpoints").glob("*/*"))
    with counted_epochs(interrupted=3), pytest.raises(KeyboardInterrupt):
        run(study, "torn")
    with counted_epochs() as count:
        assert run(study, "torn") == found
    total = sum(len(trial.loss) for point in found.points for trial in point.runs)
    assert count.done == total - 2  # the epochs before the interruption are not trained again

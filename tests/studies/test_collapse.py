"""The stage `collapse`: networks that learn stop, the others use all epochs, and it resumes."""

from pathlib import Path

import pytest
from epochs import counted_epochs
from study_inputs import edit, write_studies

from conftest import PROJECT
from convdepth.config.params import read_params
from convdepth.config.studies import read_study_params
from convdepth.core.errors import ParameterError
from convdepth.evaluation.collapse_trials import Collapse
from convdepth.evaluation.result_file import read_result
from convdepth.studies.collapse import main, scaled_architectures
from convdepth.training import train as train_module

pytestmark = pytest.mark.usefixtures("one_thread")

STUDY = {
    "collapse.scales": [4.5, 0, 6],
    "collapse.seeds": 2,
    "collapse.epochs": 3,
    "collapse.learned": 0.95,
    "collapse.validation_share": 0.1,
    "collapse.signal_images": 30,
    "collapse.masks": 5,
}


@pytest.fixture
def params(tiny_params: Path) -> Path:
    edit(tiny_params, {"train.learning_rate": 0.01})
    edit(write_studies(tiny_params.parent), STUDY)
    return tiny_params


def run(params: Path, normalized: Path, folder: Path) -> Collapse:
    main(
        name="tiny",
        normalized=normalized,
        summary=folder / "summary.json",
        checkpoints=folder / "checkpoints",
        code="of the tests",
        params=params,
        studies=params.with_name("studies.yaml"),
    )
    return read_result(folder / "summary.json", Collapse, "")


def test_a_network_that_learns_stops_and_an_interrupted_stage_resumes(
    params: Path, normalized: Path, tmp_path: Path
) -> None:
    found = run(params, normalized, tmp_path / "whole")
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
    assert not list((tmp_path / "whole" / "checkpoints").glob("*/*"))
    with counted_epochs(interrupted=3), pytest.raises(KeyboardInterrupt):
        run(params, normalized, tmp_path / "torn")
    with counted_epochs() as count:
        assert run(params, normalized, tmp_path / "torn") == found
    total = sum(len(trial.loss) for point in found.points for trial in point.runs)
    assert count.done == total - 2  # the epochs before the interruption are not trained again


def test_a_wrong_study_is_refused_before_anything_is_trained(
    params: Path, normalized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(train_module, "train_epoch")
    edit(params.with_name("studies.yaml"), {"collapse.masks": 1})
    with pytest.raises(ParameterError, match=r"studies\.yaml: collapse: "):
        run(params, normalized, tmp_path)


def test_the_projects_scales_suit_each_network() -> None:
    study = read_study_params(PROJECT / "studies" / "params.yaml").collapse
    for architecture in read_params(PROJECT / "params.yaml").architectures.values():
        scales = [each.dropout_scale for each in scaled_architectures(architecture, study)]
        assert scales[0] == 0
        assert 1 in scales

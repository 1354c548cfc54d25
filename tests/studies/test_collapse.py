"""The stage `collapse`: what learns is told from what does not, and nothing is done twice."""

import json
from pathlib import Path
from typing import Any

import pytest
from epochs import counted_epochs
from ruamel.yaml import YAML

from conftest import PROJECT
from convdepth.core.errors import ParameterError
from convdepth.studies import collapse as collapse_module
from convdepth.studies.collapse import main
from convdepth.training import train as train_module

pytestmark = pytest.mark.usefixtures("one_thread")

STUDY = {
    "scales": [4.5, 0, 6],
    "seeds": 2,
    "epochs": 3,
    "learned": 0.95,
    "validation_share": 0.1,
    "signal_images": 30,
    "masks": 5,
}


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return write_study(tmp_path / "studies.yaml", STUDY)


def write_study(path: Path, study: dict[str, Any]) -> Path:
    yaml = YAML(typ="safe")
    entries = yaml.load(PROJECT / "studies" / "params.yaml")
    yaml.dump(entries | {"collapse": study}, path)
    return path


@pytest.fixture
def params(tiny_params: Path) -> Path:
    text = tiny_params.read_text()
    tiny_params.write_text(text.replace("learning_rate: 0.001", "learning_rate: 0.01"))
    return tiny_params


def run(params: Path, studies: Path, normalized: Path, folder: Path) -> dict[str, Any]:
    summary = folder / "summary.json"
    main(
        name="tiny",
        normalized=normalized,
        summary=summary,
        checkpoints=folder / "checkpoints",
        code="of the tests",
        params=params,
        studies=studies,
    )
    found: dict[str, Any] = json.loads(summary.read_text())
    return found


def test_who_learns_stops_and_who_does_not_has_its_time(
    params: Path, studies: Path, normalized: Path, tmp_path: Path
) -> None:
    without, most = run(params, studies, normalized, tmp_path)["points"]  # 6 x 0.2 is above 1
    assert (without["scale"], without["keep_share"], without["learned"]) == (0, 1, 2)
    assert (most["scale"], most["keep_share"]) == (4.5, 0.01)
    assert [each["seed"] for each in without["runs"]] == [1, 2]
    for each in (*without["runs"], *most["runs"]):
        assert each["prior_loss"] == pytest.approx(2.3, abs=0.05)
        if each["epochs_to_learn"] is None:
            assert len(each["loss"]) == 3
            assert min(each["loss"]) > 0.95 * each["prior_loss"]
        else:
            assert len(each["loss"]) == each["epochs_to_learn"]
            assert each["loss"][-1] < 0.95 * each["prior_loss"]
            assert all(loss >= 0.95 * each["prior_loss"] for loss in each["loss"][:-1])
    assert without["signal"]["head_dense"] == 1
    assert most["signal"]["head_dense"] < 0.2
    assert set(most["runs"][0]["gradient_norm"]) == {"block1"}
    assert not list((tmp_path / "checkpoints").glob("*/*"))


def test_an_interrupted_stage_goes_on_and_ends_with_the_same_bytes(
    params: Path, studies: Path, normalized: Path, tmp_path: Path
) -> None:
    expected = run(params, studies, normalized, tmp_path / "whole")
    with counted_epochs(interrupted=3), pytest.raises(KeyboardInterrupt):
        run(params, studies, normalized, tmp_path / "torn")
    with counted_epochs() as count:
        assert run(params, studies, normalized, tmp_path / "torn") == expected
    total = sum(len(each["loss"]) for point in expected["points"] for each in point["runs"])
    assert count.done == total - 2  # those before the interruption are not trained again


def test_a_wrong_study_is_refused_before_anything_is_trained(
    params: Path, studies: Path, normalized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(train_module, "train_epoch")
    write_study(studies, STUDY | {"masks": 1})
    with pytest.raises(ParameterError, match=r"studies\.yaml: collapse: "):
        run(params, studies, normalized, tmp_path)


def test_the_project_s_scales_suit_each_network() -> None:
    from convdepth.config.params import read_params
    from convdepth.config.studies import read_study_params

    study = read_study_params(PROJECT / "studies" / "params.yaml").collapse
    for architecture in read_params(PROJECT / "params.yaml").architectures.values():
        scales = [each.dropout_scale for each in collapse_module._scale(architecture, study)]
        assert scales[0] == 0
        assert 1 in scales

"""The stage `evaluate_seed`: answers and scores of one training, by recipe or tuned."""

import json
from pathlib import Path

import pandas as pd
import pytest
from study_inputs import write_studies

from convdepth.config.recipe import read_training
from convdepth.config.tuned_settings import read_tuned
from convdepth.core.errors import ConvdepthError, DataError, IntegrityError, ParameterError
from convdepth.data.arrays import read_split
from convdepth.evaluation.answers import predict
from convdepth.models.archive import save_network
from convdepth.models.build import build_network
from convdepth.studies.evaluate_seed import main
from convdepth.studies.runs import read_run
from convdepth.workspace.code_digests import read_command

pytestmark = pytest.mark.usefixtures("one_thread")


def evaluate(params: Path, normalized: Path, folder: Path, *, tuned: bool) -> None:
    main(
        name="tiny",
        normalized=normalized,
        model=folder / "7.keras",
        answers=folder / "7.answers.csv",
        scores=folder / "7.scores.json",
        tuned=tuned,
        params=params,
        studies=folder / "studies.yaml",
    )


@pytest.fixture(params=["recipe", "tuned"])
def network(
    request: pytest.FixtureRequest, tiny_params: Path, normalized: Path, tmp_path: Path
) -> tuple[bool, pd.DataFrame]:
    """Whether a saved network is tuned, and its predictions."""
    studies = write_studies(tmp_path)
    if tuned := request.param == "tuned":
        _, architecture, recipe = read_tuned("tiny", tiny_params, studies)
    else:
        architecture, recipe = read_training("tiny", tiny_params)
    built = build_network(architecture, recipe.precision, seed=3)
    save_network(built, tmp_path / "7.keras")
    return tuned, predict(built, *read_split(normalized, "test"))


def test_the_answers_are_those_of_the_network(
    tiny_params: Path, normalized: Path, tmp_path: Path, network: tuple[bool, pd.DataFrame]
) -> None:
    tuned, expected = network
    evaluate(tiny_params, normalized, tmp_path, tuned=tuned)
    answers = pd.read_csv(tmp_path / "7.answers.csv")
    pd.testing.assert_frame_equal(answers, expected[["label", "predicted"]], check_dtype=False)
    scores = json.loads((tmp_path / "7.scores.json").read_text())
    assert set(scores) == {"accuracy", "loss", "status", "calibration_error", "reliability"}
    assert scores["accuracy"] == (answers["label"] == answers["predicted"]).mean()
    assert scores["loss"] == pytest.approx(expected["loss"].mean(), abs=1e-6)
    assert sum(each["images"] for each in scores["reliability"]) == len(answers)
    (tmp_path / "7.csv").write_text("epoch,loss,accuracy,val_loss,val_accuracy\n1,2,0.5,2,0.5\n")
    run = read_run(tmp_path, 7, answers["label"].to_numpy())
    assert run.scores.model_dump() == scores


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ("tuned", IntegrityError, r"7\.keras"),
        ("model", IntegrityError, r"7\.keras"),
        ("arrays", DataError, "test_"),
        ("settings", ParameterError, r"studies\.yaml: tuned\.settings\.tiny"),
    ],
)
def test_what_does_not_fit_is_refused(
    tiny_params: Path,
    normalized: Path,
    tmp_path: Path,
    wrong: str,
    kind: type[ConvdepthError],
    said: str,
) -> None:
    write_studies(tmp_path, **({"settings": {}} if wrong == "settings" else {}))
    if wrong != "model":
        architecture, _ = read_training("tiny", tiny_params)
        save_network(build_network(architecture), tmp_path / "7.keras")
    data = tmp_path / "none" if wrong == "arrays" else normalized
    with pytest.raises(kind, match=said):
        evaluate(tiny_params, data, tmp_path, tuned=wrong in ("tuned", "settings"))
    assert not list(tmp_path.glob("7.*.*"))


def test_summaries_of_several_seeds_are_no_part_of_its_code() -> None:
    modules = {name.rpartition(".")[2] for name in read_command("evaluate_seed").modules}
    assert not modules & {"replicates", "bootstrap", "studies", "tuned", "params"}

"""The command `tune`: reproducible, also after an interruption, and blind to the test set."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from epochs import counted_epochs
from study_inputs import edit

from conftest import PROJECT, SECOND, write_tiny_params
from convdepth.config.architecture import Architecture
from convdepth.config.dataset import SPLITS
from convdepth.config.params import read_architecture, read_params
from convdepth.config.studies import Range, read_study_params
from convdepth.config.tuned_settings import Settings, apply
from convdepth.core.errors import ParameterError
from convdepth.data.arrays import array_paths, read_split, write_split
from convdepth.studies import search

pytestmark = pytest.mark.usefixtures("one_thread")

TRIALS, EPOCHS = 6, 4
PARAMS = read_params(PROJECT / "params.yaml")
STUDIES = PROJECT / "studies" / "params.yaml"
SPACE = read_study_params(STUDIES).tuning.space
ARCHITECTURE = PARAMS.architectures["cnn7"]


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    return write_studies(tmp_path)


def write_studies(folder: Path) -> Path:
    path = folder / "studies.yaml"
    path.write_bytes(STUDIES.read_bytes())
    changes = {"trials": TRIALS, "startup_trials": 2, "epochs": EPOCHS, "precision": "float32"}
    edit(path, {f"tuning.{key}": value for key, value in changes.items()})
    return path


@pytest.fixture(scope="module")
def searched(
    params_text: str, normalized: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """What a whole search found, and its folder."""
    folder = tmp_path_factory.mktemp("searched")
    params = write_tiny_params(folder, params_text)
    return tune(params, write_studies(folder), normalized, folder), folder


def tune(
    params: Path, studies: Path, normalized: Path, folder: Path, name: str = "tiny"
) -> dict[str, Any]:
    search.main(
        name=name,
        normalized=normalized,
        summary=folder / "summary.json",
        checkpoints=folder / "checkpoints",
        code="of the tests",
        params=params,
        studies=studies,
    )
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_a_search_has_its_budget_and_names_the_best(
    searched: tuple[dict[str, Any], Path], studies: Path
) -> None:
    found, folder = searched
    assert [trial["trial"] for trial in found["trials"]] == list(range(TRIALS))
    assert found["notebook"] == found["trials"][0]
    assert found["notebook"]["settings"]["dropout_scale"] == 1
    assert found["notebook"]["settings"]["batch_normalization"] is False
    given = [each.model_dump() for each in read_study_params(studies).tuning.first]
    assert given
    assert [each["settings"] for each in found["trials"][1 : 1 + len(given)]] == given
    whole = [trial for trial in found["trials"] if not trial["ended_early"]]
    assert all(len(trial["accuracies"]) == EPOCHS for trial in whole)
    assert found["best"]["accuracy"] == max(trial["accuracy"] for trial in whole)
    assert found["best"] in found["trials"]
    assert not (folder / "checkpoints").exists()


def test_what_is_clearly_worse_than_most_ends_early(searched: tuple[dict[str, Any], Path]) -> None:
    found, _ = searched
    early = [trial for trial in found["trials"] if trial["ended_early"]]
    assert early, "the settings of this test no longer lead to a trial that is ended"
    for trial in early:
        done = len(trial["accuracies"])
        assert search.GRACE <= done < EPOCHS
        # Those that were whole before it had more at the same epoch, in the median.
        before = [
            each["accuracies"][done - 1]
            for each in found["trials"][: trial["trial"]]
            if not each["ended_early"]
        ]
        assert max(trial["accuracies"]) < np.median(before)


def test_an_interrupted_search_trains_no_whole_trial_again_and_ends_the_same(
    searched: tuple[dict[str, Any], Path],
    tiny_params: Path,
    studies: Path,
    normalized: Path,
    tmp_path: Path,
) -> None:
    expected, _ = searched
    second_trial = EPOCHS + 3
    with counted_epochs(interrupted=second_trial), pytest.raises(KeyboardInterrupt):
        tune(tiny_params, studies, normalized, tmp_path / "torn")
    with counted_epochs() as count:
        assert tune(tiny_params, studies, normalized, tmp_path / "torn") == expected
    total = sum(len(trial["accuracies"]) for trial in expected["trials"])
    assert count.done == total - EPOCHS


def test_the_test_set_has_no_say(
    searched: tuple[dict[str, Any], Path],
    tiny_params: Path,
    studies: Path,
    normalized: Path,
    tmp_path: Path,
) -> None:
    expected, _ = searched
    other = tmp_path / "other"
    for split in SPLITS:
        images, labels = read_split(normalized, split)
        if split == "test":
            labels = (9 - labels).astype(np.uint8)
        write_split(other, split, np.asarray(images), labels)
    assert array_paths(other) != array_paths(normalized)
    assert tune(tiny_params, studies, other, tmp_path / "two") == expected


@pytest.mark.parametrize("choices", [[False, True], [True]])
def test_the_first_trial_trains_the_network_unchanged(
    tiny_params: Path,
    studies: Path,
    normalized: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    choices: list[bool],
) -> None:
    tiny_params.write_text(tiny_params.read_text() + SECOND)
    edit(tiny_params, {"architectures.cnn9.block1.batch_normalization": True})
    edit(studies, {"tuning.first": [], "tuning.space.batch_normalization": choices})
    trained = []

    def fit(_title: str, architecture: Any, *_: object) -> tuple[None, list[dict[str, float]]]:
        trained.append(architecture)
        return None, [{"epoch": n, "val_accuracy": 0.5} for n in range(1, EPOCHS + 1)]

    monkeypatch.setattr(search, "fit", fit)
    found = tune(tiny_params, studies, normalized, tmp_path, "cnn9")
    assert trained[0] == read_architecture("cnn9", tiny_params)
    assert found["notebook"]["settings"]["batch_normalization"] is None
    normalize = {
        tuple(block.batch_normalization for block in each.blocks.values()) for each in trained[1:]
    }
    assert normalize <= {(False, False), (True, True)}


def test_a_scale_that_makes_a_rate_of_one_is_refused(
    tiny_params: Path, studies: Path, normalized: Path, tmp_path: Path
) -> None:
    edit(studies, {"tuning.space.dropout_scale.high": 5})
    with pytest.raises(ParameterError, match=r"tuning\.space\.dropout_scale\.high: "):
        tune(tiny_params, studies, normalized, tmp_path)


def draw(seed: int) -> Settings:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return search.suggest(study.ask(), SPACE)


@pytest.mark.parametrize("seed", range(20))
def test_suggested_settings_are_in_the_space_and_can_be_applied(seed: int) -> None:
    settings = draw(seed)
    for key, choices in SPACE:
        if isinstance(choices, Range):
            assert choices.low <= getattr(settings, key) <= choices.high
        else:
            assert getattr(settings, key) in choices
    architecture, recipe = apply(settings, ARCHITECTURE, PARAMS.train)
    assert search.settings_of(architecture, recipe) == settings
    assert (recipe.seed, recipe.epochs) == (PARAMS.train.seed, PARAMS.train.epochs)
    assert architecture.head == ARCHITECTURE.head


@pytest.mark.parametrize("network", PARAMS.architectures.values(), ids=PARAMS.architectures)
def test_the_notebooks_settings_are_in_the_space_and_change_nothing(network: Architecture) -> None:
    settings = search.settings_of(network, PARAMS.train)
    assert apply(settings, network, PARAMS.train) == (network, PARAMS.train)
    assert search.expressible(settings, SPACE) == settings.model_dump()
    assert (settings.learning_rate, settings.schedule) == (0.001, "constant")
    changes = {"learning_rate": 1.0, "batch_normalization": None}
    changed = settings.model_copy(update=changes)
    assert set(dict(settings)) - set(search.expressible(changed, SPACE)) == set(changes)


@pytest.mark.parametrize(
    ("blocks", "expected"), [((True, True), True), ((False, False), False), ((True, False), None)]
)
def test_normalization_of_some_blocks_is_no_setting(
    blocks: tuple[bool, ...], expected: bool | None
) -> None:
    block = {"conv1": {"filters": 4, "kernel_size": 3}, "pool_size": 2}
    entry = {
        f"block{number}": block | {"batch_normalization": normalizes}
        for number, normalizes in enumerate(blocks, start=1)
    }
    network = Architecture.model_validate(entry | {"head": {"units": 8}})
    settings = search.settings_of(network, PARAMS.train)
    assert settings.batch_normalization is expected
    assert apply(settings, network, PARAMS.train) == (network, PARAMS.train)

"""The command `tune`: reproducible, also after an interruption, and blind to the test set."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import optuna
import pytest
from epochs import PRETEND, counted_epochs, pretended_epochs
from study_inputs import Study, make_study

from conftest import PROJECT, SECOND
from convdepth.config.architecture import Architecture
from convdepth.config.dataset import SPLITS
from convdepth.config.params import read_architecture, read_params
from convdepth.config.studies import Range, Space, read_study_params
from convdepth.config.tuned_settings import Settings, apply
from convdepth.core.errors import ParameterError
from convdepth.data.arrays import read_split, write_split
from convdepth.studies import search
from project import edit_yaml

TRIALS, EPOCHS = 6, 4
PARAMS = read_params(PROJECT / "params.yaml")
TUNING = read_study_params(PROJECT / "studies" / "params.yaml").tuning
SPACE = TUNING.space


def tune(study: Study, folder: str = "", **arguments: Any) -> Any:
    changes = {"trials": TRIALS, "startup_trials": 2, "epochs": EPOCHS, "precision": "float32"}
    edit_yaml(study.studies, {f"tuning.{key}": value for key, value in changes.items()})
    paths = {"summary": f"{folder}/summary.json", "checkpoints": f"{folder}/checkpoints"}
    study.run(search.main, **paths, **arguments)
    return study.read(paths["summary"])


@pytest.fixture(scope="module", params=PRETEND)
def epochs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lower learning rates are better, and some settings end early."""
    with pretended_epochs(lambda _, recipe: 0.9 - 30 * recipe.learning_rate, pretend=request.param):
        yield


@pytest.fixture(scope="module")
def searched(
    epochs: None,  # noqa: ARG001
    params_text: str,
    normalized: Any,
    tmp_path_factory: pytest.TempPathFactory,
    one_thread: None,  # noqa: ARG001
) -> Any:
    """What a whole search found."""
    study = make_study(tmp_path_factory.mktemp("searched"), params_text, normalized)
    found = tune(study, "whole")
    assert not (study.folder / "whole" / "checkpoints").exists()
    return found


def test_a_search_has_its_budget_ends_bad_trials_early_and_names_the_best(searched: Any) -> None:
    trials, notebook = searched["trials"], searched["notebook"]
    assert [trial["trial"] for trial in trials] == list(range(TRIALS))
    assert notebook == trials[0]
    assert notebook["settings"]["dropout_scale"] == 1
    assert notebook["settings"]["batch_normalization"] is False
    given = [each.model_dump() for each in TUNING.first]
    assert [each["settings"] for each in trials[1 : 1 + len(given)]] == given
    whole = [trial for trial in trials if not trial["ended_early"]]
    assert all(len(trial["accuracies"]) == EPOCHS for trial in whole)
    assert searched["best"]["accuracy"] == max(trial["accuracy"] for trial in whole)
    assert searched["best"] in trials
    early = [trial for trial in trials if trial["ended_early"]]
    assert early, "the settings of this test no longer lead to a trial that is ended"
    for trial in early:
        done = len(trial["accuracies"])
        assert search.GRACE <= done < EPOCHS
        # Those that were whole before it had more at the same epoch, in the median.
        before = [each["accuracies"][done - 1] for each in whole if each["trial"] < trial["trial"]]
        assert max(trial["accuracies"]) < np.median(before)


def test_an_interrupted_search_trains_no_whole_trial_again_and_never_asks_the_test_set(
    searched: Any, study: Study
) -> None:
    other = study.folder / "other"
    for split in SPLITS:
        images, labels = read_split(study.normalized, split)
        write_split(other, split, images, (9 - labels).astype("u1") if split == "test" else labels)
    second_trial = EPOCHS + 3
    with counted_epochs(interrupted=second_trial), pytest.raises(KeyboardInterrupt):
        tune(study, normalized=other)
    with counted_epochs() as count:
        assert tune(study, normalized=other) == searched
    total = sum(len(trial["accuracies"]) for trial in searched["trials"])
    assert count.done == total - EPOCHS


@pytest.mark.parametrize(
    "choices", [[False, True], pytest.param([True], marks=pytest.mark.nightly)]
)
def test_the_first_trial_trains_the_network_unchanged(
    study: Study, monkeypatch: pytest.MonkeyPatch, choices: list[bool]
) -> None:
    study.params.write_text(study.params.read_text() + SECOND)
    edit_yaml(study.params, {"architectures.cnn9.block1.batch_normalization": True})
    edit_yaml(study.studies, {"tuning.first": [], "tuning.space.batch_normalization": choices})
    trained = []

    def fit(_title: str, architecture: Any, *_: object) -> tuple[None, list[dict[str, float]]]:
        trained.append(architecture)
        return None, [{"epoch": n, "val_accuracy": 0.5} for n in range(1, EPOCHS + 1)]

    monkeypatch.setattr(search, "fit", fit)
    found = tune(study, name="cnn9")
    assert trained[0] == read_architecture("cnn9", study.params)
    assert found["notebook"]["settings"]["batch_normalization"] is None
    normalize = {
        tuple(block.batch_normalization for block in each.blocks.values()) for each in trained[1:]
    }
    assert normalize <= {(each, each) for each in choices}


def test_a_scale_that_makes_a_rate_of_one_is_refused(study: Study) -> None:
    edit_yaml(study.studies, {"tuning.space.dropout_scale.high": 5})
    with pytest.raises(ParameterError, match=r"tuning\.space\.dropout_scale\.high: "):
        tune(study)


@pytest.mark.parametrize("seed", range(20))
def test_suggested_settings_are_in_the_space_and_can_be_applied(seed: int) -> None:
    sampled = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    settings = Settings(**search.suggest(sampled.ask(), SPACE, Space.model_fields))
    for key, choices in SPACE:
        if isinstance(choices, Range):
            assert choices.low <= getattr(settings, key) <= choices.high
        else:
            assert getattr(settings, key) in choices
    network = PARAMS.architectures["cnn7"]
    architecture, recipe = apply(settings, network, PARAMS.train)
    assert search.settings_of(architecture, recipe) == settings
    assert (recipe.seed, recipe.epochs) == (PARAMS.train.seed, PARAMS.train.epochs)
    assert architecture.head == network.head


@pytest.mark.parametrize("network", PARAMS.architectures.values(), ids=PARAMS.architectures)
def test_the_notebooks_settings_are_in_the_space_and_change_nothing(network: Architecture) -> None:
    settings = search.settings_of(network, PARAMS.train)
    assert apply(settings, network, PARAMS.train) == (network, PARAMS.train)
    assert search.expressible(settings, SPACE) == settings.model_dump()
    assert (settings.learning_rate, settings.schedule) == (0.001, "constant")
    changes = {"learning_rate": 1.0, "batch_normalization": None}
    changed = settings.model_copy(update=changes)
    assert set(dict(settings)) - set(search.expressible(changed, SPACE)) == set(changes)

"""Settings: they come from the space, and go where they belong."""

import optuna
import pytest

from conftest import PROJECT
from convdepth.params import read_params
from convdepth.study_params import Range, Space, read_study_params
from convdepth.tuning import apply, settings_of, suggest

PARAMS = read_params(PROJECT / "params.yaml")
SPACE = read_study_params(PROJECT / "studies" / "params.yaml").tuning.space
ARCHITECTURE = PARAMS.architectures["cnn7"]


def draw(seed: int) -> optuna.trial.Trial:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return study.ask()


@pytest.mark.parametrize("seed", range(20))
def test_what_is_suggested_is_in_the_space(seed: int) -> None:
    settings = suggest(draw(seed), SPACE).model_dump()
    assert set(settings) == set(Space.model_fields)
    for key, choices in SPACE:
        if isinstance(choices, Range):
            assert choices.low <= settings[key] <= choices.high
        else:
            assert settings[key] in choices


def test_settings_come_back_from_where_they_were_put() -> None:
    settings = suggest(draw(3), SPACE)
    architecture, recipe = apply(settings, ARCHITECTURE, PARAMS.train)
    assert settings_of(architecture, recipe) == settings
    assert (recipe.seed, recipe.epochs) == (PARAMS.train.seed, PARAMS.train.epochs)
    assert architecture.head == ARCHITECTURE.head


def test_the_notebook_has_none_of_what_it_does_not_have() -> None:
    settings = settings_of(ARCHITECTURE, PARAMS.train)
    assert apply(settings, ARCHITECTURE, PARAMS.train) == (ARCHITECTURE, PARAMS.train)
    assert settings.model_dump() == {
        "learning_rate": 0.001,
        "schedule": "constant",
        "weight_decay": 0,
        "label_smoothing": 0,
        "shift": 0,
        "rotation": 0,
        "zoom": 0,
        "dropout_scale": 1,
        "batch_normalization": False,
    }


def test_the_notebook_s_settings_are_in_the_space_too() -> None:
    for architecture in PARAMS.architectures.values():
        for key, value in settings_of(architecture, PARAMS.train):
            choices = getattr(SPACE, key)
            if isinstance(choices, Range):
                assert choices.low <= value <= choices.high
            else:
                assert value in choices

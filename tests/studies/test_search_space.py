"""Settings of a search: drawn from a space, and applied to a network and its recipe."""

import optuna
import pytest
from convdepth.studies.search_space import expressible, settings_of, suggest

from conftest import PROJECT
from convdepth.config.architecture import Architecture
from convdepth.config.params import read_params
from convdepth.config.studies import Range, Space, read_study_params
from convdepth.config.tuned_settings import Settings, apply

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


def test_the_notebooks_own_settings_change_nothing() -> None:
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
        "optimizer": "adam",
    }


@pytest.mark.parametrize("name", PARAMS.architectures)
def test_the_space_contains_the_notebooks_settings(name: str) -> None:
    settings = settings_of(PARAMS.architectures[name], PARAMS.train)
    assert expressible(settings, SPACE) == settings.model_dump()


def test_settings_outside_the_space_are_left_out() -> None:
    settings = settings_of(ARCHITECTURE, PARAMS.train)
    changes = {"learning_rate": 1.0, "batch_normalization": None}
    changed = Settings(**settings.model_dump() | changes)
    assert set(settings.model_dump()) - set(expressible(changed, SPACE)) == set(changes)


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
    settings = settings_of(network, PARAMS.train)
    assert settings.batch_normalization is expected
    assert apply(settings, network, PARAMS.train) == (network, PARAMS.train)

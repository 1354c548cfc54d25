"""Settings that a tuning tries: which ones a network has, and how others are chosen."""

from typing import TYPE_CHECKING, Any

from convdepth.config.architecture import Architecture
from convdepth.config.recipe import Train
from convdepth.config.studies import Range, Space
from convdepth.config.tuned_settings import AUGMENTATION, RECIPE, Settings

if TYPE_CHECKING:
    import optuna


def suggest(trial: "optuna.trial.Trial", space: Space) -> Settings:
    """Choose settings.

    Args:
        trial: Knows the trials before it.
        space: What to choose from.

    Returns:
        One value for each key; numbers with four significant digits.
    """
    settings: dict[str, Any] = {}
    for key in Space.model_fields:
        value = suggest_value(trial, space, key)
        settings[key] = float(f"{value:.4g}") if isinstance(value, float) else value
    return Settings(**settings)


def suggest_value(trial: "optuna.trial.Trial", space: Space, key: str) -> Any:
    """Choose the value of one setting.

    Args:
        trial: Knows the trials before it, and the values that it was enqueued with.
        space: What to choose from.
        key: Which setting.
    """
    choices = getattr(space, key)
    if isinstance(choices, Range):
        return trial.suggest_float(key, choices.low, choices.high, log=choices.log)
    # Of one value nothing is drawn, so a new setting leaves the draws of the others as they were.
    return choices[0] if len(choices) == 1 else trial.suggest_categorical(key, choices)


def expressible(settings: Settings, space: Space) -> dict[str, Any]:
    """Return the settings that a space contains, by key.

    Args:
        settings: Any settings.
        space: What a search chooses from.
    """
    return {key: value for key, value in settings if value in getattr(space, key)}


def settings_of(architecture: Architecture, recipe: Train) -> Settings:
    """Return the settings that a network has now.

    Args:
        architecture: Gives the dropout scale, and whether its blocks are normalized.
        recipe: Gives all others.
    """
    normalized = {block.batch_normalization for block in architecture.blocks.values()}
    return Settings(
        **{key: getattr(recipe, key) for key in RECIPE},
        **{key: getattr(recipe.augmentation, key) for key in AUGMENTATION},
        dropout_scale=architecture.dropout_scale,
        batch_normalization=normalized.pop() if len(normalized) == 1 else None,
    )

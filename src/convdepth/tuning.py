"""Settings that a tuning tries: which ones a network has, and how others are chosen."""

from typing import TYPE_CHECKING, Any

from convdepth.architecture import Architecture
from convdepth.recipe import Train
from convdepth.study_params import Range, Space
from convdepth.tuned_settings import AUGMENTATION, RECIPE, Settings

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
    for key, choices in space:
        if isinstance(choices, Range):
            value = trial.suggest_float(key, choices.low, choices.high, log=choices.log)
            settings[key] = float(f"{value:.4g}")
        else:
            settings[key] = trial.suggest_categorical(key, choices)
    return Settings(**settings)


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

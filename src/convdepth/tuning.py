"""Settings that a tuning tries: what they change, and how they are chosen."""

from typing import TYPE_CHECKING, Any

from convdepth.architecture import Architecture
from convdepth.params import Augmentation, Train
from convdepth.study_params import Range, Settings, Space

if TYPE_CHECKING:  # who only applies settings needs no search
    import optuna

RECIPE = ("learning_rate", "schedule", "weight_decay", "label_smoothing")
"""Those that are keys of ``train`` as they are."""

AUGMENTATION = ("shift", "rotation", "zoom")
"""Those that are keys of ``train.augmentation``."""


def suggest(trial: "optuna.trial.Trial", space: Space) -> Settings:
    """Choose settings.

    Args:
        trial: Knows what came out before.
        space: What to choose from.

    Returns:
        One value for each key; numbers with four digits that count.
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
    """Give the settings that a network has now.

    Args:
        architecture: Gives the dropout scale, and whether its blocks are normalized.
        recipe: Gives all others.
    """
    normalized = [block.batch_normalization for block in architecture.blocks.values()]
    return Settings(
        **{key: getattr(recipe, key) for key in RECIPE},
        **{key: getattr(recipe.augmentation, key) for key in AUGMENTATION},
        dropout_scale=architecture.dropout_scale,
        batch_normalization=all(normalized),
    )


def apply(
    settings: Settings, architecture: Architecture, recipe: Train
) -> tuple[Architecture, Train]:
    """Put settings into the place of those that a network has.

    Args:
        settings: From `suggest`.
        architecture: What is changed: its dropout scale, and the normalization of all blocks.
        recipe: What is changed: all else.

    Returns:
        The changed ones; what settings do not name is as before.
    """
    blocks = {
        name: block.model_copy(update={"batch_normalization": settings.batch_normalization})
        for name, block in architecture.blocks.items()
    }
    changed = {"blocks": blocks, "dropout_scale": settings.dropout_scale}
    augmentation = Augmentation(**{key: getattr(settings, key) for key in AUGMENTATION})
    adapted = {key: getattr(settings, key) for key in RECIPE} | {"augmentation": augmentation}
    return architecture.model_copy(update=changed), recipe.model_copy(update=adapted)

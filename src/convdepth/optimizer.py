"""The optimizer of a training, and how fast it learns."""

from convdepth.recipe import Train
from convdepth.runtime import keras


def build_optimizer(recipe: Train, images: int) -> keras.optimizers.Adam:
    """Build the notebook's optimizer, Adam with Keras's defaults, and with what the recipe adds.

    Args:
        recipe: Gives the learning rate and the weight decay, which is taken off the weights
            themselves, and not added to the loss (Loshchilov and Hutter 2019, arXiv:1711.05101).
        images: How many an epoch trains on.
    """
    optimizer = keras.optimizers.Adam(
        learning_rate(recipe, images), weight_decay=recipe.weight_decay or None
    )
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


def learning_rate(
    recipe: Train, images: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Say how fast to learn, by the number of steps that are done.

    A ``one_cycle`` rises in a line from 0, and then falls along a cosine to 0: the first and the
    last part of Smith's policy (2018, arXiv:1803.09820), its momentum left as it is. A ``cosine``
    only falls (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts).

    Args:
        recipe: Gives the schedule, its highest value, epochs and batch size.
        images: How many an epoch trains on.

    Returns:
        What Keras's optimizers take.
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    steps = recipe.epochs * recipe.batches(images)
    rising = int(recipe.warmup * steps) if recipe.schedule == "one_cycle" else 0
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rising else recipe.learning_rate,
        decay_steps=steps - rising,
        warmup_target=recipe.learning_rate if rising else None,
        warmup_steps=rising,
    )

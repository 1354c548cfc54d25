"""The trainer: a network compiled with its images, its optimizer and its loss."""

import math

from convdepth.config.architecture import Architecture
from convdepth.config.recipe import Augmentation, Train
from convdepth.models.backend import gpus, keras, tf
from convdepth.models.build import build_network
from convdepth.models.xla import COMPILED, PLAIN, KerasClasses
from convdepth.training.data import TakeRows, TrainingData, augmentation_layers, batches
from convdepth.training.loss import CheckedLoss
from convdepth.training.optimizer import build_optimizer

STEPS_PER_EXECUTION = 10
"""Batches that TensorFlow trains in one call; a signal waits for its end, about 0.5 s."""

XLA_TOLERANCE = 0.01
"""Largest relative difference of the loss after the first steps; wrong sums make it 1."""


def build_trainer(
    architecture: Architecture, recipe: Train, data: TrainingData
) -> keras.Sequential:
    """Build a network with fresh weights, and compile it with its images, optimizer and loss.

    The model maps rows ``(n,)``, int64, of the images to probabilities ``(n, 10)``. Its last layer
    is the network; no other layer has weights.
    """
    return assemble(architecture, recipe, data, choose_classes(architecture, recipe, data))


def choose_classes(architecture: Architecture, recipe: Train, data: TrainingData) -> KerasClasses:
    """Return `COMPILED` on a GPU where XLA works, else `PLAIN`.

    XLA cannot interpolate, so it does not serve with augmentation. Else a trial decides, without
    dropout, since XLA draws other masks.
    """
    if not gpus() or recipe.augmentation != Augmentation():
        return PLAIN
    undropped = architecture.model_copy(update={"dropout_scale": 0.0})
    try:
        compiled, plain = (
            _first_loss(assemble(undropped, recipe, data, classes), recipe, data)
            for classes in (COMPILED, PLAIN)
        )
    except tf.errors.OpError as error:
        reason = str(error.message).partition("\n")[0]
    else:
        if math.isclose(compiled, plain, rel_tol=XLA_TOLERANCE):
            return COMPILED
        reason = f"the loss of the first steps is {compiled:.6g} with it, {plain:.6g} without"
    print(f"XLA is off for this training: {reason}", flush=True)
    return PLAIN


def assemble(
    architecture: Architecture, recipe: Train, data: TrainingData, classes: KerasClasses
) -> keras.Sequential:
    """Do the same as `build_trainer` with the given classes."""
    network = build_network(architecture, recipe.precision, recipe.seed, classes.layers)
    augmentation = augmentation_layers(recipe.augmentation)
    trainer = classes.model(
        [keras.Input((), dtype="int64"), TakeRows(data), *augmentation, network]
    )
    optimizer = build_optimizer(recipe, len(data.training.rows))
    trainer.compile(
        optimizer=optimizer,
        loss=CheckedLoss(optimizer, recipe.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
        jit_compile=False,  # a `CompiledSequential` uses XLA all the same
    )
    optimizer.build(trainer.trainable_variables)
    return trainer


def _first_loss(trainer: keras.Sequential, recipe: Train, data: TrainingData) -> float:
    """Return the mean loss of the first `STEPS_PER_EXECUTION` steps."""
    rows = data.training.rows[: STEPS_PER_EXECUTION * recipe.batch_size]
    chosen = batches(data.training, rows, recipe.batch_size)
    return float(trainer.fit(chosen, shuffle=False, verbose=0).history["loss"][0])

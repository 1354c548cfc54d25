"""This project's training, by the functions of the stage."""

import argparse
import dataclasses
import itertools
from pathlib import Path
from unittest import mock

import numpy as np
from protocol import serve

from convdepth.config.params import find_architecture, read_params
from convdepth.config.recipe import Train
from convdepth.models.backend import configure, tf
from convdepth.models.xla import PLAIN
from convdepth.training import trainer as trainer_module
from convdepth.training.data import read_training_data
from convdepth.training.loop import train_epoch
from convdepth.training.progress import TrainingProgress
from convdepth.training.trainer import build_trainer


def main() -> None:
    """Build the network and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--preset")
    parser.add_argument("--precision")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--portable", action="store_true")
    parser.add_argument("--normalized", type=Path, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--steps", type=int, help="batches per call of TensorFlow")
    parser.add_argument("--any-order", action="store_true", help="allow any order of sums")
    parser.add_argument("--no-xla", action="store_true", help="disable XLA")
    arguments = parser.parse_args()
    params = read_params(arguments.params)
    preset = params.presets[arguments.preset] if arguments.preset else None
    given = {key: getattr(arguments, key) for key in ("precision", "threads", "portable")}
    recipe = Train.model_validate(
        params.train.model_dump()
        | (preset.model_dump(exclude_unset=True) if preset else {})
        | {key: value for key, value in given.items() if value is not None}
    )
    if arguments.steps:
        trainer_module.STEPS_PER_EXECUTION = arguments.steps
    if arguments.any_order:
        with mock.patch.object(tf.config.experimental, "enable_op_determinism"):
            configure(recipe.threads, portable=recipe.portable)
    else:
        configure(recipe.threads, portable=recipe.portable)
    data = read_training_data(arguments.normalized, recipe)
    data = data._replace(
        training=dataclasses.replace(data.training, rows=np.arange(arguments.images)),
        validation=dataclasses.replace(data.validation, rows=np.arange(arguments.images // 6)),
    )
    if arguments.no_xla:
        trainer_module.choose_classes = lambda *_: PLAIN
    params = params.model_copy(update={"train": recipe})
    architecture = find_architecture(arguments.name, params, arguments.params)
    trainer = build_trainer(architecture, recipe, data)
    numbers = itertools.count(1)

    def unit() -> int:
        epoch = next(numbers)
        with TrainingProgress(arguments.name, epoch, arguments.images, done=epoch - 1) as progress:
            train_epoch(trainer, recipe, epoch, data, progress)
        return int(arguments.images)

    serve(unit)


if __name__ == "__main__":
    main()

"""Does dynamic data pruning (InfoBatch) shorten the notebook's 12 epochs at equal accuracy?

InfoBatch (Qin et al. 2024, arXiv:2303.04947): an image whose last loss is below the mean of all is
left out of an epoch with probability `PRUNED`, else its gradient counts ``1 / (1 - PRUNED)`` times.
The last epochs train on all images. Each row of ``benchmarks/results/data_pruning.csv`` is one
training in bfloat16, with the accuracy on 10,000 held-out training images. The test set is not
read. Trainings in that file are not repeated.
"""

import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
from networks import NORMALIZED, PARAMS, PROJECT
from reporting import FOLDER, make_parser, write_rows, write_section
from scipy.stats import ttest_rel

from convdepth.config.recipe import read_training
from convdepth.models.backend import EVALUATION_BATCH_SIZE, configure, keras, tf
from convdepth.training.data import read_training_data
from convdepth.training.loop import seed_random_layers
from convdepth.training.trainer import build_trainer
from pipelines.execution.concurrency import fill_cores

NETWORKS = ("cnn3",)
"""One network decides: pruning must keep the accuracy of each."""
SEEDS = (1, 2, 3, 4, 5)
HELD_OUT = 10_000

PRUNED = 0.5
PRUNING_SHARE = 0.875
"""Of the epochs; the authors' values."""

KEY = ["network", "seed", "pruning"]


def main() -> None:
    """Train what the file lacks, write its rows as they come, and the table."""
    make_parser(__doc__).parse_args()
    known = read_rows()
    done = set(known[KEY].itertuples(index=False, name=None))
    waiting = [each for each in product(NETWORKS, SEEDS, (False, True)) if each not in done]
    # A process per training: TensorFlow's threads and memory end with it.
    pool = ProcessPoolExecutor(fill_cores(PROJECT), get_context("spawn"), max_tasks_per_child=1)
    with pool:
        for result in as_completed([pool.submit(train, *each) for each in waiting]):
            print(result.result(), flush=True)
            known = pd.concat([known, pd.DataFrame([result.result()])]).sort_values(KEY)
            write_rows("data_pruning", known)
    write_section("data_pruning", table())


def read_rows() -> pd.DataFrame:
    """Read the trainings so far."""
    path = FOLDER / "results" / "data_pruning.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=KEY)


def train(network: str, seed: int, pruning: bool) -> dict[str, Any]:
    """Train one network by the notebook's recipe, with or without pruning."""
    architecture, recipe = read_training(network, PARAMS)
    recipe = recipe.with_precision("mixed_bfloat16").model_copy(
        update={"seed": seed, "validation_images": HELD_OUT}
    )
    configure(recipe.threads, portable=recipe.portable)
    data = read_training_data(NORMALIZED, recipe)
    trainer = build_trainer(architecture, recipe, data)

    def step(rows: Any, labels: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            probabilities = trainer(rows, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            loss = tf.reduce_mean(weights * losses)
        variables = trainer.trainable_variables
        trainer.optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables, strict=True)
        )
        return losses

    traced_step = tf.function(step, reduce_retracing=True)
    training, validation = data
    losses = np.ones(len(training.labels), np.float32)  # equal: the first epoch leaves out none
    trained, started = 0, time.process_time()
    for epoch in range(1, recipe.epochs + 1):
        seed_random_layers(trainer, seed, epoch)
        random = np.random.default_rng([seed, epoch])
        easy = losses < losses[training.rows].mean()
        easy &= pruning and epoch <= PRUNING_SHARE * recipe.epochs
        rows = random.permutation(training.rows)
        rows = rows[~(easy[rows] & (random.random(len(rows)) < PRUNED))]
        weights = np.where(easy, 1 / (1 - PRUNED), 1).astype(np.float32)
        for first in range(0, len(rows), recipe.batch_size):
            batch = rows[first : first + recipe.batch_size]
            arguments = (batch, training.labels[batch].astype(np.int32), weights[batch])
            losses[batch] = traced_step(*map(tf.constant, arguments)).numpy()
        trained += len(rows)
    seconds = time.process_time() - started
    answers = [
        np.argmax(trainer(tf.constant(rows), training=False), axis=1)
        for rows in np.split(validation.rows, len(validation.rows) // EVALUATION_BATCH_SIZE)
    ]
    right = np.concatenate(answers) == validation.labels[validation.rows]
    share = trained / (recipe.epochs * len(training.rows))
    return {
        **dict(zip(KEY, (network, seed, pruning), strict=True)),
        "accuracy": round(float(right.mean()), 6),
        "share_of_images": round(share, 4),
        "cpu_seconds": round(seconds, 1),
    }


def table() -> list[str]:
    """Return the lines for the README."""
    lines = [
        "| | accuracy, all images | with pruning | difference, points | images | CPU seconds |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for network, rows in read_rows().groupby("network"):
        without, pruned = (
            rows[rows["pruning"] == each].sort_values("seed") for each in (False, True)
        )
        interval = ttest_rel(pruned["accuracy"], without["accuracy"]).confidence_interval()
        difference = pruned["accuracy"].mean() - without["accuracy"].mean()
        lines.append(
            f"| `{network}` | {without['accuracy'].mean():.2%} | {pruned['accuracy'].mean():.2%} "
            f"| {100 * difference:+.2f} ({100 * interval.low:+.2f} to {100 * interval.high:+.2f}) "
            f"| {pruned['share_of_images'].mean():.0%} "
            f"| {pruned['cpu_seconds'].mean() / without['cpu_seconds'].mean():.0%} |"
        )
    return lines


if __name__ == "__main__":
    main()

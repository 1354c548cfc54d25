"""The stage `train`: train one network by the recipe; write its model and its history."""

from collections.abc import Callable
from pathlib import Path

from convdepth.config.architecture import Architecture
from convdepth.config.recipe import Train, read_training
from convdepth.core.files import write_text
from convdepth.data.arrays import array_paths
from convdepth.models.archive import save_network
from convdepth.models.backend import configure, keras
from convdepth.models.build import build_network
from convdepth.models.numeric_class import describe_numeric_class, write_record
from convdepth.training.checkpoints import Checkpoints, describe_training
from convdepth.training.data import TrainingData, read_training_data
from convdepth.training.loop import HISTORY, Epoch, Progress, ProgressMaker, train_epoch
from convdepth.training.trainer import build_trainer


def main(
    name: str,
    normalized: Path,
    model: Path,
    history: Path,
    checkpoints: Path,
    code: str,
    seed: int | None = None,
    params: Path = Path("params.yaml"),
    progress: ProgressMaker = Progress,
) -> None:
    """Train the architecture ``name``; write its model and its history.

    The model holds layers and weights, no optimizer; a record of its numeric class is written
    beside it. The history has the columns epoch, loss, accuracy, val_loss and val_accuracy.
    ``code`` is the digest of the code that trains; checkpoints of other code are not used. ``seed``
    replaces ``train.seed``.
    """
    architecture, recipe = read_training(name, params)
    title = name
    if seed is not None:
        title, recipe = f"{name} seed {seed}", recipe.model_copy(update={"seed": seed})
    train(title, architecture, recipe, normalized, model, history, checkpoints, code, progress)


def train(
    title: str,
    architecture: Architecture,
    recipe: Train,
    normalized: Path,
    model: Path,
    history: Path,
    checkpoints: Path,
    code: str,
    progress: ProgressMaker,
) -> None:
    """Do the same as `main` for given parameters; ``title`` is the label in the progress report."""
    data = read_training_data(normalized, recipe)
    configure(recipe.threads, portable=recipe.portable)
    kept = checkpoints_of(architecture, recipe, normalized, checkpoints, code)
    network, epochs = fit(title, architecture, recipe, data, kept, progress)
    save_network(network, model)
    lines = [
        f"{each['epoch']}," + ",".join(f"{each[key]:.6f}" for key in HISTORY) for each in epochs
    ]
    write_text(history, "\n".join([",".join(["epoch", *HISTORY]), *lines, ""]))
    write_record(model, kept.fingerprint["numeric class"])
    kept.clear()


def checkpoints_of(
    architecture: Architecture, recipe: Train, normalized: Path, folder: Path, code: str
) -> Checkpoints:
    """Return the checkpoints of a training, keyed by parameters, data, code and numeric class."""
    numeric_class = describe_numeric_class(recipe)
    data = array_paths(normalized)
    return Checkpoints(folder, describe_training(architecture, recipe, data, code, numeric_class))


def fit(
    title: str,
    architecture: Architecture,
    recipe: Train,
    data: TrainingData,
    kept: Checkpoints,
    progress: ProgressMaker = Progress,
    is_enough: Callable[[Epoch], bool] = lambda _epoch: False,
) -> tuple[keras.Model, list[Epoch]]:
    """Train a network, or resume its interrupted training; its checkpoints stay.

    ``is_enough`` is called after each epoch and returns True to stop early. If it reads the
    ``val_`` values, they must not be of the test set. The returned network is in float32 and has no
    optimizer; the history has one entry per epoch. A loss that is NaN or infinite is a
    `TrainingError`.
    """
    trainer = build_trainer(architecture, recipe, data)
    history, unused = kept.resume(trainer)
    for reason in unused:
        print(f"{title}  {reason}", flush=True)
    if history:
        print(f"{title}  was interrupted, and goes on after epoch {len(history)}", flush=True)
    with progress(title, recipe.epochs, len(data.training.rows), len(history)) as shown:
        while len(history) < recipe.epochs and not (history and is_enough(history[-1])):
            history.append(train_epoch(trainer, recipe, len(history) + 1, data, shown))
            kept.save(trainer, history)
    network = build_network(architecture)  # never compiled: its archive holds no optimizer
    network.set_weights(trainer.get_weights())
    return network, history

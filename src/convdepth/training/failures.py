"""What can go wrong within an epoch, and how it is told: no loss, or no memory."""

import contextlib
import math
import re
from collections.abc import Iterator

from convdepth.config.dataset import NUM_CLASSES
from convdepth.config.recipe import Train
from convdepth.core.errors import MachineError, TrainingError
from convdepth.models.backend import gpus, keras, tf


class CheckedLoss:
    """The notebook's categorical cross-entropy, without its one-hot labels, and always a number."""

    def __init__(self, optimizer: keras.Optimizer, label_smoothing: float = 0.0) -> None:
        """Set up.

        Args:
            optimizer: Counts the batches that are done.
            label_smoothing: The share of the loss that is the same for all classes (Szegedy et al.
                2016, arXiv:1512.00567); the notebook has none.
        """
        self.optimizer, self.label_smoothing = optimizer, label_smoothing
        self.done = tf.Variable(0, dtype=tf.int64, trainable=False)
        """Batches that were done before the one whose loss was computed last.

        The optimizer's own number may or may not count that one already.
        """

    def __call__(self, labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each image.

        Args:
            labels: ``(n,)``, 0 to 9.
            probabilities: ``(n, 10)``.

        Returns:
            ``(n,)``, in nats.

        Raises:
            tf.errors.InvalidArgumentError: One is no finite number; `explained_errors` says where.
        """
        losses = self._losses(labels, probabilities)
        done = tf.cast(tf.convert_to_tensor(self.optimizer.iterations), tf.int64)
        with tf.control_dependencies([self.done.assign(done)]):
            return tf.debugging.check_numerics(losses, "the loss")

    def _losses(self, labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        if not self.label_smoothing:
            return keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        # Keras has made floating point numbers of them.
        one_hot = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), NUM_CLASSES)
        return keras.losses.categorical_crossentropy(
            one_hot, probabilities, label_smoothing=self.label_smoothing
        )


@contextlib.contextmanager
def explained_errors(
    name: str, trainer: keras.Model, recipe: Train, epoch: int, images: int
) -> Iterator[None]:
    """Say where in a training the loss was no number, and what to do when memory is exhausted.

    Args:
        name: The architecture.
        trainer: A model whose loss is a `CheckedLoss`.
        recipe: Gives the batch size.
        epoch: Counted from 1.
        images: How many an epoch trains on.

    Raises:
        TrainingError: The loss is not a finite number: every weight is spoiled by then.
        MachineError: The block ran out of memory.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = re.search(r"the loss : Tensor had (\S+)", error.message)
        if not found:
            raise
        last = recipe.batches(images)
        batch = 1 + int(trainer.loss.done) - (epoch - 1) * last
        place = f"batch {batch} of {last}" if batch <= last else "the validation after it"
        raise _loss_error(found[1], name, epoch, place) from error
    except tf.errors.ResourceExhaustedError as error:
        device = ", ".join(gpus()) or "the machine"
        raise MachineError(
            f"{name}: the memory of {device} is exhausted: {error.message.partition(chr(10))[0]}. "
            f"Expected room for batches of {recipe.batch_size} images. Try train.batch_size: "
            f"{max(1, recipe.batch_size // 2)}, or end what else uses that memory."
        ) from error


def require_finite(loss: float, name: str, epoch: int, place: str) -> None:
    """See that a loss is a number.

    Args:
        loss: In nats.
        name: The architecture.
        epoch: Counted from 1.
        place: Where in the epoch, for the error.

    Raises:
        TrainingError: It is none.
    """
    if not math.isfinite(loss):
        raise _loss_error("NaN" if math.isnan(loss) else "Inf", name, epoch, place)


def _loss_error(found: str, name: str, epoch: int, place: str) -> TrainingError:
    return TrainingError(
        f"{name}: the loss is {found} in epoch {epoch}, {place}, expected a finite number; "
        f"no model was written. Lower train.learning_rate, or use another train.precision."
    )

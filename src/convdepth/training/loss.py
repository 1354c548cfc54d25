"""The loss: categorical cross-entropy that stops the training when it is NaN or infinite."""

from convdepth.config.dataset import NUM_CLASSES
from convdepth.models.backend import keras, tf

CHECKED = "the loss"
"""TensorFlow's error about a value that is not finite begins with it."""


class CheckedLoss:
    """The notebook's cross-entropy, from labels instead of one-hot vectors, checked in each batch.

    Args:
        optimizer: Counts the finished batches.
        label_smoothing: Share of the loss that is the same for all classes (Szegedy et al. 2016,
            arXiv:1512.00567); 0 in the notebook.

    Attributes:
        done: Number of batches finished before the batch whose loss was computed last. The
            optimizer's own number may or may not include that batch.
    """

    def __init__(self, optimizer: keras.Optimizer, label_smoothing: float = 0.0) -> None:
        self.optimizer, self.label_smoothing = optimizer, label_smoothing
        self.done = tf.Variable(0, dtype=tf.int64, trainable=False)

    def __call__(self, labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image in nats.

        Args:
            labels: ``(n,)`` or ``(n, 1)``, 0 to 9.
            probabilities: ``(n, 10)``.

        Raises:
            tf.errors.InvalidArgumentError: A loss is NaN or infinite; not in XLA-compiled code.
        """
        losses = self._losses(labels, probabilities)
        done = tf.cast(tf.convert_to_tensor(self.optimizer.iterations), tf.int64)
        with tf.control_dependencies([self.done.assign(done)]):
            return tf.debugging.check_numerics(losses, CHECKED)

    def _losses(self, labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        if not self.label_smoothing:
            return keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        # Keras hands the labels over as floating point numbers.
        one_hot = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), NUM_CLASSES)
        return keras.losses.categorical_crossentropy(
            one_hot, probabilities, label_smoothing=self.label_smoothing
        )

"""The loss: categorical cross-entropy that stops the training when it is NaN or infinite."""

from convdepth.config.dataset import NUM_CLASSES
from convdepth.models.backend import keras, tf

CHECKED = "the loss"
"""TensorFlow's error about a value that is not finite begins with it."""


class CheckedLoss:
    """The notebook's cross-entropy, from labels instead of one-hot vectors, checked in each batch.

    ``label_smoothing`` is the share of the loss that is the same for all classes (Szegedy et al.
    2016, arXiv:1512.00567). ``done`` counts the batches before the batch whose loss was computed
    last; the optimizer's own number may or may not include that batch.
    """

    def __init__(self, optimizer: keras.Optimizer, label_smoothing: float = 0.0) -> None:
        self.optimizer, self.label_smoothing = optimizer, label_smoothing
        self.done = tf.Variable(0, dtype=tf.int64, trainable=False)

    def __call__(self, labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image in nats, from ``(n,)`` or ``(n, 1)`` and ``(n, 10)``.

        Outside XLA-compiled code, a NaN or infinite loss is an `InvalidArgumentError`.
        """
        if self.label_smoothing:
            # Keras hands the labels over as floating point numbers.
            one_hot = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), NUM_CLASSES)
            losses = keras.losses.categorical_crossentropy(
                one_hot, probabilities, label_smoothing=self.label_smoothing
            )
        else:
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        done = tf.cast(tf.convert_to_tensor(self.optimizer.iterations), tf.int64)
        with tf.control_dependencies([self.done.assign(done)]):
            return tf.debugging.check_numerics(losses, CHECKED)

"""Keras's dropout, with half as many random bits: in bfloat16 they took a tenth of a training."""

from convdepth.models.backend import keras, tf

LEVELS = 2**16
"""How many values 16 random bits have."""


class SixteenBitDropout(keras.layers.Dropout):  # type: ignore[misc]  # Keras has no types
    """Dropout as in Keras, whose masks are drawn with 16 random bits for each value.

    Keras draws 32 of them, makes a number of them, and compares that with the rate. Here the bits
    themselves are compared, so the rate is rounded to 1/65,536. It is meant for training: what is
    saved has the layer of Keras, which does the same there, namely nothing.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Set a share of the values to zero, and scale the others so that the mean stays.

        Args:
            inputs: Of any shape; a floating point dtype.
            training: Whether to do so; else the inputs are returned.

        Returns:
            Of the shape and dtype of the inputs.
        """
        if not training or self.rate == 0:
            return inputs
        bits = _draw(tf.shape(inputs), self.seed_generator.next())
        scale = tf.cast(1 / (1 - self.rate), inputs.dtype)
        # One multiplication for the mask and the scale, and one on the way back.
        return inputs * tf.where(bits >= self._threshold, scale, tf.zeros_like(scale))

    @property
    def _threshold(self) -> tf.Tensor:
        return tf.constant(min(round(self.rate * LEVELS), LEVELS - 1), tf.uint16)


def _draw(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw integers from 0 to 65,535, two of each 32 bits that the generator gives."""
    count = tf.reduce_prod(shape)
    pairs = tf.random.stateless_uniform(
        [(count + 1) // 2], tf.cast(seed, tf.int32), minval=None, maxval=None, dtype=tf.int32
    )
    return tf.reshape(tf.reshape(tf.bitcast(pairs, tf.uint16), [-1])[:count], shape)

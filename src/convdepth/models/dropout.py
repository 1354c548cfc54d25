"""Keras's dropout with half as many random bits: in bfloat16 they took a tenth of a training."""

from convdepth.models.backend import keras, tf

LEVELS = 2**16
"""Number of values of 16 random bits."""


class SixteenBitDropout(keras.layers.Dropout):  # type: ignore[misc]  # Keras has no types
    """Dropout whose masks take 16 random bits for each value, so the rate is rounded to 1/65,536.

    It serves in training only. A saved network has Keras's layer.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """In training, set a share of the values to zero and scale the others to keep the mean."""
        if not training or self.rate == 0:
            return inputs
        bits = _draw(tf.shape(inputs), self.seed_generator.next())
        threshold = tf.constant(min(round(self.rate * LEVELS), LEVELS - 1), tf.uint16)
        scale = tf.cast(1 / (1 - self.rate), inputs.dtype)
        # One multiplication for mask and scale, and one on the way back.
        return inputs * tf.where(bits >= threshold, scale, tf.zeros_like(scale))


def _draw(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw integers from 0 to 65,535, two of each 32 bits that the generator gives."""
    count = tf.reduce_prod(shape)
    pairs = tf.random.stateless_uniform(
        [(count + 1) // 2], tf.cast(seed, tf.int32), minval=None, maxval=None, dtype=tf.int32
    )
    return tf.reshape(tf.reshape(tf.bitcast(pairs, tf.uint16), [-1])[:count], shape)

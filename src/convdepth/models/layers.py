"""Layers that replace Keras's: quicker, equal on every CPU, or fit for XLA.

A saved network has Keras's own layers, which have the same weights.
"""

import functools
from itertools import product
from typing import NamedTuple

from convdepth.models.backend import keras, tf

LEVELS = 2**16
"""Number of different dropout rates."""


class EightBitDropout(keras.layers.Dropout):  # type: ignore[misc]  # Keras has no types
    """Dropout whose masks take eight random bits a value; Keras's take a tenth of a training.

    A byte below the first eight bits of the rate drops a value. A byte equal to them compares a
    byte of another image with the next eight bits, so the rate is rounded to 1/65,536.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """In training, set a share of the values to zero and scale the others to keep the mean."""
        if not training or self.rate == 0:
            return inputs
        drawn = _draw(tf.size(inputs), self.seed_generator.next())
        first, second = divmod(min(round(self.rate * LEVELS), LEVELS - 1), 256)
        dropped = drawn < tf.constant(first, tf.uint8)
        if second:
            others = tf.roll(drawn, tf.size(drawn) // 2, axis=0)
            is_close = drawn == tf.constant(first, tf.uint8)
            dropped |= is_close & (others < tf.constant(second, tf.uint8))
        scale = tf.cast(1 / (1 - self.rate), inputs.dtype)
        # One multiplication for mask and scale, and one on the way back.
        factors = tf.where(dropped, tf.zeros_like(scale), scale)
        return inputs * tf.reshape(factors, tf.shape(inputs))


def _draw(count: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw ``count`` bytes, four of each 32 bits that the generator gives."""
    words = tf.random.stateless_uniform(
        [(count + 3) // 4], tf.cast(seed, tf.int32), minval=None, maxval=None, dtype=tf.int32
    )
    return tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count]


class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras's batch normalization without `rsqrt`, whose last bits differ between CPU makers."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalize each channel, in float32; in training by the batch's mean and variance."""
        images = tf.cast(inputs, tf.float32)
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            mean, variance = tf.nn.moments(images, self._reduction_axes)
            for moving, found in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + found * (1 - self.momentum))
        # TensorFlow turns a division by a square root into a product with rsqrt, but not this one.
        scale = tf.math.divide_no_nan(self.gamma, tf.sqrt(variance + self.epsilon))
        return tf.cast(images * scale + (self.beta - mean * scale), self.compute_dtype)


class SlicedMaxPooling2D(keras.layers.MaxPooling2D):  # type: ignore[misc]
    """Keras's pooling of squares that do not overlap, as a maximum of strided slices.

    XLA refuses the gradient of Keras's. The gradient goes to the first of equal values in a square.
    Incomplete squares are dropped.
    """

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Take the maximum of each square of ``(n, height, width, channels)``."""
        size = self.pool_size[0]
        height, width = (side // size * size for side in images.shape[1:3])
        slices = [
            images[:, row:height:size, column:width:size]
            for row, column in product(range(size), repeat=2)
        ]
        return functools.reduce(tf.maximum, slices)


class Layers(NamedTuple):
    """Keras's layers or their replacements."""

    dropout: type[keras.layers.Dropout] = keras.layers.Dropout
    normalization: type[keras.layers.BatchNormalization] = keras.layers.BatchNormalization
    pooling: type[keras.layers.MaxPooling2D] = keras.layers.MaxPooling2D


SAVED = Layers()
EVALUATED = Layers(normalization=BatchNormalization)
TRAINED = Layers(EightBitDropout, BatchNormalization)

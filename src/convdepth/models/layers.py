"""Layers that replace Keras's: quicker, equal on every CPU, or fit for XLA.

A saved network has Keras's own layers, which have the same weights.
"""

import functools
import math
from itertools import product
from typing import Any, NamedTuple, cast

from convdepth.models.backend import gpus, keras, tf

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
        if training:
            outputs, mean, variance = _normalize(inputs, self.gamma, self.beta, self.epsilon)
            self._move(mean, variance)
            return outputs
        # TensorFlow turns a division by a square root into a product with rsqrt, but not this one.
        root = tf.sqrt(self.moving_variance + self.epsilon)
        scale = tf.math.divide_no_nan(self.gamma, root)
        images = tf.cast(inputs, tf.float32)
        return tf.cast(images * scale + (self.beta - self.moving_mean * scale), self.compute_dtype)

    def _move(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        for moving, found in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + found * (1 - self.momentum))


def _as_rows(images: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.cast(images, tf.float32), [-1, math.prod(images.shape[1:])])


def _normalize(
    inputs: tf.Tensor, gamma: keras.Variable, beta: keras.Variable, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return images ``(n, height, width, channels)`` normalized, and the batch's mean and variance.

    A row is an image, so vector instructions fit any number of channels.
    """
    _, height, width, channels = inputs.shape
    num_pixels = height * width
    count = tf.cast(tf.size(inputs) // channels, tf.float32)

    def total(rows: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.reshape(tf.reduce_sum(rows, 0), [num_pixels, channels]), 0)

    def each_pixel(values: tf.Tensor) -> tf.Tensor:
        return tf.tile(values, [num_pixels])

    def as_images(rows: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.reshape(rows, tf.shape(inputs)), inputs.dtype)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def normalize(images: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        rows = _as_rows(images)
        mean = total(rows) / count
        centred = rows - each_pixel(mean)
        variance = total(tf.square(centred)) / count
        root = tf.sqrt(variance + epsilon)
        scale = tf.math.divide_no_nan(gamma, root)  # see BatchNormalization.call
        outputs = as_images(centred * each_pixel(scale) + each_pixel(beta))

        # Ioffe and Szegedy 2015, arXiv:1502.03167, section 3.
        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
            rows = _as_rows(upstream)
            of_beta, product = total(rows), total(rows * centred)
            slope = -scale * product / (count * (variance + epsilon))
            moved = centred * each_pixel(slope) - each_pixel(scale * of_beta / count)
            of_rows = rows * each_pixel(scale) + moved
            return as_images(of_rows), tf.math.divide_no_nan(product, root), of_beta

        return (outputs, mean, variance), gradient

    values = (inputs, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))
    return cast("tuple[tf.Tensor, tf.Tensor, tf.Tensor]", normalize(*values))


class FusedBatchNormalization(BatchNormalization):
    """In training, one operation of oneDNN where that is quicker than `_normalize`.

    It takes less than half the time, see ``studies/LOG.md``. It may use `rsqrt`: bfloat16 is never
    portable.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalize as `BatchNormalization` does."""
        # In float32 it is slower, and other numbers of channels have no vector instructions.
        is_quicker = inputs.dtype == tf.bfloat16 and inputs.shape[-1] % 16 == 0 and not gpus()
        if not (training and is_quicker):
            return super().call(inputs, training)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        self._move(mean, variance * ((count - 1) / count))  # Keras's has no Bessel correction
        return outputs


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
TRAINED = Layers(EightBitDropout, FusedBatchNormalization)

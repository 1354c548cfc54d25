"""The optimizer of a training and its learning rate."""

from collections.abc import Callable
from typing import Any

from convdepth.config.recipe import Optimizer, Train
from convdepth.models.backend import keras, tf

Rate = Any  # a number, or a schedule of Keras, which has no types

_KERAS = keras.optimizers


class FusedAdam(keras.optimizers.Adam):  # type: ignore[misc]  # Keras has no types
    """Keras's Adam as one operation of TensorFlow for each variable instead of twelve."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        """Update a variable and its two moments."""
        number = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].value.handle,
            v=self._velocities[number].value.handle,
            beta1_power=tf.pow(tf.constant(self.beta_1), step),
            beta2_power=tf.pow(tf.constant(self.beta_2), step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class KernelMuon(keras.optimizers.Muon):  # type: ignore[misc]  # Keras has no types
    """Muon (Jordan et al. 2024) for kernels, which orthogonalizes their updates; Adam for the rest.

    Keras's Muon leaves convolutions to Adam, and multiplies by whole kernels in each iteration.
    """

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        return len(variable.shape) < 2 or "softmax" in variable.path

    def zeropower_via_newtonschulz5(self, x: tf.Tensor, steps: int) -> tf.Tensor:
        """Orthogonalize the matrix ``(height * width * inputs, outputs)`` of a kernel's update."""
        matrix = tf.reshape(x, [-1, x.shape[-1]])
        matrix /= tf.norm(matrix) + 1e-7
        gram = tf.matmul(matrix, matrix, transpose_a=True)
        one = product = tf.eye(x.shape[-1])
        for _ in range(steps):
            factor = self.muon_a * one + self.muon_b * gram + self.muon_c * gram @ gram
            product, gram = product @ factor, factor @ gram @ factor
        # As large as an update of Adam with the same learning rate (Liu et al. 2025).
        scale = 0.2 * max(matrix.shape) ** 0.5
        return tf.reshape(scale * matrix @ product, x.shape)


BUILDERS: dict[Optimizer, Callable[[Rate, float | None], keras.Optimizer]] = {
    "adam": lambda rate, decay: FusedAdam(rate, weight_decay=decay),
    "sgd": lambda rate, decay: _KERAS.SGD(rate, weight_decay=decay),
    "adamw": lambda rate, decay: _KERAS.AdamW(rate, weight_decay=decay or 0.0),
    "muon": lambda rate, decay: KernelMuon(
        rate,
        momentum=0.9,
        adam_lr_ratio=0.5,
        rms_rate=None,
        weight_decay=decay,
        adam_weight_decay=decay,
    ),
}
"""Each optimizer from its learning rate and its weight decay, None for none."""


def build_optimizer(recipe: Train, images: int) -> keras.Optimizer:
    """Build the optimizer of a recipe for ``images`` training images, with Keras's defaults.

    The weight decay is subtracted from the weights, not added to the loss (Loshchilov and Hutter
    2019, arXiv:1711.05101). Biases and normalizations have none.
    """
    rate = learning_rate(recipe, images)
    optimizer = BUILDERS[recipe.optimizer](rate, recipe.weight_decay or None)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


def learning_rate(recipe: Train, images: int) -> Rate:
    """Return the learning rate by the number of finished steps, as Keras's optimizers take it.

    With ``steps = epochs * batches`` and ``rising = warmup * steps``, at step t:

    - ``constant``: ``rate``
    - ``cosine``: ``rate * (1 + cos(pi * t / steps)) / 2`` (Loshchilov and Hutter 2017,
      arXiv:1608.03983, without restarts)
    - ``one_cycle``: ``rate * t / rising``, then ``cosine`` over the other steps; the first and the
      last part of Smith's policy (2018, arXiv:1803.09820) with constant momentum
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    steps = recipe.epochs * recipe.batches(images)
    rising = int(recipe.warmup * steps) if recipe.schedule == "one_cycle" else 0
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rising else recipe.learning_rate,
        decay_steps=steps - rising,
        warmup_target=recipe.learning_rate if rising else None,
        warmup_steps=rising,
    )

"""SGD in Caffe's order and the learning-rate schedules (Sect. 3.1)."""

from collections.abc import Sequence

import flax.struct
import jax
import numpy as np
import optax

DROP_FACTOR = 0.1


def sgd(
  learning_rate: float | optax.Schedule,
  *,
  momentum: float = 0.9,
  weight_decay: float = 5e-4,
  caffe_bias: bool = False,
) -> optax.GradientTransformation:
  """SGD with momentum, the learning rate inside the velocity (Sect. 3.1).

  v <- momentum * v + rate * (gradient + weight_decay * w);  w <- w - v

  Args:
    learning_rate: a number, which is then read from and may be replaced in
      opt_state.hyperparams["learning_rate"]; or a schedule of the step.
    momentum: in [0, 1).
    weight_decay: the L2 multiplier lambda, at least 0.
    caffe_bias: whether biases learn at twice the rate without decay, as in
      Caffe's models. Not in the paper.
  """

  def transformation(learning_rate):
    steps = [optax.add_decayed_weights(weight_decay)]
    if caffe_bias:
      steps = [
        optax.add_decayed_weights(weight_decay, mask=kernels),
        optax.masked(optax.scale(2.0), biases),
      ]
    return optax.chain(
      *steps,
      optax.scale_by_learning_rate(learning_rate),
      optax.trace(decay=momentum),
    )

  return optax.inject_hyperparams(transformation)(learning_rate)


def kernels(params: dict) -> dict:
  """A tree like params, true at kernels."""
  return {
    layer: {name: name == "kernel" for name in params[layer]}
    for layer in params
  }


def biases(params: dict) -> dict:
  """A tree like params, true at biases."""
  return jax.tree.map(lambda is_kernel: not is_kernel, kernels(params))


def fixed_schedule(
  learning_rate: float, boundaries: Sequence[int]
) -> optax.Schedule:
  """The learning rate divided by 10 at each boundary, in steps."""
  return optax.piecewise_constant_schedule(
    learning_rate, dict.fromkeys(boundaries, DROP_FACTOR)
  )


class Plateau(flax.struct.PyTreeNode):
  """What the plateau schedule remembers (Sect. 3.1).

  Attributes:
    best_error: float32, the lowest watched error so far, percent.
    epochs_since_best: int32, epochs since it last improved, or since the last
      drop.
    drops: int32, how often the learning rate was divided by 10.
  """

  best_error: np.ndarray
  epochs_since_best: np.ndarray
  drops: np.ndarray

  @classmethod
  def create(cls) -> "Plateau":
    """The state before the first epoch."""
    return cls(np.float32(np.inf), np.int32(0), np.int32(0))

  def update(
    self, error: float, *, patience: int, min_improvement: float, max_drops: int
  ) -> "Plateau":
    """The state after an epoch; `drops` rises when the error has stalled.

    Args:
      error: the watched error after this epoch, percent.
      patience: epochs without improvement before a drop.
      min_improvement: what counts as one, percentage points.
      max_drops: 3 in the paper.
    """
    if error <= self.best_error - min_improvement:
      return self.replace(
        best_error=np.float32(error), epochs_since_best=np.int32(0)
      )
    waited = int(self.epochs_since_best) + 1
    if waited < patience or self.drops >= max_drops:
      return self.replace(epochs_since_best=np.int32(waited))
    return self.replace(
      epochs_since_best=np.int32(0), drops=np.int32(self.drops + 1)
    )

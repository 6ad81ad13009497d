"""One synchronous data-parallel SGD step, and validation (Sect. 3.1, 3.3)."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vggjax.errors import InputError
from vggjax.models.vgg import FC_LAYERS, VGG
from vggjax.parallel import AXIS
from vggjax.train.optim import Plateau


class TrainState(flax.struct.PyTreeNode):
  """All that training changes, and what a step needs to know.

  Attributes:
    step: int32, the steps done.
    params: by layer and name.
    opt_state: of the optimizer, for the trained layers only.
    plateau: of the learning-rate schedule; only the loop changes it.
    key: uint32 [2], the random key data that dropout derives its keys from.
    mean: float32 [3], the mean RGB that is subtracted, 0-255.
    model: the network.
    optimizer: from `optim.sgd`.
    loss: of the scores and the batch, see `classification_loss`.
    trained_layers: names of the layers that change.
    microbatches: accumulation steps a device's share is split into.
  """

  step: Any
  params: Any
  opt_state: Any
  plateau: Plateau
  key: Any
  mean: Any
  model: VGG = flax.struct.field(pytree_node=False)
  optimizer: optax.GradientTransformation = flax.struct.field(pytree_node=False)
  loss: Callable = flax.struct.field(pytree_node=False)
  trained_layers: tuple[str, ...] = flax.struct.field(pytree_node=False)
  microbatches: int = flax.struct.field(pytree_node=False)


def create_train_state(
  model: VGG,
  params: dict,
  optimizer: optax.GradientTransformation,
  *,
  mean: np.ndarray,
  seed: int,
  train_layers: str = "all",
  microbatches: int = 1,
  loss: Callable | None = None,
) -> TrainState:
  """The state before the first step.

  Args:
    model: the network.
    params: its parameters.
    optimizer: from `optim.sgd`.
    mean: float [3], the mean RGB, 0-255.
    seed: of dropout.
    train_layers: "all", or "fc": fc6, fc7 and fc8 only (the ILSVRC submission,
      Sect. 4.4).
    microbatches: accumulation steps; the update stays the same.
    loss: default `classification_loss`.

  Raises:
    InputError: on another train_layers.
  """
  choices = {"all": tuple(params), "fc": FC_LAYERS}
  if train_layers not in choices:
    raise InputError(f"train_layers {train_layers!r} is not one of all, fc")
  names = choices[train_layers]
  trained = {name: params[name] for name in names}
  return TrainState(
    step=np.int32(0),
    params=params,
    # One program, not one for each shape.
    opt_state=jax.jit(optimizer.init)(trained),
    plateau=Plateau.create(),
    key=np.asarray(jax.random.key_data(jax.random.key(seed))),
    mean=np.asarray(mean, np.float32),
    model=model,
    optimizer=optimizer,
    loss=loss or classification_loss,
    trained_layers=names,
    microbatches=microbatches,
  )


def train_step(
  state: TrainState, batch: dict[str, jax.Array]
) -> tuple[TrainState, dict[str, jax.Array]]:
  """One synchronous data-parallel SGD step (Sect. 3.1, 3.3).

  Args:
    state: identical on every device.
    batch: this device's share, n = N / D examples, of the global batch:
      image: uint8 [n, 224, 224, 3] RGB, rescaled, cropped, flipped.
      shift: float32 [n, 3], the color shift; the input is image + shift - mean.
      label: int32 [n], in [0, K); and what else the loss needs.

  Returns:
    The new state, and scalars averaged over the global batch: the loss's
    metrics, e.g. loss, top1_error and top5_error in percent; gradient_norm, of
    the averaged gradient; and learning_rate, of this step.
  """
  gradients, metrics = _average_gradients(state, batch)
  # XLA's reduction waits for all gradients, and holds them, on one device too.
  if jax.lax.axis_size(AXIS) > 1:
    gradients, metrics = jax.lax.pmean((gradients, metrics), AXIS)
  trained = {name: state.params[name] for name in state.trained_layers}
  updates, opt_state = state.optimizer.update(
    gradients, state.opt_state, trained
  )
  params = {**state.params, **optax.apply_updates(trained, updates)}
  metrics["gradient_norm"] = optax.global_norm(gradients)
  metrics["learning_rate"] = opt_state.hyperparams["learning_rate"]
  state = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
  return state, metrics


def _average_gradients(state: TrainState, batch: dict) -> tuple[dict, dict]:
  """Gradients and metrics averaged over this device's share."""
  share = batch["image"].shape[0]
  first = jax.lax.axis_index(AXIS) * share
  batch = {**batch, "position": first + jnp.arange(share)}
  compute = jax.grad(_mean_loss, has_aux=True)
  trained = {name: state.params[name] for name in state.trained_layers}
  parts = state.microbatches
  if parts == 1:
    return compute(trained, state, batch)

  split = jax.tree.map(lambda a: a.reshape(parts, -1, *a.shape[1:]), batch)
  one = jax.tree.map(lambda a: a[0], split)
  zeros = jax.tree.map(
    lambda a: jnp.zeros(a.shape, a.dtype),
    jax.eval_shape(compute, trained, state, one),
  )

  def add(total, part):
    return jax.tree.map(jnp.add, total, compute(trained, state, part)), None

  # Inside a loop XLA's CPU backend computes convolutions 20 times slower.
  unroll = parts if jax.default_backend() == "cpu" else 1
  total, _ = jax.lax.scan(add, zeros, split, unroll=unroll)
  return jax.tree.map(lambda a: a / parts, total)


def _mean_loss(trained: dict, state: TrainState, batch: dict) -> tuple:
  shift = batch["shift"] - state.mean
  dtype = state.model.param_dtype
  x = batch["image"].astype(dtype) + shift[:, None, None, :].astype(dtype)
  key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
  scores, _ = state.model.apply(
    {"params": {**state.params, **trained}},
    x,
    train=True,
    positions=batch["position"],
    rngs={"dropout": key},
  )
  metrics = state.loss(scores, batch)
  means = {name: jnp.mean(values) for name, values in metrics.items()}
  return means["loss"], means


def classification_loss(
  scores: jax.Array, batch: dict[str, jax.Array]
) -> dict[str, jax.Array]:
  """Multinomial logistic regression and errors (Sect. 3.1), by example.

  Args:
    scores: float [n, 1, 1, K], of one crop an example.
    batch: label: int32 [n].

  Returns:
    loss [n], top1_error and top5_error [n], 0 or 100. An example is wrong
    when 1 (5) or more other classes score at least as high as its own.
  """
  logits = scores.mean(axis=(1, 2))
  labels = batch["label"]
  loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  own = jnp.take_along_axis(logits, labels[:, None], axis=1)
  rank = jnp.sum(logits >= own, axis=1) - 1
  return {
    "loss": loss,
    "top1_error": 100.0 * (rank >= 1),
    "top5_error": 100.0 * (rank >= 5),
  }


def validation_step(
  state: TrainState, batch: dict[str, jax.Array]
) -> tuple[tuple, dict[str, jax.Array]]:
  """Sums of the loss's metrics over center crops, dropout off.

  Args:
    state: identical on every device.
    batch: this device's share: image uint8 [n, c, c, 3], label int32 [n], what
      else the loss needs, and mask float32 [n], 0 at padding.

  Returns:
    (), and sums over the global batch, of the mask too as "count".
  """
  x = batch["image"].astype(state.model.param_dtype) - state.mean
  scores, _ = state.model.apply({"params": state.params}, x)
  mask = batch["mask"]
  metrics = {**state.loss(scores, batch), "count": jnp.ones_like(mask)}
  sums = {name: jnp.sum(v * mask) for name, v in metrics.items()}
  return (), jax.lax.psum(sums, AXIS)

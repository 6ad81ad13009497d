"""The training loop; it never sees where its batches come from (Sect. 3.1)."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from vggjax import parallel
from vggjax.checkpoint import Checkpoints
from vggjax.errors import NonFiniteError
from vggjax.seal import DamagedError
from vggjax.train.log import Log, watched
from vggjax.train.step import TrainState, train_step, validation_step

Batches = Iterator[dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Plan:
  """How long to train, and what happens when.

  Attributes:
    steps_per_epoch: steps between two validations.
    num_steps: of the whole run.
    checkpoint_every: steps between two checkpoints; the end of an epoch saves
      one besides.
    learning_rate: the initial one of the plateau schedule; None: the
      optimizer's own schedule is in force.
    patience: epochs without improvement before the rate drops.
    min_improvement: what counts as one, percentage points.
    max_drops: how often the rate is divided by 10.
  """

  steps_per_epoch: int
  num_steps: int
  checkpoint_every: int
  learning_rate: float | None = None
  patience: int = 5
  min_improvement: float = 0.1
  max_drops: int = 3


def train(
  state: TrainState,
  *,
  plan: Plan,
  train_batches: Callable[[int], Batches],
  validation_batches: Callable[[], Iterable[dict[str, np.ndarray]]] | None,
  checkpoints: Checkpoints,
  card: dict[str, Any],
  log: Log,
  devices: list[jax.Device],
  should_stop: Callable[[int], bool] = lambda step: False,
) -> TrainState:
  """Trains to the end of the plan, from the state's own step.

  Args:
    state: new, or from `restore`.
    plan: see `Plan`.
    train_batches: from a step to the batches that follow it, each this
      process's share.
    validation_batches: to pass over the center crops; None: no validation.
    checkpoints: where the state is saved.
    card: saved with each checkpoint.
    log: where metrics go.
    devices: to run on.
    should_stop: of the steps done, asked after each: whether to save and stop.

  Returns:
    The final state, on the host; saved.

  Raises:
    NonFiniteError: if the loss or the gradient is not finite.
    StorageError: if it cannot be saved.
  """
  run_step = parallel.data_parallel(train_step, devices, donate=True)
  run_validation = parallel.data_parallel(validation_step, devices)
  step = int(state.step)
  batches = train_batches(step)
  state = parallel.replicate(state, devices)
  while step < plan.num_steps:
    batch = parallel.shard(next(batches), devices)
    state, metrics = run_step(state, batch)
    step += 1
    log.train(step, metrics)
    checkpoints.check()
    stops = should_stop(step)

    ends_epoch = step % plan.steps_per_epoch == 0 or step == plan.num_steps
    if not (ends_epoch or stops or step % plan.checkpoint_every == 0):
      continue
    with log.paused():
      error = None
      if ends_epoch and validation_batches is not None:
        errors = validate(run_validation, state, validation_batches(), devices)
        log.validation(step, errors)
        error = errors[watched(errors)]
        if step % plan.steps_per_epoch == 0:
          state = _after_epoch(state, error, plan)
      save(checkpoints, parallel.to_host(state), card, error)
    if stops:
      break
  checkpoints.wait()
  return parallel.to_host(state)


def validate(
  run_validation: Callable,
  state: TrainState,
  batches: Iterable[dict[str, np.ndarray]],
  devices: list[jax.Device],
) -> dict[str, float]:
  """Mean loss and errors (percent) over center crops (Sect. 3.1).

  Args:
    run_validation: `validation_step` on all devices.
    state: on the devices or the host.
    batches: image, label and mask, each this process's share.
    devices: to run on.

  Raises:
    NonFiniteError: if the loss is not finite.
  """
  sums = []
  for batch in batches:
    sums.append(run_validation(state, parallel.shard(batch, devices))[1])
  totals = jax.tree.map(
    lambda *parts: float(np.sum(parts)), *jax.device_get(sums)
  )
  count = totals.pop("count")
  means = {name: total / count for name, total in totals.items()}
  if not np.isfinite(means["loss"]):
    raise NonFiniteError(
      f"the validation loss is {means['loss']} at step {int(state.step)}; "
      "lower learning_rate; the last good checkpoint is kept"
    )
  return means


def save(
  checkpoints: Checkpoints,
  state: TrainState,
  card: dict[str, Any],
  watched_error: float | None = None,
) -> None:
  """Starts to save a state that is on the host."""
  checkpoints.save(
    int(state.step), state.params, _training(state), card, watched_error
  )


def restore(
  checkpoints: Checkpoints, state: TrainState, step: int
) -> TrainState:
  """The state saved at a step; `state` gives its structure."""
  params, training = checkpoints.restore(step, state.params, _training(state))
  return state.replace(params=params, **training)


def restore_newest(
  checkpoints: Checkpoints, state: TrainState
) -> tuple[TrainState, list[DamagedError]]:
  """The newest state that is not damaged, and what is wrong with newer ones."""
  _, params, training, damaged = checkpoints.restore_newest(
    state.params, _training(state)
  )
  return state.replace(params=params, **training), damaged


def _training(state: TrainState) -> dict[str, Any]:
  """All arrays of a state but the parameters."""
  names = ("step", "opt_state", "plateau", "key", "mean")
  return {name: getattr(state, name) for name in names}


def _after_epoch(state: TrainState, error: float, plan: Plan) -> TrainState:
  """Updates the plateau schedule, and the learning rate by it."""
  plateau = parallel.to_host(state.plateau).update(
    error,
    patience=plan.patience,
    min_improvement=plan.min_improvement,
    max_drops=plan.max_drops,
  )
  state = state.replace(plateau=plateau)
  if plan.learning_rate is None:
    return state
  rate = np.float32(plan.learning_rate * 0.1 ** int(plateau.drops))
  hyperparams = {**state.opt_state.hyperparams, "learning_rate": rate}
  return state.replace(
    opt_state=state.opt_state._replace(hyperparams=hyperparams)
  )

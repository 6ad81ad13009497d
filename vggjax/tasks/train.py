"""Training of a network on a data set (Sect. 3.1)."""

import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from vggjax import checkpoint, distributed, membership, parallel, preemption
from vggjax import config as configuration
from vggjax.errors import InputError, StoppedError
from vggjax.localize import head
from vggjax.models import parameters
from vggjax.models.warm_start import warm_start
from vggjax.tasks import processes, run, workdirs
from vggjax.train import log, loop, optim, step
from vggjax.weights.weights import Weights

LOSSES = {"classes": step.classification_loss, **head.LOSSES}
# Keys that may change when a run goes on: they do not shape what it has done.
FREE_KEYS = {
  "task",
  "run",
  "split",
  "test_scales",
  "protocol",
  "test_mirror",
  "spatial",
  "pool5_offsets",
  "classifier",
  "merge_threshold",
  "test_batch_size",
  "checkpoint",
  "test_precision",
  "num_devices",
  "microbatches",
  "rematerialize",
  "log_every",
  "checkpoint_every",
  "keep_checkpoints",
  "progress",
  "pictures",
  "num_epochs",
  "num_steps",
  "dataset.data_dir",
}


def train(config: ConfigDict, workdir: Path) -> None:
  """Trains a network, or goes on with the run in the workdir."""
  devices = parallel.select_devices(config.num_devices)
  parallel.check_batch_size(config.batch_size, devices, config.microbatches)
  boxes = config.objective != "classes"
  source = run.open_split(config, config.dataset.train_split, with_boxes=boxes)
  watched = config.dataset.validation_split
  validation = None
  if watched:
    validation = run.open_split(config, watched, with_boxes=boxes)
  processes.agree_on_data(training=source, validation=validation)
  processes.check_workdir(workdir)
  with workdirs.locked(workdir):
    with distributed.together():
      if distributed.is_chief():
        claim_workdir(config, workdir)
    train_on(config, workdir, devices, source, validation)


def train_on(
  config: ConfigDict,
  workdir: Path,
  devices: list[jax.Device],
  source: Any,
  validation: Any | None,
) -> None:
  """Trains in a workdir that is this process's, on opened splits."""
  from vggjax.data import pipeline, statistics

  measured = statistics.compute_statistics(source, progress=config.progress)
  card = run.make_card(config, source, measured.mean)
  if validation:
    run.check_classes(validation.class_names, card)
  plan = make_plan(config, source.num_examples)
  card["num_steps"] = plan.num_steps
  card["steps_per_epoch"] = plan.steps_per_epoch
  card["topology"] = processes.topology(devices)
  begun = checkpoint.has_checkpoints(workdir)
  source_weights = None
  if config.init_from and not begun:
    source_weights = load_initial(config, workdir)
    card["mean"] = list(source_weights.mean)
  state = create_state(config, card, source_weights)
  del source_weights

  passes = []

  def train_batches(first_step):
    passes.append(open_batches(config, source, measured, first_step))
    return passes[-1]

  @functools.cache
  def validation_batches():
    return pipeline.crop_batches(
      validation,
      batch_size=config.batch_size,
      crop_size=config.crop_size,
      test_scale=sum(config.train_scale) // 2,
      **processes.shares(),
    )

  keep = config.keep_checkpoints
  with (
    checkpoint.Checkpoints(workdir, keep=keep) as checkpoints,
    preemption.deferred() as should_stop,
  ):
    if begun:
      state = workdirs.go_on(checkpoints, state, card)
      run.note(f"{workdir} goes on from step {state.step} of {plan.num_steps}")
      processes.note_topology(checkpoints.card(int(state.step)), devices)
    processes.agree_on_state(state)
    writer = log.Log(
      workdir,
      first_step=int(state.step),
      num_steps=plan.num_steps,
      every=config.log_every,
      batch_size=config.batch_size,
      progress=config.progress,
      writes=distributed.is_chief(),
    )
    # The loop has the only reference, so that it frees the host's copy.
    states = [state]
    del state
    with writer, membership.ending_when_lost():
      state = loop.train(
        states.pop(),
        plan=plan,
        train_batches=train_batches,
        validation_batches=validation_batches if validation else None,
        checkpoints=checkpoints,
        card=card,
        log=writer,
        devices=devices,
        should_stop=should_stop,
      )
  if state.step < plan.num_steps:
    raise StoppedError(
      f"stopped by SIGTERM, saved at step {state.step} of {plan.num_steps}; "
      "the same command goes on"
    )
  run.note_capped(sum(batches.capped for batches in passes))
  if config.pictures:
    draw_learning_curves(config, workdir)
  if distributed.is_chief():
    print_end(workdir)


def open_batches(
  config: ConfigDict, source: Any, measured: Any, first_step: int = 0
) -> Any:
  """This process's share of the training batches from a step on.

  Args:
    config: of the training.
    source: the training split.
    measured: statistics of pixels, for the colour shift.
    first_step: steps done before.
  """
  from vggjax.data import pipeline

  shift = None
  if config.color_shift:
    shift = measured.color_shift(
      config.color_shift_std, config.color_shift_scale
    )
  return pipeline.train_batches(
    source,
    batch_size=config.batch_size,
    crop_size=config.crop_size,
    train_scale=tuple(config.train_scale),
    seed=config.seed,
    first_step=first_step,
    mirror=config.mirror,
    color=shift,
    **processes.shares(),
  )


def make_plan(config: ConfigDict, num_examples: int) -> loop.Plan:
  """How long to train and when to do what."""
  from vggjax.data import pipeline

  steps_per_epoch = pipeline.steps_per_epoch(num_examples, config.batch_size)
  is_plateau = config.schedule == "plateau"
  return loop.Plan(
    steps_per_epoch=steps_per_epoch,
    num_steps=config.num_steps or config.num_epochs * steps_per_epoch,
    checkpoint_every=config.checkpoint_every,
    learning_rate=config.learning_rate if is_plateau else None,
    patience=config.patience,
    min_improvement=config.min_improvement,
    max_drops=config.max_drops,
  )


def load_initial(config: ConfigDict, workdir: Path) -> Weights:
  """The weights that a run starts from; says where they are."""
  weights, place = run.load_source(config.init_from, workdir)
  at = f", step {weights.card['step']}" if "step" in weights.card else ""
  run.note(f"layers {config.init_layers!r} come from {place}{at}")
  if weights.pool != config.pool:
    run.note(
      f"they are of a network with pool {weights.pool!r}; this run's is "
      f"{config.pool!r}, which differs for odd sides"
    )
  return weights


def create_state(
  config: ConfigDict, card: dict[str, Any], source: Weights | None
) -> step.TrainState:
  """The state before the first step, warm-started from a source."""
  model = run.create_model(config, card["num_outputs"])
  # rbg: threefry takes XLA on CPUs ten seconds to compile for every layer.
  init_key = jax.random.key(config.seed, impl="rbg")
  params = parallel.to_host(parameters.init_params(model, init_key))
  if source is not None:
    params = warm_start(params, source.params, config.init_layers)
  rate = config.learning_rate
  if config.schedule == "fixed":
    rate = optim.fixed_schedule(rate, config.boundaries)
  optimizer = optim.sgd(
    rate,
    momentum=config.momentum,
    weight_decay=config.weight_decay,
    caffe_bias=config.caffe_bias,
  )
  return step.create_train_state(
    model,
    params,
    optimizer,
    mean=np.array(card["mean"]),
    seed=config.seed,
    train_layers=config.train_layers,
    microbatches=config.microbatches,
    loss=LOSSES[config.objective],
  )


def claim_workdir(config: ConfigDict, workdir: Path) -> None:
  """Gives the workdir its config, or checks that it is this run's.

  Raises:
    InputError: if it cannot be written, or has checkpoints of another config.
  """
  path = workdir / checkpoint.CONFIG_FILE
  try:
    if not (path.exists() and checkpoint.has_checkpoints(workdir)):
      configuration.save_config(config, path)
    try:
      saved = configuration.load_config(path)
    except (ValueError, TypeError, AttributeError) as error:
      raise InputError(
        f"{path} is damaged ({error}); bring it back from a backup, or choose "
        "another workdir"
      ) from error
    if differing := differing_keys(config, saved):
      raise InputError(
        f"workdir {workdir} holds a run with another config: "
        f"{'; '.join(differing)}; choose another workdir"
      )
    configuration.save_config(config, path)
  except OSError as error:
    raise workdirs.cannot_be_used(workdir, error) from error


def differing_keys(config: ConfigDict, saved: dict[str, Any]) -> list[str]:
  """Where a config and a workdir's saved one differ and must not."""
  saved = {**configuration.defaults(), **saved}
  return [
    f"{key} {saved[key]!r} there, {value!r} here"
    for key, value in configuration.flatten(config).items()
    if key not in FREE_KEYS
    and not key.startswith("transfer.")
    and saved[key] != value
  ]


def draw_learning_curves(config: ConfigDict, workdir: Path) -> None:
  """Writes learning_curves.png, where matplotlib is installed."""
  visualize = run.picture_module()
  if visualize is None:
    return
  path = workdir / "learning_curves.png"
  visualize.learning_curves(log.read_metrics(workdir), path, title=config.run)
  run.note(f"learning curves are in {path}")


def print_end(workdir: Path) -> None:
  """Prints the last and the best validation as the run's last line."""
  lines = [r for r in log.read_metrics(workdir) if r["kind"] == "validation"]
  if not lines:
    print(f"finished {workdir}")
    return
  error = log.watched(lines[-1])
  # Of equal ones the newest, as the checkpoint "best" is.
  best = min(reversed(lines), key=lambda line: line[error])
  name = {"top1_error": "top-1 error"}.get(error, error.replace("_", " "))
  print(
    f"finished {workdir}: center-crop {name} on validation "
    f"{lines[-1][error]:.2f} % at step {lines[-1]['step']}, "
    f"best {best[error]:.2f} % at step {best['step']}"
  )

"""What a training needs, looked at before it begins."""

import os
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from vggjax import checkpoint, parallel
from vggjax import config as configuration
from vggjax.addresses import check_bucket, is_address
from vggjax.errors import InputError
from vggjax.models import parameters
from vggjax.tasks import run, train
from vggjax.tasks.check_cost import check_disk, check_steps, existing
from vggjax.tasks.check_data import check_data, check_images
from vggjax.tasks.checklist import OK, Checklist
from vggjax.train.step import TrainState


def check(
  config: ConfigDict, workdir: Path, *, steps: int = 10, images: bool = True
) -> bool:
  """Prints whether a training could run to its end, a line a subject.

  Nothing is written, but for what tfds prepares and what is cached.

  Args:
    config: of a training.
    workdir: its folder.
    steps: how many are timed; 0: none.
    images: whether every image is read.

  Returns:
    Whether nothing fails.
  """
  if config.task != "train":
    raise InputError(f"this config's task is {config.task}; check is of train")
  lines = Checklist()
  width = f", width {config.width:g}" if config.width != 1 else ""
  print(f"{config.run}: network {config.network}{width}, in {workdir}")
  devices = None
  with lines.about("devices"):
    devices = check_devices(config, lines)
  begun = 0
  with lines.about("workdir"):
    begun = check_workdir(config, workdir, lines)
  sources = check_data(config, lines)
  if images and sources:
    sources = check_images(config, sources, lines)
  source = sources.get(config.dataset.train_split)
  state = None
  if source is not None:
    with lines.about("start"):
      state = first_state(config, workdir, source, begun, lines)
  if state is not None:
    check_disk(config, workdir, state, lines)
    if devices and "data" not in lines.failed:
      with lines.about("steps"):
        check_steps(config, state, sources, devices, begun, steps, lines)
  if lines.failed:
    print(f"it would not run to its end: {', '.join(lines.failed)}")
  else:
    print("it can start")
  return not lines.failed


def check_devices(config: ConfigDict, lines: Checklist) -> list[jax.Device]:
  """Whether there are as many as asked for, and the batch divides."""
  devices = parallel.select_devices(config.num_devices)
  parallel.check_batch_size(config.batch_size, devices, config.microbatches)
  kind = devices[0].device_kind
  share = config.batch_size // len(devices)
  parts = ""
  if config.microbatches > 1:
    parts = f" in {config.microbatches} parts"
  lines.add(OK, "devices", f"{len(devices)} {kind}, {share} images each{parts}")
  return devices


def check_workdir(config: ConfigDict, workdir: Path, lines: Checklist) -> int:
  """Whether it can be written to; returns the steps already done."""
  if is_address(workdir):
    check_bucket(workdir)
  else:
    there = existing(workdir)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
      raise InputError(f"{there} cannot be written to")
  path = workdir / checkpoint.CONFIG_FILE
  if not (path.exists() and checkpoint.has_checkpoints(workdir)):
    lines.add(OK, "workdir", f"{workdir} holds no run yet")
    return 0
  if differing := train.differing_keys(config, configuration.load_config(path)):
    raise InputError(
      f"{workdir} holds a run with another config: {'; '.join(differing)}; "
      "choose another workdir"
    )
  _, step = checkpoint.latest_card(workdir)
  lines.add(OK, "workdir", f"{workdir} holds this run, which is at step {step}")
  return step


def first_state(
  config: ConfigDict, workdir: Path, source: Any, begun: int, lines: Checklist
) -> TrainState:
  """The state that a training would begin with."""
  from vggjax.data import statistics as measured

  # What is measured of the images changes neither memory nor time.
  card = run.make_card(config, source, measured.IMAGENET.mean)
  weights = None
  if config.init_from and not begun:
    weights = train.load_initial(config, workdir)
    lines.add(OK, "start", f"from {config.init_from}")
  state = train.create_state(config, card, weights)
  count = parameters.count_parameters(state.model)
  lines.add(OK, "network", f"{count:,} parameters")
  return state

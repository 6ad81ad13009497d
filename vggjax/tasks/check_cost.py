"""What a training costs, before it begins: disk, memory and time."""

import dataclasses
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from vggjax import checkpoint, parallel
from vggjax.addresses import is_address
from vggjax.tasks import train
from vggjax.tasks.checklist import (
  FAIL,
  NOTE,
  OK,
  Checklist,
  duration,
  size_text,
)
from vggjax.train.step import TrainState, train_step

# What is free on a disk shall be more than what is needed, by this.
MARGIN = 1.1
WARM_UP = 2
# More of a step's time than this waiting for images is worth telling.
WAITING = 0.3


def existing(folder: Path) -> Path:
  """The folder, or the nearest one above it that is there."""
  folder = folder.expanduser().absolute()
  while not folder.exists():
    folder = folder.parent
  return folder


def check_disk(
  config: ConfigDict, workdir: Path, state: TrainState, lines: Checklist
) -> None:
  """Whether the checkpoints find room."""
  size = sum(np.asarray(a).nbytes for a in jax.tree.leaves(state))
  # The newest, the best, and the one that is being written.
  number = config.keep_checkpoints + 2
  if is_address(workdir):
    text = f"{number} checkpoints of {size_text(size)} go to {workdir}"
    lines.add(NOTE, "disk", text)
    return
  folder = workdir / checkpoint.FOLDER
  files = folder.rglob("*") if folder.exists() else ()
  there = sum(path.stat().st_size for path in files if path.is_file())
  needed = max(0, MARGIN * size * number - there)
  free = shutil.disk_usage(existing(workdir)).free
  text = (
    f"{number} checkpoints of {size_text(size)} need {size_text(needed)}; "
    f"{size_text(free)} are free"
  )
  lines.add(OK if needed <= free else FAIL, "disk", text)


@dataclasses.dataclass(frozen=True)
class Timing:
  """Medians of some steps.

  Attributes:
    step: seconds.
    waiting: seconds of these, for the images.
  """

  step: float
  waiting: float


def check_steps(
  config: ConfigDict,
  state: TrainState,
  sources: dict[str, Any],
  devices: list[jax.Device],
  begun: int,
  steps: int,
  lines: Checklist,
) -> None:
  """Compiles a step: its memory; times some: how long the run takes."""
  from vggjax.data.statistics import IMAGENET

  source = sources[config.dataset.train_split]
  batches = train.open_batches(config, source, IMAGENET)
  batch = parallel.shard(next(batches), devices)
  step = parallel.data_parallel(train_step, devices, donate=True)
  compiled = step.compile(state, batch)
  if not check_memory(compiled, state, devices, lines) or not steps:
    return
  times = time_steps(compiled, state, batches, devices, steps)
  plan = train.make_plan(config, source.num_examples)
  left = max(0, plan.num_steps - begun)
  seconds = left * times.step
  if watched := config.dataset.validation_split:
    # A forward pass takes a third of a step.
    each = -(-sources[watched].num_examples // config.batch_size)
    epochs = -(-left // plan.steps_per_epoch)
    seconds += epochs * each * times.step / 3
  text = (
    f"about {duration(seconds)}: {left:,} steps of {times.step:.3g} s "
    f"(median of {steps}), {config.batch_size / times.step:.3g} images/s"
  )
  lines.add(OK, "time", text)
  share = times.waiting / times.step
  if share > WAITING:
    text = f"{100 * share:.0f} % of a step waits for images to be decoded"
    lines.add(NOTE, "time", text)


def check_memory(
  compiled: Any, state: TrainState, devices: list[jax.Device], lines: Checklist
) -> bool:
  """Whether a step fits, by the compiler's own analysis."""
  found = compiled.memory_analysis()
  needed = (
    found.argument_size_in_bytes
    + found.output_size_in_bytes
    + found.temp_size_in_bytes
    - found.alias_size_in_bytes
  )
  stats = devices[0].memory_stats() or {}
  there, place = stats.get("bytes_limit", 0), "of each device"
  if not there:  # Of CPUs: all share the host's, and so does the state there.
    needed = len(devices) * needed + sum(
      np.asarray(a).nbytes for a in jax.tree.leaves(state)
    )
    there, place = available_memory(), "of the machine"
  fits = needed <= there
  text = (
    f"a step needs {size_text(needed)} {place}; {size_text(there)} are free"
  )
  hint = "" if fits else "; raise microbatches or lower batch_size"
  lines.add(OK if fits else FAIL, "memory", text + hint)
  return fits


def available_memory() -> int:
  """Bytes that programs can still have on this machine."""
  try:
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":") for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024
  except (OSError, KeyError, ValueError):  # Not Linux.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def time_steps(
  step: Callable,
  state: TrainState,
  batches: Iterator[dict[str, np.ndarray]],
  devices: list[jax.Device],
  steps: int,
) -> Timing:
  """Takes some steps of the training itself."""
  state = parallel.replicate(state, devices)
  took, waited = [], []
  for _ in range(WARM_UP + steps):
    start = time.perf_counter()
    batch = parallel.shard(next(batches), devices)
    waited.append(time.perf_counter() - start)
    state, metrics = step(state, batch)
    jax.block_until_ready((state.params, metrics))
    took.append(time.perf_counter() - start)
  return Timing(
    statistics.median(took[WARM_UP:]), statistics.median(waited[WARM_UP:])
  )

"""What a training needs, looked at before it begins."""

import contextlib
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
from vggjax import config as configuration
from vggjax.errors import InputError
from vggjax.models import parameters
from vggjax.tasks import run, train
from vggjax.train.step import TrainState, train_step

OK, NOTE, FAIL = "ok", "note", "FAIL"
# What is free on a disk shall be more than what is needed, by this.
MARGIN = 1.1
WARM_UP = 2
# More of a step's time than this waiting for images is worth telling.
WAITING = 0.3


class Checklist:
  """The lines on the screen; each is printed when it is known.

  Attributes:
    failed: the subjects of those that fail.
  """

  def __init__(self):
    self.failed: list[str] = []

  def add(self, status: str, subject: str, text: str) -> None:
    """Prints a line."""
    if status == FAIL:
      self.failed.append(subject)
    print(f"{status:4}  {subject:11} {text}", flush=True)

  @contextlib.contextmanager
  def about(self, subject: str) -> Iterator[None]:
    """Makes bad input within a line that fails."""
    try:
      yield
    except InputError as error:
      self.add(FAIL, subject, str(error))


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


def existing(folder: Path) -> Path:
  """The folder, or the nearest one above it that is there."""
  folder = folder.expanduser().absolute()
  while not folder.exists():
    folder = folder.parent
  return folder


def check_data(config: ConfigDict, lines: Checklist) -> dict[str, Any]:
  """Opens the splits; those that can be, by their names."""
  sources = {}
  dataset = config.dataset
  boxes = config.objective != "classes"
  needed = [dataset.train_split]
  if dataset.validation_split:
    needed.append(dataset.validation_split)
  for split in dict.fromkeys((*needed, config.split)):
    try:
      sources[split] = run.open_split(config, split, with_boxes=boxes)
    except InputError as error:
      # The other one is for evaluation.
      lines.add(FAIL if split in needed else NOTE, "data", str(error))
      continue
    with lines.about("data"):
      describe(config, sources[split], split in needed, lines)
  source = sources.get(dataset.train_split)
  for split in needed[1:]:
    if source is not None and split in sources:
      card = run.make_card(config, source, (0, 0, 0))
      with lines.about("data"):
        run.check_classes(sources[split].class_names, card)
  return sources


def describe(
  config: ConfigDict, source: Any, is_needed: bool, lines: Checklist
) -> None:
  """A line on how many images a split has, of how many classes."""
  is_trained = source.split == config.dataset.train_split
  labels = source.labels()
  count = len(labels)
  if is_trained and config.batch_size > count:
    raise InputError(
      f"{source.split} has {count} images, fewer than batch_size "
      f"{config.batch_size}"
    )
  if (labels < 0).any():
    status = FAIL if is_needed else NOTE
    lines.add(status, "data", f"{source.split} has images without a label")
    return
  names = source.class_names
  sizes = np.bincount(labels, minlength=len(names))
  each = " to ".join(f"{n:,}" for n in sorted({sizes.min(), sizes.max()}))
  text = f"{source.split}: {count:,} images of {len(names):,} classes"
  lines.add(OK, "data", f"{text}, {each} of each")
  if is_trained and not sizes.all():
    empty = [name for name, size in zip(names, sizes, strict=True) if not size]
    text = f"{len(empty)} classes have no image to train on: "
    lines.add(NOTE, "data", text + some(empty))


def some(names: list[str], count: int = 3) -> str:
  """The first few of many names."""
  more = ", ..." if len(names) > count else ""
  return f"{', '.join(names[:count])}{more}"


def check_images(
  config: ConfigDict, sources: dict[str, Any], lines: Checklist
) -> dict[str, Any]:
  """Reads every image; returns the splits less those that are unreadable.

  Tells what is unreadable, damaged, or there twice.
  """
  from vggjax.data import survey

  begun = time.monotonic()
  found = [survey.survey(s, config.progress) for s in sources.values()]
  count = sum(source.num_examples for source in sources.values())
  unreadable = sum(len(one.unreadable) for one in found)
  took = duration(time.monotonic() - begun)
  text = (
    f"{count - unreadable:,} of {count:,} can be decoded (all read: {took})"
  )
  lines.add(FAIL if unreadable else OK, "images", text)
  for one in found:
    for name, reason in one.unreadable[:3]:
      text = f"{one.split}: {name}: {reason}"
      lines.add(NOTE, "images", text)
    if one.damaged:
      names = [f"{name} ({words})" for name, words in one.damaged]
      text = f"{one.split}: {len(names)} with a damaged scan: {some(names)}"
      lines.add(NOTE, "images", text)
    if repeated := survey.num_repeated(one.digests):
      lines.add(NOTE, "images", f"{one.split}: {repeated:,} are there twice")
  if unreadable:
    text = "mend them, or leave them out by --config.dataset.on_error=skip"
    lines.add(NOTE, "images", text)
  shared = survey.in_two_splits(found)
  for (one, other), pairs in shared.items():
    text = f"{one} and {other} have {len(pairs):,} images in common: "
    names = [" = ".join(dict.fromkeys(pair)) for pair in pairs]
    lines.add(NOTE, "splits", text + some(names))
  if not shared and len(found) > 1:
    lines.add(OK, "splits", "no image stands in two of them")
  return {
    one.split: sources[one.split].without(one.positions)
    if one.positions
    else sources[one.split]
    for one in found
  }


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


def check_disk(
  config: ConfigDict, workdir: Path, state: TrainState, lines: Checklist
) -> None:
  """Whether the checkpoints find room."""
  size = sum(np.asarray(a).nbytes for a in jax.tree.leaves(state))
  # The newest, the best, and the one that is being written.
  number = config.keep_checkpoints + 2
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
  from vggjax.data import pipeline
  from vggjax.data import statistics as measured

  source = sources[config.dataset.train_split]
  shift = None
  if config.color_shift:
    shift = measured.IMAGENET.color_shift(
      config.color_shift_std, config.color_shift_scale
    )
  batches = pipeline.train_batches(
    source,
    batch_size=config.batch_size,
    crop_size=config.crop_size,
    train_scale=tuple(config.train_scale),
    seed=config.seed,
    mirror=config.mirror,
    color=shift,
  )
  batch = parallel.shard(next(batches), devices)
  step = parallel.data_parallel(train_step, devices, donate=True)
  compiled = step.lower(state, batch).compile()
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


def size_text(count: float) -> str:
  """Of bytes: "1.66 GB", "23 MB"."""
  return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def duration(seconds: float) -> str:
  """Of seconds, in two units: "2 days 3 hours"."""
  units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
  rest, parts = round(seconds), []
  for name, size in units:
    number, rest = divmod(rest, size)
    if number:
      parts.append(f"{number} {name}{'s' if number > 1 else ''}")
  return " ".join(parts[:2]) or "0 seconds"

"""The training step fed by the input pipeline: how long it waits."""

import importlib.util
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks._gpu_bench import Bench, Case, Result, random_params, time_peers
from benchmarks._gpu_images import image_paths
from benchmarks._gpu_train import TrainStep, random_batch
from experiments.imagenet_shapes import common_shapes
from vggjax import geometry, parallel
from vggjax import images as image_files
from vggjax.cores import core_count

NETWORK, PRECISION = "D", "bf16"
# S over the crop's side: [256, 512] for 224 pixels.
LEAST, GREATEST = 256 / 224, 512 / 224
GOAL_WAITING = 0.05
PILLOW_IMAGES = 48
FED_ROUNDS = 3
NEEDED = "tensorflow", "tensorflow_datasets"


def cases(bench: Bench) -> list[Case]:
  """One: D in bf16 at the first batch size."""
  name = f"fed {NETWORK}, batch {bench.sizes.batches[0]}, {PRECISION}"
  return [Case("input", name, measure, rank=4)]


def measure(bench: Bench) -> Result:
  """The share of the time that the step waits, or the cores that it needs."""
  batch_size = bench.sizes.batches[0]
  step = TrainStep(
    bench,
    NETWORK,
    random_params(bench, NETWORK),
    random_batch(bench, batch_size),
    precision=PRECISION,
  )
  steps = bench.sizes.steps
  seconds, _ = time_peers(
    {"ours": lambda: lambda: step.run(steps)}, bench.sizes.repeats
  )
  full_rate = batch_size * steps / seconds["ours"]
  missing = [name for name in NEEDED if not importlib.util.find_spec(name)]
  with tempfile.TemporaryDirectory() as folder:
    paths = make_folder(Path(folder), bench)
    if missing or bench.decode_rate:
      rate = bench.decode_rate or pillow_rate(bench, paths)
      return estimate(full_rate, rate, missing)
    batches = pipeline(folder, bench, batch_size)
    # The first ones lie ready.
    run_fed(step, batches, steps)
    begin = time.perf_counter()
    run_fed(step, batches, FED_ROUNDS * steps)
    fed_seconds = time.perf_counter() - begin
  fed_rate = FED_ROUNDS * steps * batch_size / fed_seconds
  waiting = max(0.0, 1 - fed_rate / full_rate)
  cores = core_count()
  note = (
    f"waits {100 * waiting:.1f} % of the time (goal: under "
    f"{100 * GOAL_WAITING:.0f} %); unfed {full_rate:,.0f} images/s"
  )
  if waiting >= GOAL_WAITING:
    needed = np.ceil(cores * full_rate / fed_rate)
    note += f"; would need {needed:.0f} cores in place of {cores}"
  return Result(fed_rate, note=note)


def run_fed(step: TrainStep, batches: Iterator[dict], steps: int) -> None:
  """Steps on batches as they come, as the training loop does."""
  with step.precision():
    for _ in range(steps):
      batch = parallel.shard(next(batches), step.devices)
      step.state, metrics = step.step(step.state, batch)
  float(metrics["loss"])


def estimate(step_rate: float, core_rate: float, missing: list[str]) -> Result:
  """What the step needs where the pipeline itself cannot run.

  Args:
    step_rate: training images/s that the step computes.
    core_rate: training images/s that one core decodes and crops.
    missing: packages of the pipeline that are not installed.
  """
  cores = core_count()
  waiting = max(0.0, 1 - cores * core_rate / step_rate)
  reason = f"no {', '.join(missing)}: " if missing else ""
  return Result(
    min(step_rate, cores * core_rate),
    note=f"{reason}computed from {core_rate:,.0f} images/s a core: needs "
    f"{np.ceil(step_rate / core_rate):.0f} cores of {cores}; would wait "
    f"{100 * waiting:.0f} % of the time",
  )


def pillow_rate(bench: Bench, paths: list[Path]) -> float:
  """Training images/s of one core with Pillow: decode, rescale, crop."""
  side = bench.sizes.crop_size
  random = np.random.default_rng(0)
  paths = paths[:PILLOW_IMAGES]
  begin = time.perf_counter()
  for path in paths:
    image = image_files.decode(path)
    scale = int(random.integers(int(side * LEAST), int(side * GREATEST) + 1))
    height, width = geometry.rescaled_size(*image.shape[:2], scale)
    picture = Image.fromarray(image)
    # Only the window that the crop comes from is rescaled.
    top, left = (
      int(random.integers(outer - side + 1)) for outer in (height, width)
    )
    box = np.array([left, top, left + side, top + side]) * (
      image.shape[0] / height
    )
    box = np.minimum(box, [image.shape[1], image.shape[0]] * 2)
    picture.resize((side, side), Image.Resampling.BILINEAR, tuple(box))
  return len(paths) / (time.perf_counter() - begin)


def make_folder(root: Path, bench: Bench) -> list[Path]:
  """ROOT/train/photo with links to a folder's images, each as often as
  needed, or with photos made here.
  """
  place = root / "train" / "photo"
  place.mkdir(parents=True)
  number = bench.sizes.jpegs
  paths = [place / f"{i:04}.jpg" for i in range(number)]
  if bench.images:
    for path, source in zip(
      paths, itertools.cycle(image_paths(bench.images)), strict=False
    ):
      os.symlink(source.resolve(), path)
    return paths
  random = np.random.default_rng(0)
  for path, (height, width) in zip(paths, common_shapes(number), strict=True):
    # About as many bytes as one of ImageNet's, 110 KB.
    coarse = random.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height))
    noise = random.normal(0, 8, (height, width, 3))
    pixels = np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=90)
  return paths


def pipeline(
  folder: str, bench: Bench, batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
  """The batches that training reads, without end."""
  # Here, because TensorFlow may be missing.
  from vggjax.data import sources, training
  from vggjax.data.preprocess import ColorShift

  side = bench.sizes.crop_size
  identity = tuple(map(tuple, np.eye(3)))
  return training.train_batches(
    sources.open_source(f"folder:{folder}", "train"),
    batch_size=batch_size,
    crop_size=side,
    train_scale=(int(side * LEAST), int(side * GREATEST)),
    seed=0,
    color=ColorShift((1.0, 1.0, 1.0), identity),
  )

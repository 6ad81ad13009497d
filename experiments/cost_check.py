"""The model of cost beside what small networks take here.

The model is fitted to a few points of net D and predicts others: batches,
scales and a network that it was not fitted to.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

from experiments.cost_model import MIRRORED, PASSES, fit, forward_macs
from vggjax import create_model, geometry, parallel
from vggjax.evaluate.dense import dense_buckets, pad_whole_images
from vggjax.evaluate.rows import Rows
from vggjax.models import parameters
from vggjax.train import optim
from vggjax.train.step import create_train_state, train_step

MEAN = 120.0, 110.0, 100.0
REPEATS = 5


@dataclasses.dataclass(frozen=True)
class Point:
  """A call that is measured.

  Attributes:
    kind: "train" or "dense".
    network: of a quarter of the width, for 64 pixels.
    batch_size: images at once.
    scale: Q, of "dense"; of "train" unused.
    fitted: whether the model may use it.
  """

  kind: str
  network: str
  batch_size: int
  scale: int = 0
  fitted: bool = False


POINTS = (
  Point("train", "D", 32, fitted=True),
  Point("train", "D", 64, fitted=True),
  Point("train", "D", 48),
  Point("train", "A", 64),
  Point("train", "E", 64),
  Point("dense", "D", 4, 73, fitted=True),
  Point("dense", "D", 16, 110, fitted=True),
  Point("dense", "D", 8, 82),
  Point("dense", "D", 8, 146),
  Point("dense", "E", 8, 110),
)


@dataclasses.dataclass(frozen=True)
class Finding:
  """A point with its measured and its predicted seconds."""

  point: Point
  measured: float
  predicted: float


def measure(
  points: Sequence[Point] = POINTS,
  *,
  width: float = 1 / 4,
  crop_size: int = 64,
  repeats: int = REPEATS,
) -> list[Finding]:
  """Measures all points on one device, and predicts them from those fitted."""
  makers = {"train": _training, "dense": _dense}
  found = []
  for point in points:
    model = create_model(
      point.network,
      width=width,
      crop_size=crop_size,
      num_outputs=10,
      initializer="glorot",
    )
    call, macs = makers[point.kind](model, point)
    found.append((point, macs, _median_seconds(call, repeats)))
  lines = {
    kind: fit([(m, s) for p, m, s in found if p.fitted and p.kind == kind])
    for kind in {point.kind for point in points}
  }
  return [
    Finding(point, seconds, lines[point.kind].seconds(macs))
    for point, macs, seconds in found
  ]


def _median_seconds(call: Callable[[], object], repeats: int) -> float:
  call()
  seconds = []
  for _ in range(repeats):
    begin = time.perf_counter()
    call()
    seconds.append(time.perf_counter() - begin)
  return statistics.median(seconds)


def _training(model, point: Point) -> tuple[Callable, float]:
  """A training step, and its multiply-accumulates."""
  devices = jax.devices()[:1]
  side, random = model.crop_size, np.random.default_rng(0)
  params = parallel.to_host(parameters.init_params(model, _key()))
  state = create_train_state(
    model, params, optim.sgd(1e-4), mean=np.array(MEAN), seed=0
  )
  state = parallel.replicate(state, devices)
  shape = (point.batch_size, side, side, 3)
  batch = {
    "image": random.integers(0, 256, shape, np.uint8),
    "shift": np.zeros((point.batch_size, 3), np.float32),
    "label": np.zeros(point.batch_size, np.int32),
  }
  batch = parallel.shard(batch, devices)
  step = parallel.data_parallel(train_step, devices)

  def call():
    return jax.block_until_ready(step(state, batch))

  return call, PASSES * point.batch_size * forward_macs(model, side)


def _dense(model, point: Point) -> tuple[Callable, float]:
  """Dense evaluation of a batch of 4 : 3 images, and what that computes."""
  size = geometry.rescaled_size(375, 500, point.scale)
  image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
  buckets = dense_buckets(
    model,
    parallel.to_host(parameters.init_params(model, _key())),
    mean=MEAN,
    batch_size=point.batch_size,
    devices=jax.devices()[:1],
  )

  def call():
    rows = [Rows(point.batch_size)]
    buckets.map(((i, [image]) for i in range(point.batch_size)), rows)
    return rows[0].values()

  padded = pad_whole_images(model)(size)
  return call, MIRRORED * point.batch_size * forward_macs(model, *padded)


def _key() -> jax.Array:
  # Threefry takes XLA on CPUs long to compile.
  return jax.random.key(0, impl="rbg")


def markdown(findings: Sequence[Finding]) -> str:
  """The table, and the largest error of the points not fitted."""
  lines = [
    "| | network | batch | Q | measured | predicted | error |",
    "| --- | --- | --- | --- | --- | --- | --- |",
  ]
  errors = []
  for finding in findings:
    point = finding.point
    error = finding.predicted / finding.measured - 1
    note = " (fitted)" if point.fitted else ""
    if not point.fitted:
      errors.append(abs(error))
    lines.append(
      f"| {point.kind} | {point.network} | {point.batch_size} | "
      f"{point.scale or ''} | {1e3 * finding.measured:.1f} ms | "
      f"{1e3 * finding.predicted:.1f} ms | {100 * error:+.0f} %{note} |"
    )
  lines.append(
    f"\nErrors of the {len(errors)} points not fitted: median "
    f"{100 * statistics.median(errors):.0f} %, largest "
    f"{100 * max(errors):.0f} %."
  )
  return "\n".join(lines)

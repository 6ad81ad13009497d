"""How long training and evaluation take, from a few measured figures.

A device computes M multiply-accumulates in `overhead + M * per_mac` seconds; a
training step then averages the gradients over the devices in a ring, which is
not hidden; and no step is shorter than its images take to be read.
"""

import collections
import dataclasses
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.imagenet_shapes import SHAPES, common_shapes
from vggjax import create_model, geometry
from vggjax.evaluate.dense import pad_whole_images
from vggjax.models.parameters import count_parameters
from vggjax.models.vgg import FC_CHANNELS, VGG, block_layers

# A step is a forward pass, and a backward pass of twice its products.
PASSES = 3
CROPS = 25
MIRRORED = 2
FLOAT = 4
# Of one of ours, in the file that `benchmarks.gpu --json` writes.
MEASURED_IMAGES = 64


@dataclasses.dataclass(frozen=True)
class Line:
  """Seconds of a call: `overhead` and `per_mac` times its MACs."""

  per_mac: float
  overhead: float = 0.0

  def seconds(self, macs: float) -> float:
    """Of a call of that many multiply-accumulates."""
    return self.overhead + self.per_mac * macs


def fit(points: Sequence[tuple[float, float]]) -> Line:
  """The line through measured (MACs, seconds), of the least relative errors.

  With one point, or where it would be negative, the overhead is 0.
  """
  macs, seconds = np.array(points, float).T
  rates = macs / seconds
  if len(set(macs)) > 1:
    # In units in which both unknowns are of about the same size.
    columns = np.stack([1 / seconds, rates / macs.max()], axis=1)
    overhead, largest = np.linalg.lstsq(columns, np.ones_like(macs))[0]
    if overhead >= 0 and largest > 0:
      return Line(float(largest / macs.max()), float(overhead))
  return Line(float(rates.sum() / np.square(rates).sum()))


@dataclasses.dataclass(frozen=True)
class Machine:
  """What was measured.

  Attributes:
    training: of a step on one device, without the average of gradients.
    dense: of evaluating whole images; its overhead is that of one image.
    multicrop: of evaluating crops, likewise.
    bandwidth: bytes/s between devices, each way; 0: there is one device.
    input_rate: training images/s that are read, in all; 0: always enough.
  """

  training: Line
  dense: Line
  multicrop: Line
  bandwidth: float = 0.0
  input_rate: float = 0.0

  def step(
    self, model: VGG, batch_size: int, devices: int, passes: int = PASSES
  ) -> float:
    """Seconds of a training step of a batch on all devices together."""
    macs = passes * forward_macs(model, model.crop_size) * batch_size
    seconds = self.training.seconds(macs / devices)
    seconds += self.all_reduce(model, devices)
    if self.input_rate:
      seconds = max(seconds, batch_size / self.input_rate)
    return seconds

  def all_reduce(self, model: VGG, devices: int) -> float:
    """Seconds in which a ring of devices averages float32 gradients."""
    if devices == 1:
      return 0.0
    sent = 2 * (devices - 1) / devices * FLOAT * count_parameters(model)
    return sent / self.bandwidth

  def dense_image(self, model: VGG, scale: int) -> float:
    """Seconds of an image of ImageNet's and its mirror image at one Q."""
    _, computed = dense_macs(model, scale)
    return self.dense.seconds(MIRRORED * computed)

  def multicrop_image(self, model: VGG) -> float:
    """Seconds of an image's 25 crops and their mirror images."""
    macs = MIRRORED * CROPS * forward_macs(model, model.crop_size)
    return self.multicrop.seconds(macs)


def forward_macs(model: VGG, height: int, width: int = 0) -> int:
  """Those of one image, as `parameters.count_macs` in a thousandth of the time.

  Args:
    model: a network with pool "ceil".
    height: pixels.
    width: pixels; 0: the height.
  """
  sides = [height, width or height]
  channels, total = 3, 0
  for layer in block_layers(model.network):
    if layer.kind == "pool":
      sides = [geometry.pooled_size(side, model.pool, 1) for side in sides]
    elif layer.kind == "conv":
      wider = round(layer.channels * model.width)
      total += layer.kernel**2 * channels * wider * sides[0] * sides[1]
      channels = wider
  window = model.crop_size // 32
  hidden = round(FC_CHANNELS * model.width)
  fc = window**2 * channels * hidden + hidden**2 + hidden * model.num_outputs
  return total + fc * (sides[0] - window + 1) * (sides[1] - window + 1)


def dense_macs(
  model: VGG, scale: int, shapes: Sequence[tuple[int, int]] = ()
) -> tuple[float, float]:
  """Mean MACs of ImageNet's images at one Q: needed, and with the padding."""
  pad = pad_whole_images(model)
  counts = collections.Counter(shapes or SHAPES)
  needed = computed = 0
  for shape, count in counts.items():
    size = geometry.rescaled_size(*shape, scale)
    needed += count * forward_macs(model, *size)
    computed += count * forward_macs(model, *pad(size))
  total = sum(counts.values())
  return needed / total, computed / total


def machine_of(
  images_per_second: float,
  dense_per_second: float = 0.0,
  *,
  bandwidth: float = 0.0,
  input_rate: float = 0.0,
) -> Machine:
  """From the rates of net D on one device.

  Args:
    images_per_second: training at 224 pixels.
    dense_per_second: dense evaluation at Q = 384; 0: at training's speed, which
      then is multi-crop's too.
    bandwidth: see `Machine`.
    input_rate: see `Machine`.
  """
  model = create_model("D")
  macs = PASSES * forward_macs(model, model.crop_size)
  training = Line(1 / images_per_second / macs)
  evaluation = training
  if dense_per_second:
    _, computed = dense_macs(model, 384)
    evaluation = Line(1 / dense_per_second / MIRRORED / computed)
  return Machine(training, evaluation, evaluation, bandwidth, input_rate)


def read_measured(path: Path, precision: str, **options: float) -> Machine:
  """From the file that `python -m benchmarks.gpu --json=FILE` wrote.

  Raises:
    ValueError: if it has no training of that precision.
  """
  rows = json.loads(path.read_text())["rows"]
  steps, dense, multicrop = [], [], []
  for name, row in rows.items():
    kind, *rest = name.replace(",", "").split()
    if rest[-1] != precision:
      continue
    if kind == "train":
      model, batch_size = create_model(rest[0]), int(rest[2])
      macs = PASSES * batch_size * forward_macs(model, model.crop_size)
      steps.append((macs, batch_size / row["rate"]))
    elif kind == "dense":
      shapes = common_shapes(MEASURED_IMAGES)
      _, macs = dense_macs(create_model(rest[0]), int(rest[2]), shapes)
      dense.append(1 / row["rate"] / MIRRORED / macs)
    elif kind == "multi-crop":
      macs = MIRRORED * CROPS * forward_macs(create_model(rest[0]), 224)
      multicrop.append(1 / row["rate"] / macs)
  if not steps:
    raise ValueError(f"{path} has no training in {precision}")
  training = fit(steps)
  plain = Line(training.per_mac)
  lines = [
    Line(statistics.median(found)) if found else plain
    for found in (dense, multicrop)
  ]
  return Machine(training, *lines, **options)

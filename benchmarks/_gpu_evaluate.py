"""Dense and multi-crop evaluation on one device, beside torch's (Sect. 3.2)."""

import functools
import itertools
from collections.abc import Callable

import numpy as np

from benchmarks import _gpu_torch
from benchmarks._gpu_bench import (
  MEAN,
  Bench,
  Case,
  Result,
  check_close,
  random_params,
  time_peers,
)
from benchmarks._gpu_images import (
  batches_by_shape,
  cut_grid,
  rescaled_images,
)
from vggjax.evaluate.dense import dense_buckets
from vggjax.evaluate.multicrop import GRID, multicrop_buckets
from vggjax.evaluate.rows import Rows

NETWORK = "D"
MIRRORED = 2
# The name of the precision in `Buckets`.
PRECISIONS = {"bf16": "default", "tf32": "high"}
# Of the posteriors' norm.
TOLERANCES = {"bf16": 0.1, "tf32": 0.02}
AT_A_TIME, BY_SHAPE = "an image at a time", "batched by shape"


def cases(bench: Bench) -> list[Case]:
  """Dense evaluation at each Q and precision; multi-crop at the first Q."""
  result = []
  for precision, scale in itertools.product(PRECISIONS, bench.sizes.scales):
    last = precision != "bf16"
    result.append(
      Case(
        "dense",
        f"dense {NETWORK}, Q {scale}, {precision}",
        functools.partial(dense, scale=scale, precision=precision),
        rank=5 if last else 1 + 2 * (scale != bench.sizes.scales[0]),
        least_ratio=1.0,
      )
    )
  scale = bench.sizes.scales[0]
  for precision in PRECISIONS:
    result.append(
      Case(
        "multicrop",
        f"multi-crop {NETWORK}, Q {scale}, {precision}",
        functools.partial(multicrop, scale=scale, precision=precision),
        rank=5 if precision != "bf16" else 3,
        least_ratio=1.0,
      )
    )
  return result


def dense(bench: Bench, scale: int, precision: str) -> Result:
  """From rescaled images in memory to posteriors in memory."""
  images = rescaled_images(bench, scale, bench.sizes.images)
  params = random_params(bench, NETWORK)
  model = bench.create_model(NETWORK, precision)

  def ours(batch_size):
    buckets = dense_buckets(
      model,
      params,
      mean=MEAN,
      precision=PRECISIONS[precision],
      devices=bench.devices[:1],
      batch_size=batch_size,
    )
    return _over(buckets, images)

  def theirs(order, batches):
    net = torch_net(bench, params, precision)
    # In the order of ours.
    back = np.argsort(order)
    return lambda: _gpu_torch.dense_posteriors(net, batches)[back]

  order, by_shape = batches_by_shape(images)
  large = f"ours, batches of {bench.sizes.dense_batch}"
  makers = {
    "ours": lambda: ours(0),
    large: lambda: ours(bench.sizes.dense_batch),
    AT_A_TIME: lambda: theirs(
      np.arange(len(images)), [image[None] for image in images]
    ),
    BY_SHAPE: lambda: theirs(order, by_shape),
  }
  macs = sum(_macs(bench, *image.shape[:2]) for image in images)
  return _result(bench, makers, precision, len(images), macs)


def multicrop(bench: Bench, scale: int, precision: str) -> Result:
  """From rescaled images in memory to posteriors of 25 crops, mirrored."""
  images = rescaled_images(bench, scale, bench.sizes.multicrop_images)
  params = random_params(bench, NETWORK)
  model = bench.create_model(NETWORK, precision)
  side = bench.sizes.crop_size

  def ours():
    buckets = multicrop_buckets(
      model,
      params,
      mean=MEAN,
      precision=PRECISIONS[precision],
      devices=bench.devices[:1],
    )
    return _over(buckets, images)

  def theirs():
    net = torch_net(bench, params, precision)
    return lambda: _gpu_torch.multicrop_posteriors(
      net, [cut_grid(image, side) for image in images]
    )

  makers = {"ours": ours, AT_A_TIME: theirs}
  macs = len(images) * GRID**2 * _macs(bench, side, side)
  return _result(bench, makers, precision, len(images), macs)


def _over(buckets, images: list[np.ndarray]) -> Callable[[], np.ndarray]:
  """Computes posteriors of all images, as an evaluation does."""

  def call():
    rows = [Rows(len(images))]
    buckets.map(((i, [image]) for i, image in enumerate(images)), rows)
    return rows[0].values()

  return call


def _result(
  bench: Bench, makers: dict, precision: str, number: int, macs: int
) -> Result:
  """Compares what all compute, then times them.

  Args:
    bench: what is measured on.
    makers: by name; the first is ours, those called "ours, ..." are too.
    precision: "bf16" or "tf32".
    number: of images.
    macs: of all images, without their mirror images.
  """
  found = {}

  def kept(name, make):
    call = make()

    def once():
      found[name] = call()

    return once

  seconds, left_out = time_peers(
    {
      name: functools.partial(kept, name, make) for name, make in makers.items()
    },
    bench.sizes.repeats,
  )
  for name, values in found.items():
    if name != "ours":
      check_close(
        found["ours"],
        values,
        TOLERANCES[precision],
        f"what ours computes, from {name},",
      )
  rates = {name: number / of for name, of in seconds.items()}
  rate = rates.pop("ours")
  also = [name for name in rates if name.startswith("ours")]
  notes = [f"{name}: {rates.pop(name):,.1f}" for name in also]
  notes += [f"{name} does not fit" for name in left_out]
  return Result(
    rate,
    flops=rate / number * 2 * MIRRORED * macs,
    ceiling=bench.ceilings[precision],
    peers=rates,
    note="; ".join(notes),
  )


def torch_net(bench: Bench, params: dict, precision: str) -> _gpu_torch.Net:
  """The peer, without dropout."""
  net = _gpu_torch.Net(
    NETWORK,
    params,
    dropout=0.0,
    precision=precision,
    device=bench.torch_device,
  )
  return net.eval()


@functools.cache
def _macs_of(network: str, sizes, height: int, width: int) -> int:
  return Bench(sizes, [], "cpu", False).macs(network, height, width)


def _macs(bench: Bench, height: int, width: int) -> int:
  return _macs_of(NETWORK, bench.sizes, height, width)

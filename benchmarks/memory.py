"""Peak memory of a training step against what it must hold (Sect. 2, 3.1).

  python -m benchmarks.memory [--network D] [--batch_size N] [--width F]
      [--crop_size PIXELS]

What it must hold is counted layer by layer from Table 1: parameters, momentum
and gradients once each, and the activations that the gradient needs. Measured,
in a process for each row, are XLA's own account and the peak of the resident
memory (Linux): as training runs; without donation, where the old state stays
beside the new one; and with config.rematerialize=blocks. The last line is what
was counted over the measured peak of the first row.
"""

import argparse
import ctypes
import gc
import math
import multiprocessing
import re
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import jax
import numpy as np

from vggjax import huge_pages, parallel
from vggjax.models import create, parameters, vgg
from vggjax.train import optim, step

FLOAT = 4
CLASSES = 1000
OPTIMIZER = optim.sgd(1e-4)
# name: (donate, rematerialize)
ROWS = {
  "plain": (True, "none"),
  "without donation": (False, "none"),
  "rematerialized": (True, "blocks"),
}


def count_activations(network, width, crop_size, num_outputs, rematerialize):
  """Bytes of an image's activations that the gradient needs (Table 1).

  The gradient of a convolution's kernel needs its input, that of a ReLU or a
  max-pool the output: so the image, every convolution after its ReLU, every
  normalization and every pool are kept, once. Of fc6 and fc7 the output before
  and after dropout, and of fc8 the scores. Rematerialized, only the blocks'
  inputs are kept, and the inside of one block at a time.
  """
  side, channels = crop_size, 3
  kept = FLOAT * side**2 * channels
  insides = []
  for block in vgg.blocks(network):
    inside = 0
    for layer in block:
      if layer.kind == "conv":
        channels = round(layer.channels * width)
      if layer.kind == "pool":
        side //= 2
        kept += FLOAT * side**2 * channels
      else:
        inside += FLOAT * side**2 * channels
    insides.append(inside)
  kept += max(insides) if rematerialize == "blocks" else sum(insides)
  hidden = round(vgg.FC_CHANNELS * width)
  return kept + FLOAT * (4 * hidden + num_outputs)


def resident(field):
  """This process's memory in bytes: VmRSS now, VmHWM at its peak."""
  status = Path("/proc/self/status").read_text()
  return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", status)[1])


def settle():
  """Gives freed memory back, and lets the peak begin at what is held."""
  gc.collect()
  ctypes.CDLL(None).malloc_trim(0)
  Path("/proc/self/clear_refs").write_text("5")


def make_state(model):
  """A state before the first step, on the host; its parameters are 0.001."""
  params = jax.tree.map(
    lambda a: np.full(a.shape, 1e-3, a.dtype), parameters.param_shapes(model)
  )
  return step.create_train_state(
    model, params, OPTIMIZER, mean=np.full(3, 120.0), seed=0
  )


def make_batch(batch_size, crop_size):
  """A training batch of gray images."""
  return {
    "image": np.full((batch_size, crop_size, crop_size, 3), 100, np.uint8),
    "shift": np.zeros((batch_size, 3), np.float32),
    "label": np.arange(batch_size, dtype=np.int32) % CLASSES,
  }


def measure(row, network, width, crop_size, batch_size):
  """XLA's account, the peak above what was held before, seconds a step."""
  donate, rematerialize = ROWS[row]
  model = create.create_model(
    network, width=width, crop_size=crop_size, rematerialize=rematerialize
  )
  devices = parallel.select_devices(1)
  batch = parallel.shard(make_batch(batch_size, crop_size), devices)
  run = parallel.data_parallel(step.train_step, devices, donate=donate)
  compiled = run.compile(make_state(model), batch)
  settle()
  before = resident("VmRSS")
  state = parallel.replicate(make_state(model), devices)
  settle()
  times = []
  for _ in range(3):
    begin = time.perf_counter()
    old, (state, _) = state, compiled(state, batch)
    jax.block_until_ready(state.params)
    del old
    times.append(time.perf_counter() - begin)
  peak = resident("VmHWM") - before
  account = compiled.memory_analysis()
  by_xla = (
    account.argument_size_in_bytes
    + account.output_size_in_bytes
    - account.alias_size_in_bytes
    + account.temp_size_in_bytes
  )
  return by_xla, peak, min(times)


def main():
  """Prints the count, a line for each row, and the ratio."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--network", default="D", choices=vgg.NETWORKS)
  parser.add_argument("--batch_size", type=int, default=16)
  parser.add_argument("--width", type=float, default=1.0)
  parser.add_argument("--crop_size", type=int, default=224)
  options = parser.parse_args()
  sizes = (options.network, options.width, options.crop_size)
  model = create.create_model(
    options.network, width=options.width, crop_size=options.crop_size
  )
  shapes = jax.tree.leaves(parameters.param_shapes(model))
  params = sum(FLOAT * math.prod(a.shape) for a in shapes)
  print(
    f"{options.network}, width {options.width:g}, batch {options.batch_size} "
    f"at {options.crop_size}, float32; GB"
  )
  ratios = {}
  for row, (_, rematerialize) in ROWS.items():
    kept = options.batch_size * count_activations(
      *sizes, CLASSES, rematerialize
    )
    counted = 3 * params + kept
    # Neither has the other's memory nor its peak.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
      by_xla, peak, seconds = pool.submit(
        measure, row, *sizes, options.batch_size
      ).result()
    ratios[row] = counted / peak
    print(
      f"{row}: parameters, momentum, gradients {params / 1e9:.2f} each + "
      f"activations {kept / 1e9:.2f} = {counted / 1e9:.2f}; XLA "
      f"{by_xla / 1e9:.2f}; peak {peak / 1e9:.2f}; {seconds:.2f} s a step"
    )
  print(f"ratio {ratios['plain']:.2f}")


if __name__ == "__main__":
  huge_pages.begin_again()
  main()

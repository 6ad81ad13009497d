"""The training step on CPUs in float32 beside PyTorch's (Sect. 3.1)."""

import argparse
import time

import jax

from benchmarks import _gpu_torch, _gpu_train, _harness
from benchmarks._gpu_bench import Bench, Sizes, random_params

# On CPUs the name of what computes in float32 throughout.
PRECISION = "tf32"


def arguments(description: str, **defaults) -> argparse.Namespace:
  """The options of these benchmarks."""
  parser = argparse.ArgumentParser(description=description.splitlines()[0])
  for name, default in defaults.items():
    nargs = "+" if isinstance(default, list) else None
    kind = type(default[0] if nargs else default)
    parser.add_argument(f"--{name}", type=kind, nargs=nargs, default=default)
  return parser.parse_args()


def make_bench(width: float, crop_size: int, num_outputs: int) -> Bench:
  """What the measurement takes for its devices and sizes."""
  sizes = Sizes(width=width, crop_size=crop_size, num_outputs=num_outputs)
  return Bench(sizes, jax.devices()[:1], "cpu", compile=False)


def measure(
  bench: Bench, network: str, batch_size: int, rounds: int, steps: int = 1
) -> float:
  """Prints both times of a step; returns the ratio.

  Args:
    bench: from `make_bench`.
    network: of Table 1, without LRN.
    batch_size: images a step.
    rounds: timed calls of each.
    steps: of a call.
  """
  params = random_params(bench, network)
  _gpu_train.compare(bench, network, params, PRECISION)
  batch = _gpu_train.random_batch(bench, batch_size)
  begin = time.perf_counter()
  ours = _gpu_train.TrainStep(
    bench, network, params, batch, precision=PRECISION
  )
  ours.run(1)
  seconds = time.perf_counter() - begin
  print(f"  first step, compilation included: {seconds:.1f} s")
  theirs = _gpu_torch.TrainStep(
    bench, network, params, batch, precision=PRECISION, compiled=False
  )
  medians = _harness.alternate(
    {"ours": lambda: ours.run(steps), "torch": lambda: theirs.run(steps)},
    rounds,
  )
  rates = {k: steps * batch_size / value for k, value in medians.items()}
  flops = 2 * _gpu_train.PASSES * bench.macs(network) * rates["ours"]
  ratio = rates["ours"] / rates["torch"]
  print(
    f"{network}, width {bench.sizes.width:g}, {bench.sizes.crop_size} pixels, "
    f"batch {batch_size}: ours {rates['ours']:.2f} images/s, torch "
    f"{rates['torch']:.2f}, ratio {ratio:.2f}; {flops / 1e9:.0f} GFLOP/s "
    "counted as plain convolutions",
    flush=True,
  )
  return ratio

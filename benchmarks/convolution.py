"""Convolutions of net D on CPUs, forward and backward, against PyTorch's.

  python -m benchmarks.convolution [--images=8] [--rounds=3] [--width=1]
      [--crop_size=224]

Layer by layer, in float32, without bias: XLA's own, as JAX compiles it; ours,
which chooses the way that suits the layer, compiled as our programs are; and
PyTorch's (channels_last). The results are compared before they are timed. The
last line is PyTorch's time over ours, of all layers with all their passes.
"""

import argparse

import jax
import numpy as np

from benchmarks import _harness
from vggjax import huge_pages, parallel
from vggjax.models import convolution, vgg

PASSES = "forward", "input gradient", "kernel gradient"


def layer_shapes(width, crop_size):
  """(name, side, kernel's side, C, K) of each convolution of net D."""
  side, channels, found = crop_size, 3, []
  for layer in vgg.block_layers("D"):
    if layer.kind == "pool":
      side //= 2
      continue
    features = round(layer.channels * width)
    found.append((layer.name, side, layer.kernel, channels, features))
    channels = features
  return found


def jax_calls(function, x, kernel, gradient, options=None):
  """Each pass as a call of one compiled program, to its end."""

  def pull(x, kernel, gradient, argument):
    return jax.vjp(function, x, kernel)[1](gradient)[argument]

  passes = [
    function,
    lambda x, k, g: pull(x, k, g, 0),
    lambda x, k, g: pull(x, k, g, 1),
  ]
  programs = [jax.jit(f, compiler_options=options) for f in passes]
  arguments = [(x, kernel), (x, kernel, gradient), (x, kernel, gradient)]
  return [
    lambda p=p, a=a: jax.block_until_ready(p(*a))
    for p, a in zip(programs, arguments, strict=True)
  ]


def torch_calls(x, kernel, gradient):
  """The same by PyTorch."""
  import torch

  x, gradient = (torch.from_numpy(a).permute(0, 3, 1, 2) for a in (x, gradient))
  weight = torch.from_numpy(kernel).permute(3, 2, 0, 1)
  weight = weight.contiguous(memory_format=torch.channels_last)
  padding = len(kernel) // 2

  def forward():
    with torch.inference_mode():
      return torch.nn.functional.conv2d(x, weight, padding=padding)

  def backward(*wanted):
    return torch.ops.aten.convolution_backward(
      gradient,
      x,
      weight,
      None,
      [1, 1],
      [padding, padding],
      [1, 1],
      False,
      [0, 0],
      1,
      [*wanted, False],
    )

  return [
    lambda: forward().permute(0, 2, 3, 1),
    lambda: backward(True, False)[0].permute(0, 2, 3, 1),
    lambda: backward(False, True)[1].permute(2, 3, 1, 0),
  ]


def measure(shape, images, rounds):
  """The medians of a layer by pass: (pass, {peer: seconds})."""
  name, side, window, channels, features = shape
  random = np.random.default_rng(0)
  x = random.standard_normal((images, side, side, channels), np.float32)
  kernel = random.standard_normal(
    (window, window, channels, features), np.float32
  )
  gradient = random.standard_normal((images, side, side, features), np.float32)
  options = parallel.compiler_options(jax.default_backend())
  on_device = [jax.device_put(a) for a in (x, kernel, gradient)]
  peers = {
    "XLA": jax_calls(convolution.direct, *on_device),
    "ours": jax_calls(convolution.convolve, *on_device, options),
    "torch": torch_calls(x, kernel, gradient),
  }
  for number, what in enumerate(PASSES):
    if name == "conv1_1" and what == "input gradient":
      continue  # Images need none.
    calls = {peer: of_peer[number] for peer, of_peer in peers.items()}
    wanted = np.asarray(calls["torch"]())
    error = np.abs(np.asarray(calls["ours"]()) - wanted).max()
    assert error < 1e-4 * np.abs(wanted).max(), (name, what, error)
    yield what, _harness.alternate(calls, rounds)


def main():
  """Prints a line for each layer and pass, then the ratio."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--images", type=int, default=8)
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--width", type=float, default=1.0)
  parser.add_argument("--crop_size", type=int, default=224)
  options = parser.parse_args()
  totals = dict.fromkeys(("XLA", "ours", "torch"), 0.0)
  measured = {}
  for name, *shape in layer_shapes(options.width, options.crop_size):
    key = tuple(shape)
    if key not in measured:
      measured[key] = list(
        measure((name, *shape), options.images, options.rounds)
      )
      for what, medians in measured[key]:
        times = ", ".join(f"{k} {1e3 * v:.0f}" for k, v in medians.items())
        print(f"{name} {what}: {times} ms", flush=True)
    for _, medians in measured[key]:
      for peer, seconds in medians.items():
        totals[peer] += seconds
  print(
    f"all layers, {options.images} images: "
    + ", ".join(f"{k} {v:.2f} s" for k, v in totals.items())
  )
  _harness.print_ratio(totals["torch"], totals["ours"])


if __name__ == "__main__":
  huge_pages.begin_again()
  main()

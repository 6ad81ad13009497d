"""Networks in PyTorch of the same weights, photos, and turns between peers."""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vggjax import images
from vggjax.models import create, parameters, vgg

IMAGES = Path(__file__).resolve().parents[2] / "shared/data/ilsvrc2012_val128"
MEAN = (123.68, 116.779, 103.939)


def arguments(description: str, *, scales: Sequence[int], count: int):
  """The options that these benchmarks share.

  Args:
    description: its docstring.
    scales: the default Q, pixels.
    count: images by default.
  """
  parser = argparse.ArgumentParser(description=description.splitlines()[0])
  parser.add_argument("--images", type=Path, default=IMAGES)
  parser.add_argument("--scales", type=int, nargs="+", default=list(scales))
  parser.add_argument("--count", type=int, default=count)
  parser.add_argument("--full", action="store_true", help="all images")
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--width", type=float, default=1.0)
  return parser.parse_args()


def load_photos(folder: Path) -> list[np.ndarray]:
  """All images in a folder and those in it, decoded, by name.

  Ends with a line if there are none.
  """
  paths = [*folder.rglob("*.JPEG"), *folder.rglob("*.jpg")]
  if not paths:
    sys.exit(
      f"{folder}: no JPEG images; --images=FOLDER names a folder of some"
    )
  return [images.decode(path) for path in sorted(paths)]


def spread(items: Sequence, count: int) -> list:
  """`count` of the items (all, if there are fewer), evenly spread."""
  count = min(count, len(items))
  return [items[i * len(items) // count] for i in range(count)]


def random_weights(width: float) -> tuple[vgg.VGG, dict]:
  """Net D and weights by which signals reach the end."""
  model = create.create_model("D", width=width)
  random = np.random.default_rng(0)
  params = {}
  for name, layer in parameters.param_shapes(model).items():
    shape = layer["kernel"].shape
    # Pixels reach 100; the scores shall be about 1.
    std = np.sqrt(2 / np.prod(shape[:3])) / (60 if name == "fc8" else 1)
    params[name] = {
      "kernel": random.standard_normal(shape, np.float32) * np.float32(std),
      "bias": random.standard_normal(shape[-1], np.float32) / 2,
    }
  return model, params


def torch_net(model: vgg.VGG, params: dict) -> Callable:
  """The same network in PyTorch, channels last.

  Args:
    model: a network without LRN.
    params: its parameters.

  Returns:
    A function of images float32 [n, H, W, 3] minus the mean, of one size, to
    the score map, a tensor [n, K, h, w].
  """
  import torch
  from torch import nn

  modules = []
  fc_layers = [
    vgg.Layer("fc6", "conv"),
    vgg.Layer("fc7", "conv"),
    vgg.Layer("fc8", "conv"),
  ]
  for layer in (*vgg.block_layers(model.network), *fc_layers):
    if layer.kind == "pool":
      modules.append(nn.MaxPool2d(2, 2, ceil_mode=model.pool == "ceil"))
      continue
    kernel, bias = params[layer.name]["kernel"], params[layer.name]["bias"]
    side, _, inputs, outputs = kernel.shape
    conv = nn.Conv2d(inputs, outputs, side, padding=layer.kernel // 2)
    conv.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    conv.bias.data = torch.from_numpy(bias)
    modules += [conv, nn.ReLU(inplace=True)]
  # Scores have no ReLU.
  net = nn.Sequential(*modules[:-1]).eval()
  net = net.to(memory_format=torch.channels_last)
  return lambda x: net(torch.from_numpy(x).permute(0, 3, 1, 2))


def compare(
  model: vgg.VGG,
  params: dict,
  ours: Callable[[], np.ndarray],
  theirs: Callable[[Callable], np.ndarray],
  *,
  rounds: int,
) -> None:
  """Runs both by turns; prints their medians and the median ratio.

  Args:
    model: a network.
    params: its parameters.
    ours: gives posteriors [N, K]; compiles in its first call.
    theirs: the same by PyTorch, of the network from `torch_net`.
    rounds: timed calls of each.
  """
  before = time.perf_counter()
  wanted = ours()
  print(
    f"first run, compilation included: {time.perf_counter() - before:.1f} s; "
    f"peak memory {peak_memory() / 1e9:.2f} GB, weights included",
    flush=True,
  )
  # Made only now, so that the peak above is ours.
  net = torch_net(model, params)
  found = np.asarray(theirs(net))
  # Classes that are all alike would hide much.
  assert (np.ptp(wanted, axis=1) > 0.1 * wanted.max()).all()
  error = np.abs(found - wanted).max() / wanted.max()
  print(f"largest difference {error:.1e} of the largest posterior")
  assert error < 1e-3
  seconds = {"ours": [], "torch": []}
  for _ in range(rounds):
    for name, function in (("ours", ours), ("torch", lambda: theirs(net))):
      begin = time.perf_counter()
      function()
      seconds[name].append((time.perf_counter() - begin) / len(wanted))
  for name, values in seconds.items():
    listed = ", ".join(f"{value:.3f}" for value in values)
    print(f"{name}: {statistics.median(values):.3f} s an image ({listed})")
  # Of turns that follow one another: a machine's speed changes in minutes.
  ratios = np.divide(seconds["torch"], seconds["ours"])
  print(f"ratio {np.median(ratios):.2f}")


def peak_memory() -> int:
  """The most bytes that the process had so far."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == "darwin" else 1024 * peak

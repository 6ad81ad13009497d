"""`vggjax info`: a network's layers, and what weights are known to be."""

import argparse
import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vggjax.addresses import location
from vggjax.commands import options as common
from vggjax.features.extract import layer_names
from vggjax.models import create, parameters, vgg
from vggjax.weights.load import load_weights
from vggjax.weights.weights import Weights


def add_parser(commands: Any) -> None:
  """Adds the command to those of a parser."""
  parser = commands.add_parser(
    "info",
    help="describe weights or a network",
    description="Prints a network's layers, and for weights where they come "
    "from.",
  )
  parser.add_argument(
    "what",
    metavar="FILE|RUN|NAME|NETWORK",
    help=f"{common.WEIGHTS_HELP}; or one of {', '.join(vgg.NETWORKS)}",
  )
  parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
  """Prints; returns the exit status."""
  path = location(options.what)
  if options.what in vgg.NETWORKS and not path.exists():
    print_layers(create.create_model(options.what))
    return 0
  weights = load_weights(options.what)
  model = weights.create_model()
  print_layers(model)
  print(f"rounding of odd sides in pooling: {weights.pool}")
  print(f"mean to subtract, RGB: {', '.join(f'{m:.3f}' for m in weights.mean)}")
  print(f"classes: {describe_classes(weights)}")
  if path.is_file():
    with path.open("rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
    print(f"SHA-256 of the file: {digest}")
  for key, value in weights.card.items():
    print(f"{key}: {value if isinstance(value, str) else json.dumps(value)}")
  return 0


def describe_classes(weights: Weights) -> str:
  """Their number, and the first few."""
  if not weights.num_outputs:
    return "none, as there are no FC layers"
  if not weights.class_names:
    return f"{weights.num_outputs}, not named"
  few = ", ".join(weights.class_names[:3])
  boxes = ""
  if weights.objective != "classes":
    boxes = f"; the outputs are boxes, {weights.objective}"
  return f"{len(weights.class_names)}: {few}, ...{boxes}"


class LayerInfo(NamedTuple):
  """A row of the table; sides in pixels of the input."""

  name: str
  kernel: str
  output: str
  field: int
  stride: int
  parameters: int
  macs: int


def describe_layers(model: vgg.VGG) -> Iterator[LayerInfo]:
  """The layers of a network for an image of the crop's size, in order."""
  params = parameters.param_shapes(model)
  side = model.crop_size
  image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  scores, outputs = jax.eval_shape(
    lambda p, x: model.apply({"params": p}, x), params, image
  )
  if scores is not None:
    outputs = {**outputs, "fc8": scores}
  kernels = {a.name: a.kernel for a in vgg.block_layers(model.network)}
  field, stride = 1, 1
  # JAX sorts a dictionary's keys.
  for name in (*layer_names(model), *(["fc8"] if model.num_outputs else [])):
    kernel = kernels.get(name, side // 32 if name == "fc6" else 1)
    is_pool = name.startswith("pool")
    field += (1 if is_pool else max(0, kernel - 1)) * stride
    stride *= 2 if is_pool else 1
    arrays = params.get(name, {})
    height, width, channels = outputs[name].shape[1:]
    macs = 0
    if arrays:
      macs = height * width * arrays["kernel"].size
    yield LayerInfo(
      name,
      "2x2/2" if is_pool else f"{kernel}x{kernel}" if arrays else "",
      f"{height}x{width}x{channels}",
      field,
      stride,
      sum(a.size for a in arrays.values()),
      macs,
    )


def print_layers(model: vgg.VGG) -> None:
  """Prints the layers, and their sums."""
  rows = list(describe_layers(model))
  width = f", width {model.width:g}" if model.width != 1 else ""
  print(f"network {model.network}{width}, crop {model.crop_size} pixels")
  print(
    f"{'layer':8} {'kernel':>7} {'output':>13} {'field':>6} {'stride':>6} "
    f"{'parameters':>12} {'MACs':>15}"
  )
  for row in rows:
    print(
      f"{row.name:8} {row.kernel:>7} {row.output:>13} {row.field:>6} "
      f"{row.stride:>6} {row.parameters:>12,} {row.macs:>15,}"
    )
  count, macs = (sum(values) for values in list(zip(*rows, strict=True))[5:])
  print(f"{'sum':8} {'':7} {'':13} {'':6} {'':6} {count:>12,} {macs:>15,}")
  print("field: the side of what a position sees; stride: between positions")

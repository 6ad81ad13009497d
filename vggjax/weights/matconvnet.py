"""MatConvNet's models (.mat): Oxford's nets as its authors converted them.

They take RGB pixels of 0-255 minus the mean in the file. Their kernels are
H x W x I x O, those of the FC layers too, which are convolutions. What would
make a net another one than Table 1's is refused: the weights alone do not tell.

Pooling: a row and a column more at the bottom and the right, pad [0 1 0 1],
is Caffe's rounding up of odd sides; without padding MatConvNet itself rounds
them down. The imports before version 1.0-beta17 have no padding, although the
nets were trained in Caffe: their sides of 224 stay even.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vggjax.errors import InputError
from vggjax.models import vgg
from vggjax.weights.foreign import Array, Foreign, ForeignLayer, Kernel
from vggjax.weights.mat_values import (
  Value,
  as_array,
  as_list,
  as_numbers,
  as_struct,
  as_text,
  describe,
  is_empty,
)
from vggjax.weights.matconvnet_net import Layer, is_close, read_net, text

# H x W x I x O with its axes reversed, as the readers of files give them.
AXES = "OIWH"
FC_TYPES = ("conv", "relu") * 2 + ("conv",)
# What follows the scores.
AFTER_SCORES = ("softmax", "loss")
# By the padding at the top, bottom, left and right.
POOLS = {(0, 0, 0, 0): "floor", (0, 1, 0, 1): "ceil"}
# Size, k, alpha (not divided by the size, as Caffe's is), beta.
LRN_CONSTANTS = {"krizhevsky": (5, 2, 1e-4, 0.75), "caffe": (5, 1, 2e-5, 0.75)}
LRN_DEFAULT = LRN_CONSTANTS["caffe"]
# Levels by which a mean image may differ from a constant color.
ROUNDING = 0.01


def read(path: Path) -> Foreign:
  """Reads a net; its numbers are read when used, unless they are compressed.

  If the file lacks the mean, so does the result: nothing is assumed.

  Raises:
    InputError: if the file is damaged, or its layers are not those of one of
      the paper's networks.
  """
  layers, meta = read_net(path)
  layers = [layer for layer in layers if layer.type != "dropout"]
  while layers and layers[-1].type in AFTER_SCORES:
    layers.pop()
  fc_names = _check_order([layer.type for layer in layers])
  convs = [layer for layer in layers if layer.type == "conv"]
  ours = ("",) * (len(convs) - len(fc_names)) + fc_names
  found = [
    _foreign_layer(layer, fc_name)
    for layer, fc_name in zip(convs, ours, strict=True)
  ]
  pools = {_pool(layer) for layer in layers if layer.type == "pool"}
  if len(pools) > 1:
    raise InputError(
      "rounds odd sides up in one pooling layer, down in another"
    )
  for layer in layers:
    if layer.type == "relu":
      layer.check("leak", 2, 0, 0)
  normalizations = [_lrn(layer) for layer in layers if layer.type == "lrn"]
  mean, note = _mean(meta)
  class_names = _class_names(meta) if fc_names else ()
  return Foreign(
    found,
    mean=mean,
    pool=pools.pop(),
    lrn=normalizations[0] if normalizations else "",
    class_names=class_names,
    imagenet_order=not class_names,
    card={"layout": "MatConvNet", **note},
  )


def _check_order(types: list[str]) -> tuple[str, ...]:
  """The names of the FC layers, (): there are none.

  Raises:
    InputError: unless a network has layers of these types.
  """
  for network in vgg.NETWORKS:
    blocks = []
    for layer in vgg.block_layers(network):
      blocks += ["conv", "relu"] if layer.kind == "conv" else [layer.kind]
    if types == [*blocks, *FC_TYPES]:
      return vgg.FC_LAYERS
    # Feature nets may end before the last pooling, or the ReLU before it.
    if types in (blocks, blocks[:-1], blocks[:-2]):
      return ()
  hint = ""
  if "bnorm" in types or "dagnn.BatchNorm" in types:
    hint = "; merge batch normalization with MatConvNet's cnn_imagenet_deploy"
  shown = textwrap.shorten(" ".join(types), 200, placeholder=" ...")
  raise InputError(
    f"its layers are {shown or 'none'}; none of the networks "
    f"{', '.join(vgg.NETWORKS)} with 0 or {len(vgg.FC_LAYERS)} FC layers has "
    f"them in this order{hint}"
  )


def _foreign_layer(layer: Layer, fc_name: str) -> ForeignLayer:
  """A convolution; `fc_name` is what it is in ours, "": it is none."""
  name = layer.name
  if len(layer.weights) != 2 or any(map(is_empty, layer.weights)):
    raise InputError(f"{name} must have a kernel and a bias")
  kernel = as_array(layer.weights[0], f"{name}'s kernel")
  bias = as_array(layer.weights[1], f"{name}'s bias")
  if len(kernel.shape) > len(AXES):
    raise InputError(f"{name}'s kernel is {describe(kernel)}, not of 4 axes")
  if len(kernel.shape) < len(AXES):
    kernel = _FourAxes(kernel)
  out_channels, _, width, height = kernel.shape
  if math.prod(bias.shape) != out_channels:
    raise InputError(
      f"{name} has {out_channels} output channels, and its bias is "
      f"{describe(bias)}"
    )
  layer.check("pad", 4, 0, 0 if fc_name else (height - 1) / 2)
  layer.check("stride", 2, 1, 1)
  layer.check("dilate", 2, 1, 1)
  if fc_name in vgg.FC_LAYERS[1:] and (height, width) != (1, 1):
    raise InputError(
      f"{name}'s kernel is {describe(kernel)}; {fc_name}'s is of 1 x 1"
    )
  return ForeignLayer(name, Kernel(kernel, AXES), bias)


class _FourAxes:
  """Numbers as foreign.Array, with the last axes that MATLAB drops: of one."""

  def __init__(self, array: Array):
    self._array = array
    missing = (1,) * (len(AXES) - len(array.shape))
    self.shape = (*missing, *array.shape)

  def __getitem__(self, index) -> np.ndarray:
    return np.asarray(self._array[...]).reshape(self.shape)[index]


def _pool(layer: Layer) -> str:
  """The rounding of a pooling layer, "ceil" or "floor"."""
  if layer.text("method", "max") != "max":
    raise InputError(f"{layer.name} does not take the maximum, as the paper's")
  layer.check("pool", 2, 1, 2)
  layer.check("stride", 2, 1, 2)
  pad = layer.sides("pad", 4, 0)
  if pad not in POOLS:
    raise InputError(
      f"{layer.name} has pad {text(pad)}; known are "
      f"{' and '.join(map(text, POOLS))}"
    )
  return POOLS[pad]


def _lrn(layer: Layer) -> str:
  """The name of a normalization's constants."""
  found = layer.numbers("param", LRN_DEFAULT)
  for name, wanted in LRN_CONSTANTS.items():
    if is_close(found, wanted):
      return name
  raise InputError(
    f"{layer.name} has param {text(found)}; known are "
    f"{' and '.join(map(text, LRN_CONSTANTS.values()))}"
  )


def _mean(
  meta: Mapping[str, Value],
) -> tuple[tuple[float, ...], dict[str, str]]:
  """The mean, RGB, (): the file lacks it; and the card's note of it."""
  if is_empty(meta.get("normalization", [])):
    return (), {}
  name = "normalization.averageImage"
  normalization = as_struct(meta["normalization"], "normalization")
  if "averageImage" not in normalization:
    return (), {}
  # MatConvNet subtracts nothing.
  if is_empty(normalization["averageImage"]):
    return (0.0, 0.0, 0.0), {}
  image = as_numbers(normalization["averageImage"], name)
  note = {}
  if image.size != 3:
    if image.ndim != 3 or len(image) != 3:
      raise InputError(f"{name} is {describe(image)}; it must be of 3 colors")
    image = image.reshape(3, -1)
    if np.ptp(image, axis=1).max() >= ROUNDING:
      note = {"mean": "the average of a mean image"}
    image = image.mean(axis=1)
  if not np.isfinite(image).all():
    raise InputError(f"{name} is not all finite; the file is damaged")
  return tuple(image.ravel().tolist()), note


def _class_names(meta: Mapping[str, Value]) -> tuple[str, ...]:
  """The classes' WordNet ids, or descriptions; (): the file lacks them."""
  if is_empty(meta.get("classes", [])):
    return ()
  classes = as_struct(meta["classes"], "classes")
  for field in ("name", "description"):
    names: Sequence[Value] = as_list(classes.get(field, []), f"classes.{field}")
    if len(names):
      return tuple(as_text(name, f"classes.{field}") for name in names)
  return ()

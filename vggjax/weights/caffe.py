"""Caffe's models (.caffemodel), Oxford's among them.

A file holds a whole net, its layers with their options and weights, in one of
three generations of layouts. What would make it another network than Table 1's
is refused: the weights alone do not tell.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from vggjax.errors import InputError
from vggjax.models import vgg
from vggjax.weights import caffe_net
from vggjax.weights.caffe_net import TYPES, WITH_WEIGHTS, Layer, join
from vggjax.weights.foreign import Foreign, ForeignLayer, Kernel

KINDS = {
  "Convolution": "conv",
  "InnerProduct": "fc",
  "LRN": "lrn",
  "Pooling": "pool",
}
# k and alpha, which Caffe divides by the 5 channels.
LRN_CONSTANTS = {"krizhevsky": (2.0, 5e-4), "caffe": (1.0, 1e-4)}


def read(path: Path) -> Foreign:
  """Reads a .caffemodel; its numbers stay on the disk until they are used.

  Raises:
    InputError: if the file is damaged, or its layers are not those of one of
      the paper's networks.
  """
  name, layers = caffe_net.read_net(path)
  kinds = _kinds(layers)
  _check_order([kind for kind in kinds if kind])
  found = []
  lrn, pools = "", set()
  for layer, kind in zip(layers, kinds, strict=True):
    if kind == "pool":
      pools.add(_pool(layer))
    elif kind == "lrn":
      lrn = _lrn(layer)
    elif kind:
      found.append(_foreign_layer(layer, kind))
    elif layer.type == "ReLU":
      layer.check("negative_slope", 0, 0)
  if len(pools) > 1:
    raise InputError(
      "rounds odd sides up in one pooling layer, down in another"
    )
  return Foreign(
    found,
    bgr=True,
    pool=pools.pop(),
    lrn=lrn,
    imagenet_order=True,
    card={"layout": "Caffe", "name": name},
  )


def _kinds(layers: Sequence[Layer]) -> list[str]:
  """Each layer's kind: "conv", "lrn", "pool", "fc6" ...; "": others.

  Raises:
    InputError: if there is a layer that the paper's networks lack.
  """
  at = [i for i, layer in enumerate(layers) if layer.type in WITH_WEIGHTS]
  if not at:
    raise InputError("holds no layer with weights; is it a .caffemodel?")
  result: list[str] = []
  num_pools, num_fc = 0, 0
  for i, layer in enumerate(layers):
    if layer.type not in TYPES and (layer.blobs or at[0] < i < at[-1]):
      raise InputError(
        f"{layer.name} is a layer of type {layer.type}, which the paper's "
        "networks lack"
      )
    kind = KINDS.get(layer.type, "")
    num_pools += kind == "pool"
    # Every network has five pooling layers. Nets for images of any size have
    # convolutions for the FC layers.
    if kind == "fc" or (kind == "conv" and num_pools >= 5):
      kind = f"fc{6 + num_fc}"
      num_fc += 1
    result.append(kind)
  return result


def _check_order(kinds: list[str]) -> None:
  """Raises InputError unless a network has layers of these kinds."""
  for network in vgg.NETWORKS:
    # Feature nets may end before the last pooling.
    convs = [layer.kind for layer in vgg.block_layers(network)]
    if kinds in (convs[:-1], convs, [*convs, *vgg.FC_LAYERS]):
      return
  text = textwrap.shorten(" ".join(kinds), 200, placeholder=" ...")
  raise InputError(
    f"its layers are {text}; none of the networks {', '.join(vgg.NETWORKS)} "
    "with 0 or 3 FC layers has them in this order"
  )


def _pool(layer: Layer) -> str:
  """The rounding of a pooling layer, "ceil" or "floor"."""
  if layer.values("pool", 0) != {0}:
    raise InputError(f"{layer.name} does not take the maximum, as the paper's")
  for option, default, wanted in (
    ("kernel_size", 0, 2),
    ("stride", 1, 2),
    ("pad", 0, 0),
    ("global_pooling", 0, 0),
  ):
    layer.check(option, default, wanted)
  return "floor" if layer.values("round_mode", 0) == {1} else "ceil"


def _lrn(layer: Layer) -> str:
  """The name of a normalization's constants."""
  layer.check("local_size", 5, 5)
  layer.check("beta", 0.75, 0.75)
  if layer.values("norm_region", 0) != {0}:
    raise InputError(f"{layer.name} does not normalize across channels")
  found = layer.values("k", 1), layer.values("alpha", 1)
  for name, wanted in LRN_CONSTANTS.items():
    if all(
      math.isclose(value, one, rel_tol=1e-4)
      for values, one in zip(found, wanted, strict=True)
      for value in values
    ):
      return name
  raise InputError(
    f"{layer.name} normalizes with k = {join(found[0])}, alpha = "
    f"{join(found[1])}; known are "
    + " and ".join(f"k = {k}, alpha = {a}" for k, a in LRN_CONSTANTS.values())
  )


def _foreign_layer(layer: Layer, kind: str) -> ForeignLayer:
  """A layer of the kind "conv", "fc6", "fc7" or "fc8"."""
  if len(layer.blobs) != 2:
    raise InputError(
      f"{layer.name} has weights in {len(layer.blobs)} blobs; it must have 2, "
      "a kernel and a bias"
    )
  kernel, bias = layer.arrays()
  layer.check("axis", 1, 1)
  if layer.type == "InnerProduct":
    # Leading axes of one: it was stored as of four.
    if kernel.ndim < 2 or math.prod(kernel.shape[:-2]) != 1:
      raise InputError(
        f"{layer.name} has a kernel of shape {list(kernel.shape)}; it must "
        "have 2 axes"
      )
    axes = ("O", "IHW" if kind == "fc6" else "I")
    if layer.values("transpose", 0) != {0}:
      axes = axes[::-1]
    kernel = kernel.reshape(kernel.shape[-2:])
  else:
    _check_convolution(layer, kernel.shape, kind)
    axes = "OIHW"
  return ForeignLayer(layer.name, Kernel(kernel, axes), bias.reshape(-1))


def _check_convolution(layer: Layer, shape: Sequence[int], kind: str) -> None:
  """Raises InputError unless a convolution is like one of the paper's."""
  if len(shape) != 4 or shape[2] != shape[3]:
    raise InputError(
      f"{layer.name} has a kernel of shape {list(shape)}; it must have 4 axes "
      "and be square"
    )
  for option in ("group", "stride", "dilation"):
    layer.check(option, 1, 1)
  layer.check("pad", 0, (shape[2] - 1) / 2 if kind == "conv" else 0)
  if kind in vgg.FC_LAYERS[1:] and shape[2] != 1:
    raise InputError(
      f"{layer.name} has a kernel of {shape[2]}x{shape[3]}; the paper's "
      f"{kind} has 1x1"
    )

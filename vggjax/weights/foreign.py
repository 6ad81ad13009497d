"""Weights as a foreign file lays them out, and their conversion to ours.

A reader of one format returns `Foreign`; `to_weights` does what all formats
have in common: it tells the network, reorders the axes, and folds the order of
the colors and the scaling of the pixels into conv1_1, which is exact, as
padding is zero in both.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from vggjax.errors import InputError
from vggjax.models import vgg
from vggjax.weights.weights import Weights

# ImageNet's mean color: the Caffe and Keras nets subtract it, and do not
# say so in their files.
VGG_MEAN = (123.68, 116.779, 103.939)
# Elements converted at once: 16 MB in float32.
CHUNK = 2**22


class Array(Protocol):
  """What can be read in parts: of NumPy, HDF5, safetensors and so on."""

  @property
  def shape(self) -> tuple[int, ...]: ...

  def __getitem__(self, index) -> Any: ...


@dataclasses.dataclass(frozen=True)
class Kernel:
  """A kernel in a foreign order of axes.

  Attributes:
    data: the numbers.
    axes: each axis's letter of H, W, I, O; several letters for axes that are
      flattened to one: "OIHW", "IO" (of a 1x1 kernel), ("O", "IHW").
  """

  data: Array
  axes: Sequence[str]


@dataclasses.dataclass(frozen=True)
class ForeignLayer:
  """A layer with weights.

  Attributes:
    name: in the file.
    kernel: of a convolution or a fully-connected layer.
    bias: [O].
  """

  name: str
  kernel: Kernel
  bias: Array


@dataclasses.dataclass(frozen=True)
class Foreign:
  """What a file holds.

  Attributes:
    layers: in the order of the network, the FC layers last, if there are any.
    bgr: whether the input's channels are blue, green, red.
    mean: what is subtracted from the input's channels, RGB, 0-255.
    std: what the input is divided by then, RGB, in levels of 0-255.
    pool: "ceil" or "floor".
    lrn: of a local response normalization, "krizhevsky" or "caffe"; "": none.
    class_names: in the order of the outputs; (): the file does not say.
    imagenet_order: whether publishers of this layout order ImageNet's classes
      by synset.
    card: anything else worth knowing, JSON values.
  """

  layers: Sequence[ForeignLayer]
  bgr: bool = False
  mean: Sequence[float] = VGG_MEAN
  std: Sequence[float] = (1.0, 1.0, 1.0)
  pool: str = "floor"
  lrn: str = ""
  class_names: Sequence[str] = ()
  imagenet_order: bool = False
  card: dict[str, Any] = dataclasses.field(default_factory=dict)


def to_weights(foreign: Foreign) -> Weights:
  """Converts what a reader found.

  Raises:
    InputError: if it is none of the paper's networks, or not all finite.
  """
  if not foreign.layers:
    raise InputError("it holds no layer with weights")
  network, width, convs = identify(foreign)
  fc_layers = foreign.layers[len(convs) :]
  params = {}
  channels, side = 3, 0
  for name, layer in zip(
    (*convs, *vgg.FC_LAYERS), foreign.layers, strict=False
  ):
    kernel = read_kernel(layer, channels)
    bias = read_bias(layer, kernel.shape[-1])
    params[name] = {"kernel": kernel, "bias": bias}
    channels = kernel.shape[-1]
    if name == "fc6":
      side = kernel.shape[0]
    if name == "conv1_1":
      fold_preprocessing(kernel, foreign)
  num_outputs = channels if fc_layers else 0
  check_fc_layers(params, width)
  return Weights(
    network=network,
    params=params,
    mean=tuple(float(m) for m in foreign.mean),
    class_names=tuple(foreign.class_names),
    width=width,
    num_outputs=num_outputs,
    crop_size=32 * side if fc_layers else 224,
    pool=foreign.pool,
    card={**({"lrn": foreign.lrn} if foreign.lrn else {}), **foreign.card},
  )


def identify(foreign: Foreign) -> tuple[str, float, list[str]]:
  """The network, its width, and its convolutions' names (Table 1).

  The layers are all of a network's convolutions, or these and three more.

  Raises:
    InputError: if there is no such network.
  """
  found = [signature(layer) for layer in foreign.layers]
  width = found[0][1] / 64
  for network in vgg.NETWORKS:
    if (network == "A-LRN") != bool(foreign.lrn) and network in ("A", "A-LRN"):
      continue
    layers = [a for a in vgg.block_layers(network) if a.kind == "conv"]
    wanted = [(a.kernel, round(a.channels * width)) for a in layers]
    for num_fc in (0, len(vgg.FC_LAYERS)):
      if len(found) == len(wanted) + num_fc and found[: len(wanted)] == wanted:
        return network, width, [a.name for a in layers]
  text = " ".join(f"{side}-{channels}" for side, channels in found)
  raise InputError(
    f"its layers (kernel side-channels) are {text}; these are none of the "
    f"networks {', '.join(vgg.NETWORKS)} with 0 or 3 FC layers"
  )


def signature(layer: ForeignLayer) -> tuple[int, int]:
  """The side of a layer's kernel (0: flattened), and its output channels."""
  shape, axes = tuple(layer.kernel.data.shape), tuple(layer.kernel.axes)
  if len(shape) != len(axes):
    raise InputError(
      f"{layer.name} has a kernel of shape {list(shape)}; it must have "
      f"{len(axes)} axes"
    )
  sizes = dict(zip(axes, shape, strict=True))
  if len("".join(axes)) > len(axes):
    return 0, sizes["O"]
  sides = {sizes.get("H", 1), sizes.get("W", 1)}
  if len(sides) > 1:
    raise InputError(
      f"{layer.name} has a kernel of shape {list(shape)}, which is not square"
    )
  return sides.pop(), sizes["O"]


def read_kernel(layer: ForeignLayer, in_channels: int) -> np.ndarray:
  """A kernel in our order of axes, read in chunks of output channels.

  Args:
    layer: in a foreign layout.
    in_channels: of the layer.

  Returns:
    float32 [H, W, I, O].

  Raises:
    InputError: if it has another number of inputs, or is not all finite.
  """
  data, axes = layer.kernel.data, tuple(layer.kernel.axes)
  out_axis = axes.index("O")
  inputs = math.prod(data.shape) // max(1, data.shape[out_axis])
  side = math.isqrt(inputs // in_channels)
  sizes = {"H": side, "W": side, "I": in_channels, "O": data.shape[out_axis]}
  shape = tuple(math.prod(sizes[a] for a in group) for group in axes)
  if shape != tuple(data.shape) or not math.prod(shape):
    raise InputError(
      f"{layer.name} has a kernel of shape {list(data.shape)}, which does not "
      f"fit {in_channels} input channels"
    )
  result = np.empty([sizes[a] for a in "HWIO"], np.float32)
  order = "".join(axes)
  one_sided = [a for a in "HW" if a not in order]
  view = result.transpose(["HWIO".index(a) for a in (*one_sided, *order)])
  view = view[(0,) * len(one_sided)]
  step = max(1, CHUNK // inputs)
  for start in range(0, sizes["O"], step):
    part = (slice(start, min(start + step, sizes["O"])),)
    chunk = np.asarray(data[(slice(None),) * out_axis + part])
    chunk = chunk.astype(np.float32, copy=False)
    check_finite(chunk, layer.name, "kernel")
    target = view[(slice(None),) * order.index("O") + part]
    target[...] = chunk.reshape(target.shape)
  return result


def read_bias(layer: ForeignLayer, channels: int) -> np.ndarray:
  """A bias, float32 [channels].

  Raises:
    InputError: if it has another length, or is not all finite.
  """
  bias = np.array(layer.bias[:], np.float32).reshape(-1)
  if len(bias) != channels:
    raise InputError(
      f"{layer.name} has {channels} output channels and a bias of {len(bias)}"
    )
  check_finite(bias, layer.name, "bias")
  return bias


def check_names(found: Iterable[str], wanted: Iterable[str]) -> None:
  """Raises InputError unless a file holds the arrays that it must."""
  found, wanted = set(found), set(wanted)
  for verb, odd in (("lacks", wanted - found), ("also has", found - wanted)):
    if odd:
      names = ", ".join(sorted(odd)[:3])
      raise InputError(f"is none of the paper's networks: it {verb} {names}")


def check_finite(array: np.ndarray, layer: str, name: str) -> None:
  """Raises InputError if an array holds NaN or infinity."""
  if not np.isfinite(array).all():
    bad = array[~np.isfinite(array)][0]
    raise InputError(f"{layer}'s {name} holds {bad}; the file is damaged")


def fold_preprocessing(kernel: np.ndarray, foreign: Foreign) -> None:
  """Makes conv1_1 take RGB pixels of 0-255 minus the mean, in place."""
  if foreign.bgr:
    kernel[...] = kernel[:, :, ::-1].copy()
  std = np.asarray(foreign.std, np.float32)
  kernel /= std[:, None]


def check_fc_layers(params: dict, width: float) -> None:
  """Raises InputError unless the FC layers are those of the paper.

  fc6 and fc7 have 4096 channels times the width; fc7 and fc8 see one position.
  """
  for name in vgg.FC_LAYERS[1:]:
    if name in params and params[name]["kernel"].shape[0] > 1:
      shape = list(params[name]["kernel"].shape)
      raise InputError(f"its {name} has a kernel of {shape}, which is not 1x1")
  for name in vgg.FC_LAYERS[:2]:
    if name in params:
      channels = len(params[name]["bias"])
      wanted = round(vgg.FC_CHANNELS * width)
      if channels != wanted:
        raise InputError(
          f"its {name} has {channels} channels; the paper's networks have "
          f"{wanted} at this width"
        )

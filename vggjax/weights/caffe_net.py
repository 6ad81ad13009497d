"""Caffe's nets as .caffemodel files hold them, in all their layouts.

The newest layout has a list of layers of its own; the one before (V1) numbers
the types; in the oldest (V0) a layer is wrapped in one of the second.
"""

import dataclasses
import math
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vggjax.errors import InputError
from vggjax.weights import protobuf
from vggjax.weights.protobuf import DOUBLE, FLOAT, INT, TEXT


def _fields(kind: Any, **numbers: int) -> protobuf.Schema:
  return {number: (name, kind) for name, number in numbers.items()}


# The fields that count, by their numbers in Caffe's caffe.proto. What is for
# the height or the width alone has the name of both and _h or _w.
LEGACY_AXES = ("num", "channels", "height", "width")
BLOB = {
  **_fields(INT, num=1, channels=2, height=3, width=4),
  **_fields(_fields(INT, dim=1), shape=7),
  **_fields(FLOAT, data=5),
  **_fields(DOUBLE, double_data=8),
}
CONVOLUTION = {
  **_fields(INT, pad=3, pad_h=9, pad_w=10, stride=6, stride_h=13, stride_w=14),
  **_fields(INT, group=5, axis=16, dilation=18),
}
POOLING = {
  **_fields(INT, kernel_size=2, kernel_size_h=5, kernel_size_w=6),
  **_fields(INT, pad=4, pad_h=9, pad_w=10, stride=3, stride_h=7, stride_w=8),
  **_fields(INT, pool=1, global_pooling=12, round_mode=13),
}
LRN = {
  **_fields(INT, local_size=1, norm_region=4),
  **_fields(FLOAT, alpha=2, beta=3, k=5),
}
INNER_PRODUCT = _fields(INT, axis=5, transpose=6)
RELU = _fields(FLOAT, negative_slope=1)
# The oldest layout has the options of all types side by side.
V0_LAYER = {
  **_fields(TEXT, name=1, type=2),
  **_fields(INT, pad=7, kernel_size=8, group=9, stride=10, pool=11),
  **_fields(INT, local_size=13),
  **_fields(FLOAT, alpha=14, beta=15, k=22),
  **_fields([BLOB], blobs=50),
}
V1_LAYER = {
  **_fields(V0_LAYER, v0=1),
  **_fields(TEXT, name=4),
  **_fields(INT, type=5),
  **_fields([BLOB], blobs=6),
  **_fields(CONVOLUTION, Convolution=10),
  **_fields(INNER_PRODUCT, InnerProduct=17),
  **_fields(LRN, LRN=18),
  **_fields(POOLING, Pooling=19),
  **_fields(RELU, ReLU=30),
}
LAYER = {
  **_fields(TEXT, name=1, type=2),
  **_fields([BLOB], blobs=7),
  **_fields(CONVOLUTION, Convolution=106),
  **_fields(INNER_PRODUCT, InnerProduct=117),
  **_fields(LRN, LRN=118),
  **_fields(POOLING, Pooling=121),
  **_fields(RELU, ReLU=123),
}
NET = {
  **_fields(TEXT, name=1),
  **_fields([V1_LAYER], layers=2),
  **_fields([LAYER], layer=100),
}

# The types that a network of the paper may have, as the newest layout names
# them: its layers, and what changes no scores.
V0_TYPES = {
  "conv": "Convolution",
  "innerproduct": "InnerProduct",
  "pool": "Pooling",
  "relu": "ReLU",
  "lrn": "LRN",
  "dropout": "Dropout",
  "split": "Split",
  "flatten": "Flatten",
}
V1_TYPES = {
  4: "Convolution",
  6: "Dropout",
  8: "Flatten",
  14: "InnerProduct",
  15: "LRN",
  17: "Pooling",
  18: "ReLU",
  22: "Split",
}
TYPES = tuple(V0_TYPES.values())
WITH_WEIGHTS = TYPES[:2]


@dataclasses.dataclass(frozen=True)
class Layer:
  """A layer of any generation.

  Attributes:
    name: in the file.
    type: one of TYPES, or any other.
    blobs: its weights, messages of BLOB.
    options: a message of CONVOLUTION, POOLING and so on, as its type is.
  """

  name: str
  type: str
  blobs: Sequence[dict[str, Any]]
  options: dict[str, list]

  def values(self, option: str, default: float) -> set[float]:
    """All values of an option, of the height and the width."""
    names = (option, f"{option}_h", f"{option}_w")
    given = [self.options[name] for name in names if name in self.options]
    # Each is an int, or an array of floats of which the last one counts.
    result = {np.ravel(v)[-1].item() for values in given for v in values}
    is_one_sided = (names[1] in self.options) != (names[2] in self.options)
    return result | {default} if is_one_sided or not result else result

  def check(self, option: str, default: float, wanted: float) -> None:
    """Raises InputError if an option is not as in the paper's networks."""
    values = self.values(option, default)
    if not all(math.isclose(v, wanted, rel_tol=1e-4) for v in values):
      raise InputError(
        f"{self.name} has {option} {join(values)}; the paper's networks have "
        f"{wanted:g}"
      )

  def arrays(self) -> list[np.ndarray]:
    """The blobs, views into the file where they are in one piece.

    Raises:
      InputError: if one holds fewer or more numbers than its shape.
    """
    return [_array(self.name, blob) for blob in self.blobs]


def read_net(path: Path) -> tuple[str, list[Layer]]:
  """Reads a net; the numbers of its blobs stay on the disk until used.

  Returns:
    The net's name, and its layers in their order.

  Raises:
    InputError: if the file is no Caffe model.
  """
  with path.open("rb") as file:
    if not path.stat().st_size:
      raise InputError("is empty; download it again")
    # The arrays keep the map open.
    buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
  net = protobuf.parse(buffer, NET)
  return net.get("name", [""])[-1], _layers(net)


def join(values: set[float]) -> str:
  """Numbers for a message."""
  return ", ".join(f"{value:g}" for value in sorted(values))


def _layers(net: dict[str, Any]) -> list[Layer]:
  if "layer" in net and "layers" in net:
    raise InputError(
      "has layers of the old and of the new layout; it is damaged"
    )
  result = []
  padding = None
  for message in (*net.get("layers", []), *net.get("layer", [])):
    layer = _layer(message)
    # In the oldest layout, a layer before a convolution pads its input.
    if layer.type == "padding":
      padding = layer.options.get("pad", [0])
      continue
    if padding is not None:
      options = {**layer.options, "pad": padding}
      layer = dataclasses.replace(layer, options=options)
      padding = None
    result.append(layer)
  return result


def _layer(message: dict[str, Any]) -> Layer:
  kind = message.get("type", ["none"])[-1]
  if "v0" in message:
    message = message["v0"]
    kind = message.get("type", ["none"])[-1]
    kind, options = V0_TYPES.get(kind, kind), message
  else:
    if isinstance(kind, int):
      kind = V1_TYPES.get(kind, f"number {kind}")
    options = message.get(kind, {}) if kind in TYPES else {}
  name = message.get("name", ["a layer without a name"])[-1]
  return Layer(name, kind, message.get("blobs", []), options)


def _array(name: str, blob: dict[str, Any]) -> np.ndarray:
  # As Caffe does: the old way to give a shape counts if any of it is there.
  if any(axis in blob for axis in LEGACY_AXES):
    shape = [blob.get(axis, [0])[-1] for axis in LEGACY_AXES]
  else:
    shape = blob.get("shape", {}).get("dim", [])
  if len(shape) > len(LEGACY_AXES):
    raise InputError(
      f"{name} has a blob of {len(shape)} axes; the paper's networks have at "
      f"most {len(LEGACY_AXES)}"
    )
  parts = blob.get("double_data") or blob.get("data") or []
  count = sum(map(len, parts))
  if not count or min(shape, default=1) < 0 or math.prod(shape) != count:
    raise InputError(
      f"{name} has a blob of shape {shape} with {count} numbers; the file is "
      "damaged"
    )
  data = parts[0] if len(parts) == 1 else np.concatenate(parts)
  return data.reshape(shape)

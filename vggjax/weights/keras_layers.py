"""What the files of all Keras versions have in common."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from vggjax.errors import InputError
from vggjax.models import vgg
from vggjax.weights.foreign import VGG_MEAN, Foreign, ForeignLayer, Kernel
from vggjax.weights.hdf5 import attribute
from vggjax.weights.hdf5_dataset import Dataset


def pair(name: str, arrays: Sequence[Dataset]) -> ForeignLayer:
  """A layer of a kernel and a bias, in any order.

  Args:
    name: of the layer, for people.
    arrays: all that the layer has.

  Raises:
    InputError: if these are others.
  """
  arrays = sorted(arrays, key=lambda a: -len(a.shape))
  num_axes = [len(a.shape) for a in arrays]
  if num_axes in ([4], [2]):
    raise InputError(f"{name} has no bias; the paper's networks have one")
  if num_axes not in ([4, 1], [2, 1]):
    shapes = ", ".join(str(list(a.shape)) for a in arrays[:5])
    raise InputError(
      f"{name} is no layer of the paper's networks: it has weights of the "
      f"shapes {shapes}"
    )
  kernel, bias = arrays
  return ForeignLayer(name, Kernel(kernel, "HWIO"), bias)


def to_foreign(
  layers: Sequence[ForeignLayer],
  pool: str,
  mean: Sequence[float] = VGG_MEAN,
) -> Foreign:
  """What a file holds.

  Args:
    layers: of `pair`, convolutions and dense layers each in their order.
    pool: see Foreign.
    mean: RGB, 0-255.

  Raises:
    InputError: if its kernels are in Theano's order.
  """
  layers = sorted(layers, key=lambda a: len(a.kernel.data.shape) == 2)
  fc6 = len(layers) - len(vgg.FC_LAYERS)
  found = []
  for i, layer in enumerate(layers):
    axes: Sequence[str] = "HWIO"
    if len(layer.kernel.data.shape) == 2:
      axes = ("HWI", "O") if i == fc6 else "IO"
    kernel = Kernel(layer.kernel.data, axes)
    found.append(ForeignLayer(layer.name, kernel, layer.bias))
  if found:
    _check_theano(found[0])
  return Foreign(
    found,
    bgr=True,
    mean=mean,
    pool=pool,
    imagenet_order=True,
    card={"layout": "Keras"},
  )


def read_mean(file: Any) -> Sequence[float]:
  """The mean that `save_weights` wrote, or the one of Keras's networks."""
  mean = attribute(file, "mean")
  if mean is None:
    return VGG_MEAN
  mean = [float(value) for value in np.ravel(mean)]
  if len(mean) != 3 or not all(map(math.isfinite, mean)):
    raise InputError(f"its mean must be 3 numbers; got {mean[:5]}")
  return mean


def _check_theano(layer: ForeignLayer) -> None:
  """Raises InputError on Theano's order of axes, which is mirrored as well."""
  shape = layer.kernel.data.shape
  if len(shape) == 4 and shape[2] == shape[3] != shape[0] != shape[1]:
    raise InputError(
      f"{layer.name} has a kernel of shape {list(shape)}, in Theano's order; "
      "take the file with TensorFlow's kernels (tf_kernels), or convert it "
      "with Keras 1"
    )

"""safetensors files: ours, and torchvision's or timm's state dicts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from vggjax.errors import InputError
from vggjax.models import parameters
from vggjax.weights.foreign import Foreign, check_finite, check_names
from vggjax.weights.state_dict import read_state_dict
from vggjax.weights.weights import Weights

# The key of our metadata.
METADATA = "vggjax"
# In state dicts that we write: {"mean": ..., "std": ...} of pixels of 0-1.
PREPROCESSING = "preprocessing"
FIELDS = (
  "network",
  "mean",
  "class_names",
  "width",
  "num_outputs",
  "crop_size",
  "pool",
  "objective",
  "card",
)


def read(path: Path) -> Foreign | Weights:
  """Reads a file of ours, or the layers of a state dict.

  Raises:
    InputError: if the file is of another network than its metadata say.
  """
  with safetensors.safe_open(path, framework="numpy") as file:
    metadata = file.metadata() or {}
    names = list(file.keys())
    if METADATA in metadata:
      return _read_ours(file, names, json.loads(metadata[METADATA]))
  known = json.loads(metadata.get(PREPROCESSING, "{}"))
  known = {key: [255 * v for v in known[key]] for key in known}
  tensors = {name: _Tensor(path, name) for name in names}
  return read_state_dict(tensors, **known)


def _read_ours(file, names: list[str], metadata: dict[str, Any]) -> Weights:
  # Files written before there were others are of classes.
  metadata = {"objective": "classes", **metadata}
  if missing := [field for field in FIELDS if field not in metadata]:
    raise InputError(f"its metadata lack {', '.join(missing)}")
  values = {field: metadata[field] for field in FIELDS}
  values["mean"] = tuple(map(float, values["mean"]))
  values["class_names"] = tuple(map(str, values["class_names"]))
  weights = Weights(params={}, **values)
  shapes = parameters.param_shapes(weights.create_model())
  wanted = {
    f"{layer}.{kind}": tuple(a.shape)
    for layer, arrays in shapes.items()
    for kind, a in arrays.items()
  }
  check_names(names, wanted)
  for name, shape in wanted.items():
    array = file.get_tensor(name).astype(np.float32, copy=False)
    layer, kind = name.split(".")
    if array.shape != shape:
      raise InputError(f"{name} is {list(array.shape)} and not {list(shape)}")
    check_finite(array, layer, kind)
    weights.params.setdefault(layer, {})[kind] = array
  return weights


class _Tensor:
  """A tensor on the disk as foreign.Array; each part is read when used."""

  def __init__(self, path: Path, name: str):
    self._path, self._name = path, name
    with safetensors.safe_open(path, framework="numpy") as file:
      self.shape = tuple(file.get_slice(name).get_shape())

  def __getitem__(self, index) -> np.ndarray:
    with safetensors.safe_open(self._path, framework="numpy") as file:
      return file.get_slice(self._name)[index]

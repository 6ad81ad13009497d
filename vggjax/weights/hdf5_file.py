"""HDF5 files: Keras's of all versions, and flaxmodels'."""

import re
from pathlib import Path
from typing import Any

from vggjax.errors import InputError
from vggjax.weights import hdf5, keras_legacy, keras_v3
from vggjax.weights.foreign import Foreign, ForeignLayer, Kernel
from vggjax.weights.hdf5_dataset import Dataset
from vggjax.weights.state_dict import IMAGENET_MEAN, IMAGENET_STD

FLAXMODELS = re.compile("conv[0-9]+_[0-9]+|fc[678]")
# flaxmodels flattens as PyTorch, whose weights it has.
FLATTENED = ("IHW", "O")


def read(path: Path) -> Foreign:
  """Reads the layers; their numbers stay on the disk until they are used.

  Raises:
    InputError: if h5py is missing, or it is of no layout that is known.
  """
  source = hdf5.Source(path)
  with source.open() as file:
    if keras_legacy.is_legacy(file):
      return keras_legacy.read(source)
    if keras_v3.is_v3(file):
      return keras_v3.read(source)
    return _read_flaxmodels(source, file)


def _read_flaxmodels(source: hdf5.Source, file: Any) -> Foreign:
  names = hdf5.names(file)
  odd = [name for name in names if not FLAXMODELS.fullmatch(name)]
  if odd or not names:
    found = ", ".join(map(hdf5.shown, odd[:3])) or "nothing"
    raise InputError(
      f"is neither Keras's nor flaxmodels': it has no list of layers and holds "
      f"{found}"
    )
  layers = []
  for name in names:
    arrays = hdf5.names(hdf5.find(file, name))
    if arrays != ["bias", "weight"]:
      text = ", ".join(map(hdf5.shown, arrays[:3]))
      raise InputError(f"{name} must have weight and bias; it has {text}")
    kernel, bias = (
      Dataset(source, file, f"{name}/{kind}") for kind in ("weight", "bias")
    )
    axes = "HWIO"
    if name.startswith("fc"):
      axes = FLATTENED if name == "fc6" else "IO"
    layers.append(ForeignLayer(name, Kernel(kernel, axes), bias))
  return Foreign(
    layers,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    imagenet_order=True,
    card={"layout": "flaxmodels"},
  )

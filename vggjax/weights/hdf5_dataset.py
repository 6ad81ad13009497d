"""Datasets of HDF5 files of unknown origin, read when they are used."""

import math
from typing import Any

import numpy as np

from vggjax.errors import InputError
from vggjax.weights import hdf5
from vggjax.weights.hdf5 import shown

# Of compressed datasets larger than this; trained weights hardly shrink.
MAX_COMPRESSION = 100
SMALL_BYTES = 2**20


class Dataset:
  """Numbers on the disk as foreign.Array; each part is read when used.

  Attributes:
    shape: of the dataset.
  """

  def __init__(self, source: hdf5.Source, file: Any, path: str):
    """Checks the dataset.

    Args:
      source: of the file.
      file: the same, open.
      path: of the dataset in it.

    Raises:
      InputError: if there is none, it cannot be whole, or holds no
        floating-point numbers.
    """
    self._source, self._path = source, path
    self.shape: tuple[int, ...] = _dataset(file, path).shape

  def __getitem__(self, index: Any) -> np.ndarray:
    with self._source.open() as file:
      dataset = _dataset(file, self._path)
      part = dataset[index]
      if not _is_bfloat16(dataset):
        return part
    # The upper half of a float32.
    return (part.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _dataset(file: Any, path: str) -> Any:
  """A dataset that was checked."""
  dataset = hdf5.find(file, path)
  if not isinstance(dataset, hdf5.h5py_module().Dataset):
    raise InputError(f"{shown(path)} is not a dataset; it is damaged")
  # In this order: the shape of a virtual one can depend on other files.
  if dataset.external or dataset.is_virtual:
    raise InputError(
      f"{shown(path)} is stored in another file; write the weights themselves"
    )
  dtype = dataset.dtype
  if dtype.kind != "f" and not _is_bfloat16(dataset):
    raise InputError(
      f"{shown(path)} holds {shown(str(dtype))} and no floating-point numbers"
    )
  if not dataset.shape:
    raise InputError(f"{shown(path)} has no axes; it is damaged")
  size = math.prod(dataset.shape) * dtype.itemsize
  if dataset.chunks:
    size = max(size, math.prod(dataset.chunks) * dtype.itemsize)
  stored = dataset.id.get_storage_size()
  enough = size
  if dataset.id.get_create_plist().get_nfilters():
    enough = max(1, (size - SMALL_BYTES) // MAX_COMPRESSION)
  if stored > file.id.get_filesize() or stored < enough:
    raise InputError(
      f"{shown(path)} has the shape {list(dataset.shape)}, {size} bytes, of "
      f"which {stored} are stored; it is damaged"
    )
  return dataset


def _is_bfloat16(dataset: Any) -> bool:
  """Whether it is Keras's bfloat16, which HDF5 does not know."""
  return dataset.dtype.str == "|V2" and (
    hdf5.text_attribute(dataset, "dtype") == "bfloat16"
  )

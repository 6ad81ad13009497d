"""MATLAB's files of version 7.3: HDF5 behind MATLAB's header.

A struct is a group; what the cells of an array hold, and the fields of a struct
array, is in the group #refs#, referred to by arrays of references. Numbers stay
on the disk until they are used.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vggjax.errors import InputError
from vggjax.weights.hdf5 import h5py_module
from vggjax.weights.hdf5_heap import check_heaps
from vggjax.weights.mat_values import (
  CUT_OFF,
  MAX_ELEMENTS,
  Unreadable,
  Value,
  printable,
)

CLASS, EMPTY = "MATLAB_class", "MATLAB_empty"
# The kinds of NumPy's types that numbers have.
NUMBERS = "biuf"
# What deflate makes of a byte at most.
MAX_RATIO = 1040


def read_variables(path: Path, names: Collection[str]) -> dict[str, Value]:
  """Reads the variables of these names, as far as they are there.

  Args:
    path: of the file; it stays open while values of it are used.
    names: of variables.

  Raises:
    InputError: if h5py is missing, or the file is damaged.
  """
  h5py = h5py_module(
    "reading a MATLAB file of version 7.3",
    ", or save it in MATLAB with the option -v7",
  )
  known = path.stat()
  check_heaps(path, 0, known.st_size, known.st_mtime_ns)
  try:
    file = h5py.File(path, "r")
  except OSError as error:
    raise InputError(CUT_OFF) from error
  reader = _Reader(h5py, file, known.st_size)
  return {name: reader.member(file, name) for name in names if name in file}


class _Struct(Mapping):
  """A struct, each of whose fields is read when it is used."""

  def __init__(self, fields: Mapping[str, Callable[[], Value]]):
    self._fields = fields

  def __getitem__(self, name: str) -> Value:
    return self._fields[name]()

  def __iter__(self) -> Iterator[str]:
    return iter(self._fields)

  def __len__(self) -> int:
    return len(self._fields)


class _List(Sequence):
  """A cell array, each of whose elements is read when it is used."""

  def __init__(self, elements: Sequence[Callable[[], Value]]):
    self._elements = elements

  def __getitem__(self, index: int) -> Value:
    return self._elements[index]()

  def __len__(self) -> int:
    return len(self._elements)


class _Reader:
  """The values of a file of this many bytes."""

  def __init__(self, h5py: Any, file: Any, size: int):
    self._h5py, self._file, self._size = h5py, file, size

  def member(self, group: Any, name: str) -> Value:
    """A value in a group."""
    # A link to another file, or to nowhere, is none of MATLAB's.
    if type(group.get(name, getlink=True)) is not self._h5py.HardLink:
      raise InputError(
        f"is damaged: {printable(name, 40)} is no object of this file"
      )
    return self._value(group[name])

  def _element(self, reference: Any) -> Value:
    """What a reference refers to."""
    try:
      return self._value(self._file[reference])
    except (KeyError, ValueError) as error:
      raise InputError(
        "is damaged: a cell refers to what is not there"
      ) from error

  def _value(self, item: Any) -> Value:
    kind = item.attrs.get(CLASS, b"")
    kind = kind.decode("latin-1") if isinstance(kind, bytes) else str(kind)
    if kind == "struct" and isinstance(item, self._h5py.Group):
      return self._structs(item)
    if kind == "function_handle":
      return Unreadable("a function handle")
    if not isinstance(item, self._h5py.Dataset):
      return Unreadable(f"an object ({printable(kind, 60)})")
    self._check_size(item)
    if kind in ("struct", "cell", "char"):
      if item.attrs.get(EMPTY, 0):
        return "" if kind == "char" else []
      if kind == "char":
        return self._text(item)
      return self._elements(item)
    if "MATLAB_object_decode" in item.attrs or item.dtype.kind not in NUMBERS:
      return Unreadable(f"{item.dtype} of class {printable(kind, 60)}")
    # An empty array's data are its shape.
    return np.zeros((0, 0)) if item.attrs.get(EMPTY, 0) else item

  def _structs(self, group: Any) -> Value:
    """One struct, or an array of them: its fields are of references."""
    names = list(group)
    items = [group.get(name) for name in names]
    if not names or not all(
      isinstance(item, self._h5py.Dataset)
      and CLASS not in item.attrs
      and self._is_references(item)
      for item in items
    ):
      return _Struct(
        {name: partial(self.member, group, name) for name in names}
      )
    references = [self._references(item) for item in items]
    if len(set(map(len, references))) > 1:
      raise InputError(
        "is damaged: the fields of a struct array differ in size"
      )
    return _List(
      [
        partial(
          _Struct,
          {
            name: partial(self._element, reference)
            for name, reference in zip(names, element, strict=True)
          },
        )
        for element in zip(*references, strict=True)
      ]
    )

  def _elements(self, dataset: Any) -> Value:
    return _List([partial(self._element, r) for r in self._references(dataset)])

  def _references(self, dataset: Any) -> list:
    """The references of a cell array, in MATLAB's order."""
    if not self._is_references(dataset) or dataset.size > MAX_ELEMENTS:
      raise InputError(
        f"is damaged, or no net: a cell array of {dataset.size} elements"
      )
    self._check_size(dataset)
    return np.ravel(dataset[()]).tolist()

  def _is_references(self, dataset: Any) -> bool:
    return self._h5py.check_ref_dtype(dataset.dtype) is self._h5py.Reference

  def _text(self, dataset: Any) -> Value:
    """A row of UTF-16 units."""
    if dataset.dtype.kind != "u" or dataset.size > MAX_ELEMENTS:
      raise InputError("is damaged: a text is not of characters")
    if dataset.ndim and dataset.shape[-1] != 1:
      return Unreadable("a matrix of characters")
    units = np.ravel(dataset[()]).astype("<u2")
    return units.tobytes().decode("utf-16-le", errors="replace")

  def _check_size(self, dataset: Any) -> None:
    """Raises InputError if a dataset claims more than the file can hold."""
    if dataset.shape is None or dataset.is_virtual or dataset.external:
      raise InputError("is damaged: an array's numbers are not in this file")
    stored = dataset.id.get_storage_size()
    claimed = dataset.size * dataset.dtype.itemsize
    if stored > self._size or claimed > MAX_RATIO * stored:
      raise InputError(
        f"is damaged: an array of shape {list(dataset.shape)} has {stored} "
        "bytes"
      )

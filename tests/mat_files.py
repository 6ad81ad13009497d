"""MATLAB's files, written by SciPy and h5py as MATLAB does.

Its values are plain ones: a dict is a struct, a list a cell array, Structs a
struct array, a str a row of characters; an array is in MATLAB's order of axes.
"""

import itertools

import h5py
import numpy as np
import scipy.io

REFERENCE = itertools.count()


class Structs(list):
  """A struct array: structs of the same fields."""


def write_v6(path, variables):
  """As save -v6 does, and as Python's importers did."""
  scipy.io.savemat(path, for_scipy(variables), oned_as="row")


def write_v7(path, variables):
  """As save does: every variable is compressed."""
  options = {"do_compression": True, "oned_as": "row"}
  scipy.io.savemat(path, for_scipy(variables), **options)


def for_scipy(value):
  if isinstance(value, dict):
    return {name: for_scipy(field) for name, field in value.items()}
  if isinstance(value, Structs):
    result = np.empty((1, len(value)), [(name, object) for name in value[0]])
    for index, struct in enumerate(value):
      for name, field in struct.items():
        result[name][0, index] = for_scipy(field)
    return result
  if isinstance(value, list):
    result = np.empty((1, len(value)), object)
    for index, element in enumerate(value):
      result[0, index] = for_scipy(element)
    return result
  return value


def write_v73(path, variables):
  """As save -v7.3 does."""
  with h5py.File(path, "w", userblock_size=512) as file:
    refs = file.create_group("#refs#")
    for name, value in variables.items():
      put(file, name, value, refs)
  header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: today"
  with path.open("r+b") as file:
    file.write(header.ljust(116) + bytes(8) + b"\x00\x02IM")


def put(group, name, value, refs):
  """Stores a value as MATLAB does."""
  if isinstance(value, dict | Structs):
    item = group.create_group(name)
    item.attrs["MATLAB_class"] = np.bytes_("struct")
    if isinstance(value, dict):
      for field, element in value.items():
        put(item, field, element, refs)
    else:
      for field in value[0]:
        put_references(item, field, [s[field] for s in value], refs)
    return item
  if isinstance(value, list | str) and not len(value):
    item = group.create_dataset(name, data=np.zeros(2, np.uint64))
    item.attrs["MATLAB_empty"] = np.uint8(1)
    kind = "char" if isinstance(value, str) else "cell"
  elif isinstance(value, list):
    item = put_references(group, name, value, refs)
    kind = "cell"
  elif isinstance(value, str):
    units = np.frombuffer(value.encode("utf-16-le"), np.uint16)
    item = group.create_dataset(name, data=units[:, None])
    item.attrs["MATLAB_int_decode"] = np.int32(2)
    kind = "char"
  else:
    array = np.atleast_2d(value)
    kind = {"float32": "single", "float64": "double", "bool": "logical"}[
      array.dtype.name
    ]
    stored = array.astype(np.uint8) if kind == "logical" else array
    options = {"compression": "gzip"} if array.size > 1000 else {}
    item = group.create_dataset(name, data=stored.T, **options)
    if not array.size:
      item = empty(group, name, array.shape)
  item.attrs["MATLAB_class"] = np.bytes_(kind)
  return item


def empty(group, name, shape):
  """An empty array: its data are its shape."""
  del group[name]
  item = group.create_dataset(name, data=np.array(shape, np.uint64))
  item.attrs["MATLAB_empty"] = np.uint8(1)
  return item


def put_references(group, name, values, refs):
  references = [
    put(refs, f"r{next(REFERENCE)}", value, refs).ref for value in values
  ]
  data = np.array(references, h5py.ref_dtype)[:, None]
  return group.create_dataset(name, data=data, dtype=h5py.ref_dtype)


WRITERS = {"v6": write_v6, "v7": write_v7, "v7.3": write_v73}

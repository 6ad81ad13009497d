"""MATLAB's files of version 5, byte by byte: what SciPy does not write.

Such as other orders of bytes, numbers in fewer bytes, and damage.
"""

import struct

import numpy as np
from mat_files import WRITERS, Structs

KINDS = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7}
KINDS |= {"f8": 9, "i8": 12, "u8": 13}
CELL, STRUCT, CHAR, DOUBLE, SINGLE, OPAQUE = 1, 2, 4, 6, 7, 17
MATRIX = 14


def file(*variables, order="<"):
  """A whole file of encoded matrices."""
  header = b"MATLAB 5.0 MAT-file, Platform: by hand".ljust(116) + bytes(8)
  end = b"\x00\x01IM" if order == "<" else b"\x01\x00MI"
  return header + end + b"".join(variables)


def element(kind, data, order="<", size=None):
  """A tag and its bytes; `size` in place of theirs, to lie."""
  size = len(data) if size is None else size
  if size == len(data) <= 4:
    return struct.pack(f"{order}I", size << 16 | kind) + data.ljust(4, b"\0")
  return struct.pack(f"{order}II", kind, size) + data + bytes(-len(data) % 8)


def numbers(values, dtype, order="<"):
  data = np.asarray(values, f"{order}{dtype}").tobytes("F")
  return element(KINDS[dtype], data, order)


def matrix(kind, shape, name, *body, order="<", flags=0):
  """A matrix of a class; body: encoded elements."""
  if not isinstance(name, bytes):
    name = name.encode()
  flags = element(6, struct.pack(f"{order}II", kind | flags, 0), order)
  # An object has no shape.
  shape = () if shape is None else (numbers(shape, "i4", order),)
  data = b"".join([flags, *shape, element(1, name, order), *body])
  return struct.pack(f"{order}II", MATRIX, len(data)) + data


def encode(value, name="", order="<"):
  """A value as in mat_files, whole numbers in one byte each.

  Bytes are a matrix that is encoded already.
  """
  if isinstance(value, bytes):
    return value
  if isinstance(value, dict):
    value = Structs([value])
  if isinstance(value, Structs):
    length = 1 + max(map(len, value[0]), default=0)
    fields = b"".join(field.encode().ljust(length, b"\0") for field in value[0])
    body = [numbers(length, "i4", order), element(1, fields, order)]
    body += [encode(v, order=order) for s in value for v in s.values()]
    return matrix(STRUCT, (1, len(value)), name, *body, order=order)
  if isinstance(value, list):
    body = [encode(v, order=order) for v in value]
    return matrix(CELL, (1, len(value)), name, *body, order=order)
  if isinstance(value, str):
    codec = "utf-16-le" if order == "<" else "utf-16-be"
    body = element(4, value.encode(codec), order)
    return matrix(CHAR, (1, len(value)), name, body, order=order)
  array = np.atleast_2d(value)
  kind, dtype = (SINGLE, "f4") if array.dtype == np.float32 else (DOUBLE, "f8")
  if (array == np.clip(np.round(array), 0, 255)).all():
    dtype = "u1"
  body = numbers(array, dtype, order)
  return matrix(kind, array.shape, name, body, order=order)


def nested(depth, name):
  """A cell array in a cell array and so on."""
  head = element(6, struct.pack("<II", CELL, 0)) + numbers([1, 1], "i4")
  inner = element(1, b"")
  outer = element(1, name.encode())
  parts = [matrix(DOUBLE, (1, 1), "", numbers([1], "f8"))]
  size = len(parts[0])
  for level in range(depth):
    start = head + (outer if level == depth - 1 else inner)
    size += len(start)
    parts.append(struct.pack("<II", MATRIX, size) + start)
    size += 8
  return b"".join(reversed(parts))


def write_big_endian(path, variables):
  encoded = [encode(value, name, ">") for name, value in variables.items()]
  path.write_bytes(file(*encoded, order=">"))


def write_small(path, variables):
  """As MATLAB, which stores whole numbers in fewer bytes, texts in UTF-16."""
  encoded = [encode(value, name) for name, value in variables.items()]
  path.write_bytes(file(*encoded))


ALL_WRITERS = WRITERS | {"big": write_big_endian, "small": write_small}

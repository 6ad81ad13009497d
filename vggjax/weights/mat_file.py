"""MATLAB's files of the versions 5 to 7; those of 7 are compressed.

SciPy reads them too, but trusts them: it dies of arrays that are nested deeply,
and takes all memory for those that claim to be large. Here every length is
checked against the file, and the numbers of uncompressed files stay on the disk
until they are used.
"""

import math
import mmap
from collections.abc import Collection
from pathlib import Path

import numpy as np

from vggjax.errors import InputError
from vggjax.weights.mat_elements import (
  COMPRESSED,
  MATRIX,
  Cursor,
  decompress,
  decompress_start,
)
from vggjax.weights.mat_values import (
  CUT_OFF,
  MAX_ELEMENTS,
  Unreadable,
  Value,
  printable,
)

HEADER_SIZE = 128
BYTE_ORDERS = {b"IM": "<", b"MI": ">"}
# Classes of matrices.
CELL, STRUCT, OBJECT, CHAR, SPARSE = 1, 2, 3, 4, 5
FUNCTION, OPAQUE = 16, 17
IS_COMPLEX = 0x800
UNREADABLE = {
  OBJECT: "an object",
  SPARSE: "a sparse array",
  FUNCTION: "a function handle",
  OPAQUE: "an object",
}
MAX_DEPTH = 32
# Decompressed bytes that surely hold a variable's name.
NAME_BYTES = 1024


def read_variables(path: Path, names: Collection[str]) -> dict[str, Value]:
  """Reads the variables of these names, as far as they are there.

  Args:
    path: of the file; it stays mapped while arrays of it are used.
    names: of variables; nothing is read of the others.

  Raises:
    InputError: if the file is damaged.
  """
  with path.open("rb") as file:
    if path.stat().st_size <= HEADER_SIZE:
      raise InputError(CUT_OFF)
    buffer = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
  order = BYTE_ORDERS.get(bytes(buffer[HEADER_SIZE - 2 : HEADER_SIZE]))
  if order is None:
    raise InputError("is damaged: its header does not end in IM or MI")
  result = {}
  cursor = Cursor(buffer[HEADER_SIZE:], order)
  while not cursor.at_end():
    kind, data = cursor.next()
    if kind not in (MATRIX, COMPRESSED):
      raise InputError(f"is damaged: a variable is an element of type {kind}")
    if kind == COMPRESSED:
      if _name(decompress_start(data, NAME_BYTES)[8:], order) not in names:
        continue
      data = decompress(data, order)
    elif _name(data, order) not in names:
      continue
    name, value = _Matrices(order).read(data)
    result[name] = value
  return result


class _Header:
  """What stands before a matrix's data: class, is_complex, shape, name."""

  def __init__(self, cursor: Cursor):
    flags = cursor.integers()[0]
    self.type, self.is_complex = flags & 0xFF, bool(flags & IS_COMPLEX)
    self.shape = [] if self.type == OPAQUE else cursor.integers()
    if min(self.shape, default=0) < 0:
      raise InputError(f"is damaged: an array has the shape {self.shape}")
    self.name = cursor.text()


def _name(data: memoryview, order: str) -> str:
  return _Header(Cursor(data, order)).name if len(data) else ""


class _Matrices:
  """Reads matrices, all together of no more than MAX_ELEMENTS elements."""

  def __init__(self, order: str):
    self._order = order
    self._num_left = MAX_ELEMENTS

  def read(self, data: memoryview, depth: int = 0) -> tuple[str, Value]:
    """The name and the value of a matrix."""
    if not len(data):
      return "", np.zeros((0, 0))
    if depth > MAX_DEPTH:
      raise InputError(f"is damaged: arrays are nested {depth} deep")
    cursor = Cursor(data, self._order)
    header = _Header(cursor)
    return header.name, self._value(header, cursor, depth)

  def _value(self, header: _Header, cursor: Cursor, depth: int) -> Value:
    if header.type == OPAQUE:
      system, name = cursor.text(), cursor.text()
      return Unreadable(f"an object ({printable(f'{system} {name}', 60)})")
    if header.type in UNREADABLE:
      return Unreadable(UNREADABLE[header.type])
    count = math.prod(header.shape)
    if header.type == CELL:
      return self._children(cursor, count, depth)
    if header.type == STRUCT:
      return self._structs(cursor, count, depth)
    if header.type == CHAR:
      text = cursor.text()
      if count and header.shape[0] != 1:
        return Unreadable("a matrix of characters")
      return text
    if header.is_complex:
      return Unreadable("complex numbers")
    numbers = cursor.numbers()
    if len(numbers) != count:
      raise InputError(
        f"is damaged: an array of shape {header.shape} has {len(numbers)} "
        "numbers"
      )
    return numbers.reshape(header.shape[::-1])

  def _structs(self, cursor: Cursor, count: int, depth: int) -> Value:
    """One struct, or an array of them."""
    length = cursor.integers()[0]
    _, names = cursor.next()
    if length <= 0 or len(names) % length:
      raise InputError("is damaged: a struct has no names of fields")
    fields = [
      bytes(names[at : at + length]).split(b"\0")[0].decode("latin-1")
      for at in range(0, len(names), length)
    ]
    # Without fields, too, an array of many takes memory.
    self._take(count)
    values = self._children(cursor, count * len(fields), depth)
    structs = [
      dict(zip(fields, values[at : at + len(fields)], strict=True))
      for at in range(0, count * len(fields), max(1, len(fields)))
    ]
    return structs[0] if len(structs) == 1 else structs

  def _children(self, cursor: Cursor, count: int, depth: int) -> list[Value]:
    self._take(count)
    result = []
    for _ in range(count):
      kind, data = cursor.next()
      if kind != MATRIX:
        raise InputError(f"is damaged: a cell holds an element of type {kind}")
      result.append(self.read(data, depth + 1)[1])
    return result

  def _take(self, count: int) -> None:
    self._num_left -= count
    if self._num_left < 0:
      raise InputError(
        f"is damaged, or no net: an array of {count} cells or structs"
      )

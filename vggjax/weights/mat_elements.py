"""The elements that MATLAB's files of the versions 5 to 7 consist of.

An element is a tag, which says its type and size, and its bytes. Every size is
checked against what there is.
"""

import struct
import zlib

import numpy as np

from vggjax.errors import InputError
from vggjax.weights.mat_values import CUT_OFF

# Types of elements.
NUMBERS = dict(
  zip(
    (1, 2, 3, 4, 5, 6, 7, 9, 12, 13),
    ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"),
    strict=True,
  )
)
ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8"}
ENCODINGS |= {17: "utf-16", 18: "utf-32"}
MATRIX, COMPRESSED = 14, 15
MAX_AXES = 32
# What is decompressed at once, and what deflate makes of a byte at most.
CHUNK = 2**16
MAX_RATIO = 1040


class Cursor:
  """The elements of a buffer, one after the other."""

  def __init__(self, data: memoryview, order: str):
    self._data, self._order, self._at = data, order, 0

  def at_end(self) -> bool:
    return self._at >= len(self._data)

  def next(self) -> tuple[int, memoryview]:
    """The type and the bytes of the next element."""
    start = self._at + 8
    if start > len(self._data):
      raise InputError(CUT_OFF)
    words = f"{self._order}II"
    kind, size = struct.unpack_from(words, self._data, self._at)
    end = start + size
    if kind != COMPRESSED:
      end += -size % 8
    # Up to four bytes fit into the tag.
    if kind >> 16:
      start -= 4
      kind, size = kind & 0xFFFF, kind >> 16
      end = start + 4
      if size > 4:
        raise InputError(CUT_OFF)
    if start + size > len(self._data):
      raise InputError(CUT_OFF)
    self._at = end
    return kind, self._data[start : start + size]

  def numbers(self) -> np.ndarray:
    """The next element, [N]."""
    kind, data = self.next()
    if kind not in NUMBERS:
      raise InputError(f"is damaged: numbers of type {kind}")
    dtype = np.dtype(f"{self._order}{NUMBERS[kind]}")
    if len(data) % dtype.itemsize:
      raise InputError(CUT_OFF)
    return np.frombuffer(data, dtype)

  def integers(self) -> list[int]:
    """The next element, of few numbers."""
    numbers = self.numbers()
    if not 1 <= len(numbers) <= MAX_AXES or numbers.dtype.kind not in "iu":
      raise InputError("is damaged: an array's header makes no sense")
    return numbers.tolist()

  def text(self) -> str:
    """The next element."""
    kind, data = self.next()
    if kind not in ENCODINGS:
      raise InputError(f"is damaged: characters of type {kind}")
    encoding = ENCODINGS[kind]
    if encoding in ("utf-16", "utf-32"):
      encoding += "-le" if self._order == "<" else "-be"
    return bytes(data).decode(encoding, errors="replace")


def decompress_start(data: memoryview, size: int) -> memoryview:
  """The first bytes of a compressed element, at most `size`."""
  try:
    start = zlib.decompressobj().decompress(data[:CHUNK], size)
  except zlib.error as error:
    raise InputError(f"is damaged: {error}") from error
  return memoryview(start)


def decompress(data: memoryview, order: str) -> memoryview:
  """The bytes of a compressed matrix."""
  inflater = zlib.decompressobj()
  result, at = bytearray(), 0
  try:
    for start in range(0, len(data), CHUNK):
      part = inflater.decompress(data[start : start + CHUNK])
      if not at and part:
        # Never more than the tag says, so that it can be checked.
        kind, size = struct.unpack_from(f"{order}II", part)
        if kind != MATRIX or size > MAX_RATIO * len(data):
          raise InputError(CUT_OFF)
        result = bytearray(8 + size)
      if at + len(part) > len(result):
        raise InputError(CUT_OFF)
      result[at : at + len(part)] = part
      at += len(part)
  except (zlib.error, struct.error) as error:
    raise InputError(f"is damaged: {error}") from error
  if not inflater.eof or at < len(result):
    raise InputError(CUT_OFF)
  return memoryview(result)[8:]

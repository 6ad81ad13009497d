"""HDF5's heaps of texts, checked before the library walks through them.

Of a heap with an object of size 0 libhdf5 never reaches the end, which no
signal handler of Python's could interrupt.
"""

import functools
import mmap
import struct
from pathlib import Path

from vggjax.errors import InputError

# The signature, the version and three bytes that are 0; then the size.
_START = b"GCOL\x01\x00\x00\x00"
_HEADER = struct.Struct("<8xQ")
# Number, references, four bytes of nothing, size.
_OBJECT = struct.Struct("<HH4xQ")


@functools.lru_cache(maxsize=8)
def check_heaps(path: Path, start: int, size: int, _modified: int) -> None:
  """Raises InputError if a walk through a heap has no end.

  Args:
    path: of the file.
    start: of the part with HDF5 in it, bytes.
    size: of the part.
    _modified: when the file was; so that a changed one is looked at again.
  """
  if not size:
    return
  with (
    path.open("rb") as file,
    mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
  ):
    end = min(start + size, len(data))
    place = data.find(_START, start, end)
    while place >= 0:
      _check(data, place, end)
      place = data.find(_START, place + 8, end)


def _check(data: mmap.mmap, place: int, end: int) -> None:
  if place + _HEADER.size > end:
    return
  (size,) = _HEADER.unpack_from(data, place)
  stop = place + size
  if stop > end:
    return  # The library looks at this itself.
  place += _HEADER.size
  while place + _OBJECT.size <= stop:
    number, _, size = _OBJECT.unpack_from(data, place)
    # The free rest has number 0, and its size includes what stands here.
    step = -(-size // 8) * 8 + _OBJECT.size if number else size
    # Too long a step ends the walk; the library adds modulo 2^64.
    if step == 0 or step >= 2**63:
      raise InputError("has a heap without an end; it is damaged")
    place += step

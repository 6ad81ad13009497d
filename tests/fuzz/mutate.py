"""Random changes of bytes, by a seed."""

import struct
from collections.abc import Sequence

import numpy as np

_INTERESTING = (
  0,
  1,
  -1,
  127,
  128,
  255,
  256,
  32767,
  65535,
  2**31 - 1,
  2**32 - 1,
)
_FORMATS = ("<I", ">I", "<H", ">H", "<Q", ">Q")


def mutated(
  pool: Sequence[bytes], tokens: Sequence[bytes], seed: int, number: int
) -> bytes:
  """A seed with one to eight changes; a pure function of its arguments.

  Args:
    pool: the seeds.
    tokens: bytes worth putting in.
    seed: of the run.
    number: of the input.
  """
  random = np.random.default_rng([seed, number])
  data = bytearray(pool[random.integers(len(pool))])
  # Formats have what counts at their starts.
  head = random.random() < 0.5
  for _ in range(random.integers(1, 9)):
    size = len(data)
    place = int(random.integers(min(size, 512) + 1 if head else size + 1))
    kind = random.integers(8)
    length = int(min(2 ** random.integers(1, 12), size - place))
    if kind == 0 and place < size:
      data[place] ^= 1 << random.integers(8)
    elif kind == 1:
      data[place : place + 1] = random.bytes(1)
    elif kind == 2:
      form = _FORMATS[random.integers(len(_FORMATS))]
      value = _INTERESTING[random.integers(len(_INTERESTING))]
      width = struct.calcsize(form)
      packed = struct.pack(form, value % 256**width)
      data[place : place + width] = packed
    elif kind == 3:
      del data[place : place + length]
    elif kind == 4:
      data[place:place] = data[place : place + length]
    elif kind == 5 and random.random() < 0.3:
      del data[place:]
    elif kind == 6 and tokens:
      token = tokens[random.integers(len(tokens))]
      end = place + (len(token) if random.random() < 0.5 else 0)
      data[place:end] = token
    elif kind == 7:
      other = pool[random.integers(len(pool))]
      start = int(random.integers(len(other) + 1))
      data[place : place + length] = other[start : start + length]
  return bytes(data)

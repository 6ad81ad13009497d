"""What the bytes of an image file tell before its pixels are decoded.

`images.decode` and `data/preprocess.py` refuse the same files: those that stop
too early, and bombs, whose few bytes would fill the memory or take hours.
"""

import re
import struct
import zlib
from collections.abc import Iterator

from vggjax.errors import InputError

# Of an image: 512 MiB as RGB bytes, also Pillow's own limit.
MAX_PIXELS = 2**29 // 3
TOO_LARGE = f"more pixels than the limit of {MAX_PIXELS}; scale it down"
# Of a progressive JPEG; a usual one has ten. Each is a pass over all pixels,
# and may have a dozen bytes.
MAX_SCANS = 500
TOO_MANY_SCANS = f"a JPEG of more than {MAX_SCANS} scans; save it again"

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What the pixels depend on, of an image without transparency.
_PNG_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First row, first column, and steps of the passes of an interlaced PNG.
_ADAM7 = (
  (0, 0, 8, 8),
  (0, 4, 8, 8),
  (4, 0, 8, 4),
  (0, 2, 4, 4),
  (2, 0, 4, 2),
  (0, 1, 2, 2),
  (1, 0, 2, 1),
)
# Neither the stuffing of a scan nor its restarts.
_JPEG_MARKER = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01


def check_size(width: int, height: int) -> None:
  """Raises InputError if an image has more than MAX_PIXELS."""
  if width * height > MAX_PIXELS:
    raise InputError(TOO_LARGE)


def check_jpeg(content: bytes) -> None:
  """Raises InputError unless a JPEG goes on to its end marker.

  What its scans hold is not looked at; libjpeg fills in gray what they lack.
  """
  position, scans = 0, 0
  while match := _JPEG_MARKER.search(content, position):
    marker, position = content[match.end() - 1], match.end()
    if marker == _EOI:
      return
    if marker in (_SOI, _TEM):
      continue
    scans += marker == _SOS
    if scans > MAX_SCANS:
      raise InputError(TOO_MANY_SCANS)
    length = content[position : position + 2]
    position += max(2, int.from_bytes(length, "big"))
  raise InputError("the JPEG is truncated: its end marker is missing")


def critical_png(content: bytes) -> bytes:
  """A PNG less all that its pixels do not depend on, once that is checked.

  As libpng does, and Pillow does not, other chunks are left out if they are
  damaged, and pixels that are missing are an error.

  Raises:
    InputError: if a chunk is damaged, or missing.
  """
  header, data, parts = None, [], [PNG_SIGNATURE]
  for kind, start, body, is_whole in _png_chunks(content):
    if kind not in _PNG_CRITICAL:
      if not kind[0] & 0x20:
        raise InputError(f"the PNG has an unknown part {kind!r}")
      # The orientation is the only other thing that is asked for.
      if kind != b"eXIf" or not is_whole:
        continue
    elif not is_whole:
      raise InputError(f"the PNG's {kind.decode()} is damaged")
    parts.append(content[start : start + len(body) + 12])
    if kind == b"IHDR" and header is None and len(body) == 13:
      header = struct.unpack(">IIBBBBB", body)
      check_size(*header[:2])
    if kind == b"IDAT":
      data.append(body)
    if kind == b"IEND":
      break
  else:
    raise InputError("the PNG is truncated: its end is missing")
  if header is None:
    raise InputError("the PNG has no header")
  _check_png_data(header, data)
  return b"".join(parts)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, bytes, bool]]:
  """Each chunk's kind, start and body, and whether its sum is right."""
  position = len(PNG_SIGNATURE)
  while position + 12 <= len(content):
    length, kind = struct.unpack_from(">I4s", content, position)
    end = position + 8 + length
    if end + 4 > len(content):
      return
    checksum = zlib.crc32(memoryview(content)[position + 4 : end])
    stored = int.from_bytes(content[end : end + 4], "big")
    yield kind, position, content[position + 8 : end], checksum == stored
    position = end + 4


def _check_png_data(header: tuple[int, ...], data: list[bytes]) -> None:
  """Raises InputError unless there are numbers for all pixels."""
  width, height, bits, color, _, _, interlaced = header
  bits *= _PNG_CHANNELS.get(color, 4)
  passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
  wanted = 0
  for top, left, down, right in passes:
    rows, columns = -(-(height - top) // down), -(-(width - left) // right)
    if rows > 0 and columns > 0:
      wanted += rows * (1 + -(-columns * bits // 8))
  inflate, found = zlib.decompressobj(), 0
  try:
    for part in data:
      while part and found < wanted:
        found += len(inflate.decompress(part, 2**20))
        part = inflate.unconsumed_tail
  except zlib.error as error:
    raise InputError(f"the PNG's pixels are damaged: {error}") from error
  if found < wanted:
    raise InputError("the PNG is truncated: pixels are missing")

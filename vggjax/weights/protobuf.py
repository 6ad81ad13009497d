"""Protocol buffers read without a copy of their numbers.

Only what old weights need: a message is walked once and its floats are left
where they are, so that a file mapped into memory stays on the disk.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vggjax.errors import InputError

# The kinds of fields; a message's kind is its own schema, in a list if each
# occurrence is a message of its own and not the continuation of the first.
INT, TEXT, FLOAT, DOUBLE = "integer", "text", "<f4", "<f8"
# By field number: the name in the result, and the kind.
Schema = dict[int, tuple[str, Any]]

# https://protobuf.dev/programming-guides/encoding/
VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
FIXED_SIZES = {FIXED_64: 8, FIXED_32: 4}
WIRE_TYPES = {INT: VARINT, FLOAT: FIXED_32, DOUBLE: FIXED_64}
MAX_FIELD_NUMBER = 2**29 - 1
# VGG nets have some 1000 fields. Without a limit, a file of millions of empty
# ones takes minutes.
MAX_FIELDS = 100_000
# Of a name; what is longer is cut off.
MAX_TEXT = 200


def parse(buffer: Any, schema: Schema) -> dict[str, Any]:
  """Reads the known fields of a message; unknown ones are skipped.

  Args:
    buffer: bytes, or a file mapped into memory.
    schema: of the message.

  Returns:
    By name, the fields that are there: a list of ints, strings or messages
    (dicts alike); of floats, a list of arrays that are views into `buffer`, one
    for each run of values; a message that occurs once is a dict.

  Raises:
    InputError: if `buffer` is no such message.
  """
  result: dict[str, Any] = {}
  _Reader(buffer).read_message(schema, 0, len(buffer), result)
  return result


class _Reader:
  """Walks a buffer; counts the fields on the way."""

  def __init__(self, buffer: Any):
    self._buffer = buffer
    self._num_fields = 0

  def read_message(
    self, schema: Schema, start: int, end: int, result: dict[str, Any]
  ) -> None:
    """Adds the fields of the message from `start` to `end` to `result`."""
    for at, number, wire_type, value in self._fields(start, end):
      if number not in schema:
        continue
      name, kind = schema[number]
      usual = WIRE_TYPES.get(kind, LENGTH) if isinstance(kind, str) else LENGTH
      # Repeated numbers may be packed.
      if wire_type not in (usual, LENGTH):
        raise _damaged(f"its {name} is of wire type {wire_type}", at)
      if wire_type == LENGTH and isinstance(kind, dict):
        self.read_message(kind, *value, result.setdefault(name, {}))
        continue
      if wire_type == LENGTH:
        found = self._read_length(kind, *value)
      elif kind == INT:
        found = [_signed(value)]
      else:
        found = [value.view(kind)[:, 0]]
      if found:
        result.setdefault(name, []).extend(found)

  def _read_length(self, kind: Any, start: int, end: int) -> list:
    """What a length-delimited field holds."""
    if isinstance(kind, list):
      message: dict[str, Any] = {}
      self.read_message(kind[0], start, end, message)
      return [message]
    if kind == TEXT:
      text = self._buffer[start : min(end, start + MAX_TEXT)]
      text = bytes(text).decode(errors="replace")
      return ["".join(c if c.isprintable() else "?" for c in text)]
    if kind == INT:
      return list(self._read_packed_ints(start, end))
    size = np.dtype(kind).itemsize
    if (end - start) % size:
      raise _damaged(
        f"{end - start} bytes are no numbers of {size} bytes", start
      )
    if start == end:
      return []
    return [np.frombuffer(self._buffer, kind, (end - start) // size, start)]

  def _read_packed_ints(self, start: int, end: int) -> Iterator[int]:
    at = start
    while at < end:
      self._count_field(at)
      value, at = self._read_varint(at, end)
      yield _signed(value)

  def _fields(
    self, start: int, end: int
  ) -> Iterator[tuple[int, int, int, Any]]:
    """Yields each field's position, number, wire type and value.

    The value is an int of 64 bits without a sign; of a length-delimited field
    its start and end; of fixed sizes uint8 [values, size], as those that follow
    with the same tag are taken with the first.
    """
    at = start
    while at < end:
      self._count_field(at)
      first = at
      tag, at = self._read_varint(at, end)
      number, wire_type = tag >> 3, tag & 7
      if not 0 < number <= MAX_FIELD_NUMBER:
        raise _damaged(f"there is no field number {number}", first)
      if wire_type == VARINT:
        value, at = self._read_varint(at, end)
      elif wire_type == LENGTH:
        length, at = self._read_varint(at, end)
        if length > end - at:
          raise _damaged(
            f"a field of {length} bytes is longer than what is left", first
          )
        value = (at, at + length)
        at += length
      elif wire_type in FIXED_SIZES:
        value = self._read_run(first, at, FIXED_SIZES[wire_type], end)
        at = first + len(value) * (at - first + FIXED_SIZES[wire_type])
      else:
        raise _damaged(f"wire type {wire_type} is not Caffe's", first)
      yield first, number, wire_type, value

  def _read_varint(self, at: int, end: int) -> tuple[int, int]:
    """An integer of up to 64 bits, and where it ends."""
    value, first = 0, at
    for shift in range(0, 70, 7):
      if at >= end:
        raise _damaged("a number is cut off", first)
      byte = self._buffer[at]
      at += 1
      value |= (byte & 0x7F) << shift
      if byte < 0x80:
        return value % 2**64, at
    raise _damaged("a number is longer than 10 bytes", first)

  def _read_run(self, first: int, at: int, size: int, end: int) -> np.ndarray:
    """Values of `size` bytes, each after the tag that stands at `first`.

    A blob may be millions of them, too many to walk one by one.
    """
    tag_size = at - first
    record = tag_size + size
    limit = (end - first) // record
    if limit < 1:
      raise _damaged("a number is cut off", first)
    rows = np.frombuffer(self._buffer, np.uint8, limit * record, first)
    rows = rows.reshape(limit, record)
    # Growing steps, so that short runs in a long file do not take long.
    count, step = 1, 16
    while count < limit:
      tags = rows[count : count + step, :tag_size]
      same = (tags == rows[0, :tag_size]).all(axis=1)
      if not same.all():
        count += int(same.argmin())
        break
      count += len(same)
      step = min(2 * step, 2**16)
    return rows[:count, tag_size:]

  def _count_field(self, at: int) -> None:
    self._num_fields += 1
    if self._num_fields > MAX_FIELDS:
      raise _damaged(f"more than {MAX_FIELDS} fields", at)


def _signed(value: int) -> int:
  """A 64-bit two's complement as an int."""
  return value - 2**64 if value >= 2**63 else value


def _damaged(what: str, at: int) -> InputError:
  return InputError(
    f"is damaged or of another format: {what} (byte {at}); download it again"
  )

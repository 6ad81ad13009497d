"""The values of MATLAB's files, as the readers of both formats give them.

A struct is a Mapping by field; a cell array, and a struct array of other than
one element, is a Sequence in MATLAB's order; a row of characters is a str.
Numbers are arrays with their axes reversed: MATLAB stores the first axis
densest, so a kernel of H x W x I x O is [O, I, W, H] here, with no copy.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from vggjax.errors import InputError
from vggjax.weights.foreign import Array

# Of what a file may hold, so that a damaged one ends soon: the elements of
# cell arrays, and the numbers of an option or a mean image.
MAX_ELEMENTS = 10**6
MAX_NUMBERS = 2**24
CUT_OFF = "is cut off or damaged; download or save it again"


@dataclasses.dataclass(frozen=True)
class Unreadable:
  """A value of a kind that no net needs.

  Attributes:
    what: it is, for people, e.g. "a function handle".
  """

  what: str


Value = Mapping | Sequence | str | Array | Unreadable


def as_struct(value: Value, name: str) -> Mapping[str, Value]:
  """The fields of a struct, which may be in cells of one element.

  Raises:
    InputError: if it is none; `name` says what.
  """
  for _ in range(3):
    if isinstance(value, Mapping):
      return value
    if not _is_list(value) or len(value) != 1:
      break
    value = value[0]
  raise InputError(f"{name} is {describe(value)} and not a struct")


def as_list(value: Value, name: str) -> Sequence[Value]:
  """The elements of a cell or struct array; raises InputError if none."""
  if isinstance(value, Mapping):
    return [value]
  if is_empty(value):
    return []
  if not _is_list(value):
    raise InputError(f"{name} is {describe(value)} and not a cell array")
  return value


def as_text(value: Value, name: str) -> str:
  """A text, fit to be printed; raises InputError if it is none."""
  if not isinstance(value, str):
    raise InputError(f"{name} is {describe(value)} and not a text")
  return printable(value)


def as_array(value: Value, name: str) -> Array:
  """Numbers as they are stored; raises InputError if they are none."""
  if isinstance(value, Unreadable | Mapping | str) or _is_list(value):
    raise InputError(f"{name} is {describe(value)} and not numbers")
  return value


def as_numbers(value: Value, name: str) -> np.ndarray:
  """Numbers in memory, float64; raises InputError if none, or too many."""
  array = as_array(value, name)
  if math.prod(array.shape) > MAX_NUMBERS:
    raise InputError(f"{name} is {describe(value)}; it must be much smaller")
  return np.asarray(array[...], np.float64)


def is_empty(value: Value) -> bool:
  """Whether it is [], {} or ''."""
  if isinstance(value, Unreadable | Mapping):
    return False
  if isinstance(value, str) or _is_list(value):
    return not len(value)
  return not math.prod(value.shape)


def describe(value: Value) -> str:
  """What a value is, for people."""
  if isinstance(value, Unreadable):
    return value.what
  if isinstance(value, Mapping):
    return "a struct"
  if isinstance(value, str):
    return f"the text {printable(value, 20)!r}"
  if _is_list(value):
    return f"a cell or struct array of {len(value)}"
  return f"an array of {' x '.join(map(str, reversed(value.shape)))}"


def printable(text: str, length: int = 200) -> str:
  """A file's text, fit for a line of a message."""
  text = "".join(c if c.isprintable() else "?" for c in text)
  return text if len(text) <= length else f"{text[: length - 3]}..."


def _is_list(value: Value) -> bool:
  return isinstance(value, Sequence) and not isinstance(value, str)

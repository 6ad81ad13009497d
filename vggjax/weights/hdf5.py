"""HDF5 files of unknown origin, read part by part.

A file may name others, in links or as the storage of its datasets, and would
show what these hold as its own; such files are refused.
"""

import contextlib
import dataclasses
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from vggjax.errors import InputError
from vggjax.weights.hdf5_heap import check_heaps

# More than any VGG's file has in one place.
MAX_NAMES = 1000
MAX_ATTRIBUTE_BYTES = 2**24
# Of names, which may be any bytes.
CODEC = ("utf-8", "surrogateescape")


@dataclasses.dataclass(frozen=True)
class Source:
  """A file, or a part of one, with HDF5 in it.

  Attributes:
    path: of the file.
    start: of the part, bytes from the file's start.
    size: bytes of the part; None: all that follows.
  """

  path: Path
  start: int = 0
  size: int | None = None

  @contextlib.contextmanager
  def open(self) -> Iterator[Any]:
    """Opens it as an h5py.File, closed at the end of the block.

    Raises:
      InputError: if h5py is missing, or a heap would hold it up forever.
    """
    h5py = h5py_module()
    known = self.path.stat()
    rest = max(0, known.st_size - self.start)
    size = rest if self.size is None else min(self.size, rest)
    check_heaps(self.path, self.start, size, known.st_mtime_ns)
    with (
      self.path.open("rb", buffering=0) as file,
      h5py.File(_Part(file, self.start, self.size), "r") as content,
    ):
      yield content


class _Part(io.RawIOBase):
  """A part of a file as a file."""

  def __init__(self, file: io.RawIOBase, start: int, size: int | None):
    self._file, self._start, self._position = file, start, 0
    rest = max(0, file.seek(0, io.SEEK_END) - start)
    self._size = rest if size is None else min(size, rest)

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
    base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence, self._size)
    self._position = base + offset
    return self._position

  def readinto(self, buffer: Any) -> int:
    view = memoryview(buffer).cast("B")
    view = view[: max(0, self._size - self._position)]
    self._file.seek(self._start + self._position)
    done = 0
    # One read may return less than is there.
    while done < len(view) and (count := self._file.readinto(view[done:])):
      done += count
    self._position += done
    return done


def find(group: Any, path: str) -> Any:
  """The group or dataset at a path below a group.

  Raises:
    InputError: if there is nothing, or a link that may lead to another file.
  """
  h5py = h5py_module()
  for name in path.split("/"):
    if not isinstance(group, h5py.Group):
      raise InputError(
        f"{shown(group.name or '')} is not a group; it is damaged"
      )
    links = group.id.links
    encoded = name.encode(*CODEC)
    if not encoded or not links.exists(encoded):
      raise InputError(f"lacks {shown(path)}")
    if links.get_info(encoded).type != h5py.h5l.TYPE_HARD:
      raise InputError(
        f"has a link at {shown(path)}, which could lead to another file; "
        "write the weights themselves"
      )
    group = group[encoded]
  return group


def has(group: Any, name: str) -> bool:
  """Whether a group has an entry, without looking where a link leads."""
  return bool(group.id.links.exists(name.encode()))


def is_group(group: Any, path: str) -> bool:
  """Whether there is a group at a path below a group, see `find`."""
  return isinstance(find(group, path), h5py_module().Group)


def names(group: Any) -> list[str]:
  """What is in a group, in the order of `natural`.

  Raises:
    InputError: if it is more than in any VGG's file.
  """
  if not isinstance(group, h5py_module().Group):
    raise InputError(f"{shown(group.name or '')} is not a group; it is damaged")
  if len(group) > MAX_NAMES:
    raise InputError(f"has {len(group)} entries in {shown(group.name or '')}")
  found = (n.decode(*CODEC) if isinstance(n, bytes) else n for n in group)
  return sorted(found, key=natural)


def natural(name: str) -> list:
  """Sorts conv2d_10 after conv2d_9."""
  parts = re.split("([0-9]+)", name)
  # Texts and numbers take turns; of two long numbers the longer is larger.
  return [
    (len(p.lstrip("0")), p.lstrip("0")) if i % 2 else p
    for i, p in enumerate(parts)
  ]


def attribute(owner: Any, name: str) -> Any:
  """An attribute's value, text or numbers; None where there is none.

  Raises:
    InputError: if it is of another type, or larger than in any VGG's file.
  """
  if name not in owner.attrs:
    return None
  stored = owner.attrs.get_id(name)
  if stored.shape is None:
    return None
  types = h5py_module().h5t
  # Damaged ones of other types can crash the library.
  known = (types.TypeStringID, types.TypeFloatID, types.TypeIntegerID)
  if not isinstance(stored.get_type(), known):
    raise InputError(f"has an attribute {name} that is no text; it is damaged")
  count = math.prod(stored.shape)
  if count > MAX_NAMES or count * stored.dtype.itemsize > MAX_ATTRIBUTE_BYTES:
    raise InputError(f"has {count} values in its attribute {name}")
  return owner.attrs[name]


def text_attribute(owner: Any, name: str) -> str:
  """A text; "" where there is none."""
  value = attribute(owner, name)
  return _text(value) if isinstance(value, str | bytes) else ""


def list_attribute(owner: Any, name: str) -> list[str] | None:
  """A list of texts, None where there is none.

  Those that are too long for one attribute are split among name0, name1, ...

  Raises:
    InputError: if a text occurs twice.
  """
  value = attribute(owner, name)
  parts = [] if value is None else [value]
  if value is None:
    while (part := attribute(owner, f"{name}{len(parts)}")) is not None:
      parts.append(part)
  if not parts:
    return None
  found = [_text(value) for part in parts for value in np.ravel(part)]
  if len(set(found)) < len(found) or len(found) > MAX_NAMES:
    raise InputError(f"lists {len(found)} {name}, some twice; it is damaged")
  return found


def shown(name: str) -> str:
  """A name from a file for a message of one line."""
  name = name if len(name) <= 100 else f"{name[:100]}..."
  return "".join(c if c.isprintable() else "?" for c in name)


def _text(value: Any) -> str:
  if isinstance(value, bytes):
    return value.decode("utf-8", "replace")
  if isinstance(value, str):
    return value
  raise InputError("has an attribute that is no text; it is damaged")


def h5py_module(purpose: str = "reading HDF5", instead: str = "") -> ModuleType:
  """h5py, which is not installed with everything else.

  Args:
    purpose: what needs it.
    instead: what to do without it.

  Raises:
    InputError: if it is missing.
  """
  try:
    import h5py
  except ImportError as error:
    raise InputError(
      f"{purpose} needs h5py ({error}): pip install 'vggjax[weights]'{instead}"
    ) from error
  return h5py

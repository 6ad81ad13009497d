"""A download's file while it grows, which outlives a process that is killed."""

import contextlib
import hashlib
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from vggjax.errors import InputError

try:
  import fcntl
except ImportError:  # Windows.
  fcntl = None

# Of a process that waits for another's download.
POLL_SECONDS = 0.2
STALLED_SECONDS = 300.0


class PartFile:
  """The first bytes of a file, the tag of its version, and their digest.

  The tag is what the server gave for this version of the file, an ETag or a
  date. It lies next to the part, so that bytes of two versions are never put
  together.

  Attributes:
    path: of the part.
    size: bytes so far.
    tag: "": unknown, and nothing can be added by a later request.
    hash: of hashlib, of the bytes so far.
    resumed: whether bytes of an earlier process are in it.
  """

  def __init__(self, path: Path, algorithm: str):
    """Takes up what is there.

    Args:
      path: of the part.
      algorithm: a name of hashlib.
    """
    self.path = path
    self._algorithm = algorithm
    self.tag = _read_tag(_tag_path(path))
    if not self.tag or not path.is_file():
      self.restart("")
      return
    with path.open("rb") as file:
      self.hash = hashlib.file_digest(file, lambda: new_hash(algorithm))
    self.size = path.stat().st_size
    self.resumed = self.size > 0

  def restart(self, tag: str) -> None:
    """Drops all bytes, before those of a version with this tag."""
    # In this order, a process killed in between leaves no bytes of one version
    # by the tag of another.
    self.path.write_bytes(b"")
    _tag_path(self.path).write_text(tag, encoding="ascii")
    self.size, self.tag, self.resumed = 0, tag, False
    self.hash = new_hash(self._algorithm)

  @contextlib.contextmanager
  def appending(self) -> Iterator[None]:
    """Opens the file for `append`."""
    # Without a buffer, what fails does so in `append`.
    with self.path.open("ab", buffering=0) as self._file:
      yield

  def append(self, chunk: bytes) -> None:
    """Adds bytes to the end."""
    rest = memoryview(chunk)
    while rest:
      written = self._file.write(rest)
      self.hash.update(rest[:written])
      self.size += written
      rest = rest[written:]

  def finish(self, target: Path) -> None:
    """Moves the file to its place."""
    with self.path.open("rb") as file:
      os.fsync(file.fileno())
    os.replace(self.path, target)
    _tag_path(self.path).unlink(missing_ok=True)

  def tidy(self) -> None:
    """Removes what no later request can go on with."""
    if not (self.size and self.tag):
      self.remove()

  def remove(self) -> None:
    """Removes the file and its tag."""
    self.path.unlink(missing_ok=True)
    _tag_path(self.path).unlink(missing_ok=True)


def new_hash(algorithm: str):
  """A hash of hashlib, also where MD5 is banned from cryptography."""
  return hashlib.new(algorithm, usedforsecurity=False)


def _tag_path(path: Path) -> Path:
  return path.with_name(f"{path.name}.tag")


def _read_tag(path: Path) -> str:
  """A stored tag; "" where there is none that can be sent in a header."""
  try:
    tag = path.read_bytes().decode("ascii", errors="replace")
  except FileNotFoundError:
    return ""
  return tag if re.fullmatch(r"[\x20-\x7e]+", tag) else ""


@contextlib.contextmanager
def locked(target: Path, progress: bool) -> Iterator[Path]:
  """A place for a file's part, for this process and thread alone.

  Waits while another one downloads the same file.

  Args:
    target: where the file will be; its folder exists.
    progress: whether to say on stderr that it waits.

  Yields:
    The path of the part.

  Raises:
    InputError: if the other one has got nothing for minutes.
    OSError: if the folder cannot be written to.
  """
  path = target.with_name(f"{target.name}.part")
  lock_path = target.with_name(f"{target.name}.lock")
  lock = _lock(lock_path, path, progress)
  if lock is None:
    # No locks here: a part of one's own, which nobody else takes up.
    path = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
  try:
    yield path
  finally:
    lock_path.unlink(missing_ok=True)
    if lock is None:
      path.unlink(missing_ok=True)
      _tag_path(path).unlink(missing_ok=True)
    else:
      os.close(lock)


def _lock(path: Path, part: Path, progress: bool) -> int | None:
  """Locks a file; the lock ends with the process, however that ends.

  Returns:
    The file's descriptor, or None where files cannot be locked.
  """
  if fcntl is None:
    return None
  seen, since = -1, time.monotonic()
  while True:
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      os.close(lock)
    except OSError:
      os.close(lock)
      return None
    else:
      # The last owner may have removed the file after it was opened here.
      if _is_same_file(lock, path):
        return lock
      os.close(lock)
      continue
    size = _size(part)
    if seen < 0 and progress:
      print(f"{part}: another process downloads it; waiting", file=sys.stderr)
    if size != seen:
      seen, since = size, time.monotonic()
    elif time.monotonic() - since > STALLED_SECONDS:
      raise InputError(
        f"{part}: another process downloads this file and has got nothing for "
        f"{STALLED_SECONDS:.0f} s; end it, and run this again"
      )
    time.sleep(POLL_SECONDS)


def _size(path: Path) -> int:
  try:
    return path.stat().st_size
  except FileNotFoundError:
    return 0


def _is_same_file(descriptor: int, path: Path) -> bool:
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False

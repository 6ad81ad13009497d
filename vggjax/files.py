"""Where files are kept, and files that are either whole or not there."""

import contextlib
import errno
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vggjax.addresses import is_address, location, upload

# What a file system says that has no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# What tells of the place of a file, not of a mistake in the program.
STORAGE_ERRORS = (
  errno.EACCES,
  errno.EDQUOT,
  errno.EFBIG,
  errno.EIO,
  errno.ENOSPC,
  errno.EPERM,
  errno.EROFS,
  errno.ESTALE,
)


def cache_folder() -> Path:
  """What can be had again is kept here: $VGGJAX_CACHE, or ~/.cache/vggjax."""
  folder = os.environ.get("VGGJAX_CACHE") or "~/.cache/vggjax"
  return Path(folder).expanduser()


def scratch(path: Path) -> Path:
  """Where to keep a folder that needs a file system: itself, if it is in one.

  Else a folder of this machine's cache; what is in it can be had again.
  """
  if not is_address(path):
    return path
  return cache_folder() / "scratch" / str(path).replace("://", "/", 1)


@contextlib.contextmanager
def locked(path: str | Path) -> Iterator[bool]:
  """Holds a lock that ends with the block, or with the process.

  Args:
    path: of a file, made if missing, that is for the lock alone.

  Yields:
    Whether there are locks where the file is; without, nothing is locked.

  Raises:
    BlockingIOError: if another process holds it; its strerror says which.
  """
  if is_address(path):
    yield False
    return
  with Path(path).open("a+") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      file.seek(0)
      raise BlockingIOError(error.errno, file.read().strip()) from error
    except OSError as error:
      if error.errno not in NO_LOCKS:
        raise
      yield False
      return
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    yield True


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
  """Where to write a file that takes its place when the block ends.

  A write that fails or is killed leaves the older file. Missing folders are
  made.

  Args:
    path: of the file.

  Yields:
    The path of a new file.
  """
  path = location(path)
  if is_address(path):
    with tempfile.TemporaryDirectory() as folder:
      temporary = Path(folder) / path.name
      yield temporary
      upload(temporary, path)
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    yield temporary
    with temporary.open("rb") as file:
      os.fsync(file.fileno())
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)

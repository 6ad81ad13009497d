"""Folders in an object store, gs://BUCKET/..., where files have no locks.

Paths there are epath's, as orbax's are. What is written appears when it is
complete; nothing can be appended to, renamed at once, or mapped into memory.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from vggjax.errors import InputError, StorageError

# The packages whose exceptions tell of the store and of the way to it.
_CLIENTS = ("aiohttp", "gcsfs", "google", "requests")
# What tensorstore's errors begin with that do not tell of damage.
_UNREACHED = (
  "ABORTED",
  "CANCELLED",
  "DEADLINE_EXCEEDED",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "UNAUTHENTICATED",
  "UNAVAILABLE",
)


def location(name: str | os.PathLike) -> Path:
  """The path that a name stands for: of a file system, or epath's of gs://.

  Raises:
    InputError: if it is in another store, or gs:// cannot be used here.
  """
  name = os.fspath(name)
  if not re.match(r"[a-z][a-z0-9+.-]+:/", name):
    return Path(name).expanduser()
  if not re.match(r"gs://[^/]", name):
    raise InputError(
      f"{name} is neither a path nor gs://BUCKET/..., the only store that "
      "orbax keeps checkpoints in; from a folder a run can be copied anywhere"
    )
  # gcsfs would ask for the kind of each bucket.
  os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
  try:
    import fsspec
    import gcsfs  # noqa: F401
  except ImportError as error:
    raise InputError(
      f"{name} cannot be used ({error}): pip install 'vggjax[gcs]'"
    ) from error
  # It logs what it raises.
  logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
  # tensorstore and other processes change what a listing says.
  fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False
  from etils import epath  # Slow to import, and seldom needed.

  _use_gcsfs()
  return epath.Path(name)


def _use_gcsfs() -> None:
  """Else epath takes TensorFlow's file systems where that is installed."""
  from etils.epath import gpath

  os.environ["EPATH_USE_TF"] = "false"
  if gpath._is_tf_installed():
    # That was asked before, if for a path of a file system; epath keeps the
    # answer, and has no public name for it.
    gpath._is_tf_installed.cache_clear()


def is_address(path: str | os.PathLike) -> bool:
  """Whether a path is in an object store."""
  return os.fspath(path).startswith("gs://")


def absolute(path: Path) -> Path:
  """The path from the root on; an address is one already."""
  return path if is_address(path) else Path(path).absolute()


def check_bucket(path: Path) -> None:
  """Raises InputError unless an address's bucket is there, to be read."""
  bucket = location("gs://" + os.fspath(path).split("/")[2])
  try:
    with reaching(path):
      found = bucket.exists()
  except StorageError as error:
    raise InputError(str(error)) from error
  if not found:
    raise InputError(f"{path}: there is no bucket {bucket}; create it first")


def upload(local: Path, path: Path) -> None:
  """Copies a file to an address, where it appears when it is complete."""
  import fsspec

  system, name = fsspec.core.url_to_fs(os.fspath(path))
  system.put_file(os.fspath(local), name)


def download(path: Path, local: Path) -> None:
  """Copies a file from an address."""
  import fsspec

  system, name = fsspec.core.url_to_fs(os.fspath(path))
  system.get_file(name, os.fspath(local))


def is_unreached(path: str | os.PathLike, error: BaseException) -> bool:
  """Whether an error tells of an address's store and the way to it.

  Else it tells of its files, or the path is of a file system.
  """
  if not is_address(path) or isinstance(error, FileNotFoundError):
    return False
  if isinstance(error, OSError):
    return True
  package = type(error).__module__.split(".")[0]
  return package in _CLIENTS or str(error).startswith(_UNREACHED)


@contextlib.contextmanager
def reaching(path: str | os.PathLike) -> Iterator[None]:
  """What fails inside for want of an address's store is a StorageError.

  Args:
    path: nothing is changed unless it is an address.
  """
  try:
    yield
  except Exception as error:
    if not is_unreached(path, error):
      raise
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    raise StorageError(f"cannot reach {path}: {reason[:300]}") from error

"""Where files are kept, and files that are either whole or not there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
  """What can be had again is kept here: $VGGJAX_CACHE, or ~/.cache/vggjax."""
  folder = os.environ.get("VGGJAX_CACHE") or "~/.cache/vggjax"
  return Path(folder).expanduser()


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
  """Where to write a file that takes its place when the block ends.

  A write that fails or is killed leaves the older file. Missing folders are
  made.

  Args:
    path: of the file.

  Yields:
    The path of a new file in the same folder.
  """
  path = Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    yield temporary
    with temporary.open("rb") as file:
      os.fsync(file.fileno())
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)

"""Files that grow while a run trains, of a folder that may be gs://."""

import contextlib
import tempfile
import time
from pathlib import Path

from vggjax.addresses import download, is_address, upload

# Seconds between two copies to an address, at least.
COPY_EVERY = 60.0


class Spool:
  """A folder to write in; what is written there gets to the folder meant.

  In a file system both are the same. Nothing can be appended to what is at an
  address: there the files are written on this machine, and copied whole.

  Args:
    folder: the one meant.

  Attributes:
    folder: the one to write in.
  """

  def __init__(self, folder: Path):
    self.folder = folder
    self._meant = folder
    self._files = contextlib.ExitStack()
    if is_address(folder):
      made = self._files.enter_context(tempfile.TemporaryDirectory())
      self.folder = Path(made)
    # The size of each file as it was copied.
    self._copied = {}
    self._since = time.monotonic()

  def fetch(self, name: str) -> None:
    """Brings a file here that an earlier start has written, if it is there."""
    if self.folder is not self._meant and (self._meant / name).exists():
      download(self._meant / name, self.folder / name)

  def copy(self, *, now: bool = True) -> None:
    """Copies what has grown; unless now, only after a while.

    Raises:
      OSError: or another error of the store's, if that cannot be done.
    """
    if self.folder is self._meant:
      return
    if not now and time.monotonic() < self._since + COPY_EVERY:
      return
    for path in self.folder.rglob("*"):
      size = path.stat().st_size
      if path.is_file() and self._copied.get(path) != size:
        upload(path, self._meant / path.relative_to(self.folder))
        self._copied[path] = size
    self._since = time.monotonic()

  def close(self) -> None:
    """Copies what has grown; the folder to write in may be gone then."""
    with self._files:
      self.copy()

"""Results in the making, of which each process computes a share on disk."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vggjax.addresses import download, is_address, location, upload
from vggjax.evaluate.rows import CARD_FILE, FILES, StoredRows
from vggjax.files import scratch


class ShareRows(StoredRows):
  """This process's share of N rows: those of index p, p + count, ...

  Each process has a folder of its own, so that no two write one file; rows that
  an evaluation by another number of processes has left are taken over. Shares
  of an address's folder are kept on each machine, and meet at the address when
  they are complete.

  Args:
    folder: of the only process; the others' have its name and their numbers.
    num_rows: N.
    about: see `StoredRows`.
    process_index: p.
    process_count: of how many.
  """

  def __init__(
    self,
    folder: str | Path,
    num_rows: int,
    about: dict[str, Any],
    *,
    process_index: int = 0,
    process_count: int = 1,
  ):
    self._meant = location(folder)
    self._first = scratch(self._meant)
    self._num_all = num_rows
    self._index, self._count = process_index, process_count
    own = _folder_of(self._first, process_index, process_count)
    length = share_length(num_rows, process_index, process_count)
    if not (own / CARD_FILE).exists():
      self._fetch(own)
    super().__init__(own, length, about)
    for number, count, other in _folders(self._first):
      if count == process_count:
        continue
      theirs = self._open_share(other, number, count)
      if theirs.done.any():
        indices, values = theirs.filled()
        indices = indices * count + number
        mine = indices % process_count == process_index
        mine[mine] &= ~self.done[indices[mine] // process_count]
        if mine.any():
          self.put(indices[mine] // process_count, values[mine])

  def hand_over(self) -> None:
    """Puts a complete share where the chief finds it."""
    if self._index == 0 or not is_address(self._meant):
      return
    for name in FILES:
      if (self.folder / name).exists():
        upload(self.folder / name, self._there(self.folder) / name)
    self.remove()

  def _there(self, folder: Path) -> Path:
    """A share's folder at the address."""
    return self._meant.with_name(folder.name)

  def _fetch(self, folder: Path) -> None:
    """Brings a share here that was handed over, if it was."""
    there = self._there(folder)
    if not is_address(there) or not (there / CARD_FILE).exists():
      return
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
      if (there / name).exists():
        download(there / name, folder / name)

  def all_values(self) -> np.ndarray:
    """The rows of all processes, [N, ...], for the chief.

    Raises:
      RuntimeError: if one is missing.
    """
    result = None
    with tempfile.TemporaryDirectory() as fetched:
      for number in range(min(self._count, self._num_all)):
        folder = _folder_of(self._first, number, self._count)
        if number and is_address(self._meant):
          folder = Path(fetched) / folder.name
          self._fetch(folder)
        values = self._open_share(folder, number, self._count).values()
        if result is None:
          result = np.zeros((self._num_all, *values.shape[1:]), values.dtype)
        result[number :: self._count] = values
    return result

  def remove_all(self) -> None:
    """Deletes the folders of all processes."""
    for number, count, folder in _folders(self._first):
      self._open_share(folder, number, count).remove()
    if is_address(self._meant):
      for _, _, folder in _folders(self._meant):
        folder.rmtree()

  def _open_share(self, folder: Path, number: int, count: int) -> StoredRows:
    length = share_length(self._num_all, number, count)
    return StoredRows(folder, length, self.about, create=False)


def share_length(num_rows: int, process_index: int, process_count: int) -> int:
  """How many of [0, num_rows) are one process's."""
  return len(range(process_index, num_rows, process_count))


def _folder_of(first: Path, process_index: int, process_count: int) -> Path:
  if process_count == 1:
    return first
  return first.with_name(f"{first.name}-{process_index}-of-{process_count}")


def _folders(first: Path) -> Iterator[tuple[int, int, Path]]:
  """The process and the count of what there is, and its folder."""
  if first.exists():
    yield 0, 1, first
  for folder in sorted(first.parent.glob(f"{first.name}-*-of-*")):
    if match := re.fullmatch(
      r"(\d+)-of-(\d+)", folder.name[len(first.name) + 1 :]
    ):
      yield int(match[1]), int(match[2]), folder

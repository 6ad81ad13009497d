"""Results in the making: rows filled in any order, in memory or on disk."""

import json
import math
import os
import shutil
import tokenize
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vggjax.addresses import location
from vggjax.files import scratch

# Of a folder of rows; without the card it counts as nothing.
CARD_FILE = "about.json"
DONE_FILE, ROWS_FILE = "done.npy", "rows.npy"
# In the order in which they are copied.
FILES = (DONE_FILE, ROWS_FILE, CARD_FILE)


class Rows:
  """An array [N, ...] whose rows are filled in any order, each once.

  Args:
    num_rows: N.

  Attributes:
    done: bool [N], the rows filled.
  """

  def __init__(self, num_rows: int):
    self.done = np.zeros(num_rows, bool)
    self._values = None

  def put(self, indices: Sequence[int], values: Sequence[np.ndarray]) -> None:
    """Fills rows.

    Args:
      indices: in [0, N).
      values: a row for each index.

    Raises:
      RuntimeError: if one of them is filled already.
    """
    for index in indices:
      if not 0 <= index < len(self.done):
        raise RuntimeError(f"index {index} is not in [0, {len(self.done)})")
    if np.any(self.done[indices]) or len(set(indices)) < len(indices):
      raise RuntimeError(f"one of the images {list(indices)} came twice")
    self._write(indices, values)
    self._note_done(indices)

  def values(self) -> np.ndarray:
    """The whole array.

    Raises:
      RuntimeError: if a row is missing.
    """
    missing = int(np.sum(~self.done))
    if missing or self._values is None:
      raise RuntimeError(f"{missing} of {len(self.done)} images never came")
    return self._values

  def filled(self) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the rows filled so far, ascending, and these rows.

    Raises:
      RuntimeError: if there is none.
    """
    if self._values is None:
      raise RuntimeError("no image ever came")
    return np.flatnonzero(self.done), self._values[self.done]

  def _write(self, indices: Sequence[int], values: Sequence[np.ndarray]):
    values = np.asarray(values)
    if self._values is None:
      shape = len(self.done), *values.shape[1:]
      self._values = self._create(shape, values.dtype)
    self._values[indices] = values

  def _create(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.zeros(shape, dtype)

  def _note_done(self, indices: Sequence[int]) -> None:
    self.done[indices] = True


class RaggedRows(Rows):
  """Rows [P, ...], each of its own length P."""

  def values(self) -> list[np.ndarray]:
    """The rows; raises RuntimeError if one is missing."""
    return super().values().tolist()

  def filled(self) -> tuple[np.ndarray, list[np.ndarray]]:
    """As of `Rows`."""
    indices, values = super().filled()
    return indices, values.tolist()

  def _write(self, indices: Sequence[int], values: Sequence[np.ndarray]):
    if self._values is None:
      self._values = np.empty(len(self.done), object)
    for index, value in zip(indices, values, strict=True):
      self._values[index] = value


class StoredRows(Rows):
  """Rows kept in a folder, so that a stopped evaluation goes on.

  Those of a folder at an address are kept on this machine (`files.scratch`).

  Args:
    folder: see `create`.
    num_rows: N.
    about: what the rows are computed from and how; JSON values.
    create: whether the folder is created if it is missing, and emptied if it
      holds rows of something else; else nothing is done in such a folder.

  Attributes:
    folder: where they are kept.
    about: see above.
  """

  def __init__(
    self,
    folder: str | Path,
    num_rows: int,
    about: dict[str, Any],
    *,
    create: bool = True,
  ):
    super().__init__(num_rows)
    self.folder = scratch(location(folder))
    self.about = about
    card = json.dumps({**about, "num_rows": num_rows}, sort_keys=True)
    if not self._reopen(card) and create:
      self.remove()
      self.folder.mkdir(parents=True)
      self.done = self._open(DONE_FILE, (num_rows,), bool)
      # Last.
      (self.folder / CARD_FILE).write_text(card)

  def remove(self) -> None:
    """Deletes the folder."""
    shutil.rmtree(self.folder, ignore_errors=True)

  def _reopen(self, card: str) -> bool:
    try:
      if (self.folder / CARD_FILE).read_text() != card:
        return False
      done = self._load(DONE_FILE)
      if done.shape != self.done.shape or done.dtype != bool:
        return False
      values = self._load(ROWS_FILE) if done.any() else None
    except (EOFError, OSError, TypeError, ValueError, tokenize.TokenError):
      return False
    if values is not None and values.shape[:1] != done.shape:
      return False
    self.done, self._values = done, values
    return True

  def _load(self, name: str) -> np.memmap:
    # "r" refuses a truncated file, which "r+" would fill up with zeros.
    np.load(self.folder / name, mmap_mode="r")
    return np.load(self.folder / name, mmap_mode="r+")

  def _create(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return self._open(ROWS_FILE, shape, dtype)

  def _note_done(self, indices: Sequence[int]) -> None:
    # First the values, so that no row counts as done before it is there.
    self._values.flush()
    super()._note_done(indices)

  def _open(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.memmap:
    return np.lib.format.open_memmap(
      self.folder / name, mode="w+", dtype=dtype, shape=shape
    )


class StoredRaggedRows(Rows):
  """Rows [P, ...], each of its own length P, kept in a folder likewise.

  Args:
    folder: see `StoredRows`.
    num_rows: N.
    row_shape: of a row without P; float32.
    about: see `StoredRows`.
  """

  def __init__(
    self,
    folder: str | Path,
    num_rows: int,
    row_shape: tuple[int, ...],
    about: dict[str, Any],
  ):
    super().__init__(num_rows)
    self._row_shape = row_shape
    about = {**about, "row_shape": list(row_shape)}
    # Where each row begins in the file of all values, and its length.
    self._spans = StoredRows(folder, num_rows, about)
    self._file = self._spans.folder / "values.bin"
    self.done = self._spans.done

  def remove(self) -> None:
    """Deletes the folder."""
    self._spans.remove()

  def values(self) -> list[np.ndarray]:
    """The rows, float32 [P, ...] each.

    Raises:
      RuntimeError: if a row is missing.
    """
    spans = self._spans.values()
    flat = np.fromfile(self._file, np.float32).reshape(-1, *self._row_shape)
    return [flat[start : start + length] for start, length in spans]

  def _write(self, indices: Sequence[int], values: Sequence[np.ndarray]):
    row_bytes = 4 * math.prod(self._row_shape)
    with self._file.open("ab") as file:
      # What a killed write left is passed over.
      file.write(bytes(-file.tell() % row_bytes))
      start = file.tell() // row_bytes
      np.concatenate(values).astype(np.float32, copy=False).tofile(file)
      file.flush()
      os.fsync(file.fileno())
    lengths = [len(value) for value in values]
    starts = start + np.cumsum([0, *lengths[:-1]])
    self._spans.put(indices, np.stack([starts, lengths], axis=1))

  def _note_done(self, indices: Sequence[int]) -> None:
    pass  # `_spans` has.

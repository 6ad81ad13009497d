"""Descriptors on disk, mapped into memory so that they need not fit in it.

Those of a network at one scale stand in a folder: rows.npy, float32 [N, F], and
kept.json with the examples' ids, a checksum, and what they were computed from.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vggjax.evaluate.rows import StoredRows

FOLDER = "features"
_CARD = "kept.json"


def keep(rows: StoredRows, path: str | Path, ids: Sequence[str]) -> None:
  """Moves complete rows to their place; a killed move leaves them as they were.

  Args:
    rows: of the examples, all done.
    path: of the folder; what stands there is replaced.
    ids: of the examples.

  Raises:
    RuntimeError: if a row is missing.
  """
  rows.values()  # Raises where one is missing.
  card = {
    "about": rows.about,
    "ids": list(ids),
    "sha256": _checksum(rows.folder),
  }
  (rows.folder / _CARD).write_text(json.dumps(card))
  shutil.rmtree(path, ignore_errors=True)
  os.replace(rows.folder, path)


def load(path: str | Path, about: dict[str, Any]) -> np.ndarray | None:
  """The descriptors of a folder, float32 [N, F], read where they are used.

  Args:
    path: of the folder.
    about: what they must have been computed from.

  Returns:
    None where they are missing, damaged or of something else, so that they are
    computed again.
  """
  path = Path(path)
  try:
    card = json.loads((path / _CARD).read_text())
    if card["about"] != json.loads(json.dumps(about)):
      return None
    if card["sha256"] != _checksum(path):
      return None
    return np.load(path / "rows.npy", mmap_mode="r")
  except (EOFError, OSError, KeyError, TypeError, ValueError):
    return None


def _checksum(path: Path) -> str:
  """sha256, hex, of the descriptors in a folder."""
  with (path / "rows.npy").open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()

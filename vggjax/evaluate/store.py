"""Posteriors on disk: computed once for each (run, protocol, Q, split)."""

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vggjax.addresses import location
from vggjax.files import written_whole

FOLDER = "posteriors"
# What a protocol is the mean of (Sect. 3.2); each part is stored by itself.
PROTOCOLS = {
  "dense": ("dense",),
  "multicrop": ("multicrop",),
  "both": ("dense", "multicrop"),
  "center": ("center",),
}


@dataclasses.dataclass(frozen=True)
class Posteriors:
  """What a network says about a split under one protocol at one scale.

  Attributes:
    posteriors: float32 [N, K].
    labels: int32 [N], -1 where unknown.
    ids: [N] strings, the examples' names.
    about: what it was computed from and how; JSON values. Two arrays with
      equal `about` are interchangeable.
  """

  posteriors: np.ndarray
  labels: np.ndarray
  ids: np.ndarray
  about: dict[str, Any]


def path_of(
  workdir: str | Path,
  split: str,
  protocol: str,
  scale: int,
  folder: str = FOLDER,
) -> Path:
  """Where an array stands, e.g. runs/D-256/posteriors/test/dense-256.npz."""
  safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in split)
  return location(workdir) / folder / safe / f"{protocol}-{scale}.npz"


def save(path: str | Path, item: Posteriors) -> None:
  """Writes posteriors; a killed write leaves the older file."""
  arrays = {
    "posteriors": np.asarray(item.posteriors, np.float32),
    "labels": np.asarray(item.labels, np.int32),
    "ids": np.asarray(item.ids, np.str_),
  }
  save_arrays(path, arrays, item.about)


def load(path: str | Path, about: dict[str, Any]) -> Posteriors | None:
  """Reads posteriors as `load_arrays` does."""
  found = load_arrays(path, about, ("posteriors", "labels", "ids"))
  return found and Posteriors(**found, about=json.loads(json.dumps(about)))


def save_arrays(
  path: str | Path, arrays: dict[str, np.ndarray], about: dict[str, Any]
) -> None:
  """Writes arrays, and what they were computed from and how (JSON values)."""
  with written_whole(path) as temporary, temporary.open("wb") as file:
    np.savez(file, **arrays, about=np.str_(json.dumps(about, sort_keys=True)))


def load_arrays(
  path: str | Path, about: dict[str, Any], names: Sequence[str]
) -> dict[str, np.ndarray] | None:
  """Reads arrays if they are there and were computed as `about` says.

  Args:
    path: of the file.
    about: what they must have been computed from.
    names: of the arrays.

  Returns:
    None where the file is missing, unreadable or of something else, so that it
    is computed again.
  """
  try:
    with (
      location(path).open("rb") as stream,
      np.load(stream, allow_pickle=False) as file,
    ):
      found = json.loads(str(file["about"]))
      if found != json.loads(json.dumps(about)):
        return None
      return {name: file[name] for name in names}
  except (
    EOFError,
    KeyError,
    OSError,
    RuntimeError,  # zipfile's word for damage that looks like encryption.
    ValueError,
    zipfile.BadZipFile,
  ):
    return None

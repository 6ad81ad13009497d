"""Image files named on the command line, and what is computed for them."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from vggjax import images
from vggjax.errors import InputError
from vggjax.evaluate.buckets import Buckets
from vggjax.evaluate.rows import Rows

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff"}
SUFFIXES |= {".webp"}


def find_images(names: Sequence[str]) -> list[Path]:
  """The image files of the arguments; of folders those below, sorted.

  Raises:
    InputError: if an argument does not exist, or there is no image at all.
  """
  paths = []
  for name in names:
    path = Path(name).expanduser()
    if path.is_dir():
      paths += sorted(
        p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES
      )
    elif path.exists():
      paths.append(path)
    else:
      raise InputError(f"{name}: no such image file or folder")
  if not paths:
    raise InputError(f"{', '.join(names)}: no image file in there")
  # The same file may be named twice.
  return list(dict.fromkeys(paths))


class Pictures:
  """Image files, decoded one after the other; bad ones are reported.

  Args:
    paths: of the files.
    upright: whether EXIF orientations are followed.

  Attributes:
    failed: the files that could not be read so far.
  """

  def __init__(self, paths: Sequence[Path], *, upright: bool):
    self.paths = paths
    self.failed: list[Path] = []
    self._upright = upright

  def decode(self, path: Path) -> np.ndarray:
    """uint8 [H, W, 3]; raises InputError."""
    return images.decode(path, upright=self._upright)

  def rescaled(
    self, scales: Sequence[int]
  ) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yields each readable image's index, and it at each scale."""
    for index, path in enumerate(self.paths):
      try:
        image = self.decode(path)
      except InputError as error:
        if path not in self.failed:
          self.failed.append(path)
          tqdm.tqdm.write(f"vggjax: {error}", file=sys.stderr)
        continue
      yield index, [images.rescale(image, q) for q in scales]

  def compute(
    self,
    buckets: Buckets,
    scales: Sequence[int],
    *,
    extras: dict[str, np.ndarray] | None = None,
    rows: type[Rows] = Rows,
    progress: bool,
  ) -> tuple[list[Path], list[Any]]:
    """Computes something for all readable images.

    Args:
      buckets: see `Buckets.map`.
      scales: Q, pixels.
      extras: see `Buckets.map`; a row for each of `paths`.
      rows: what keeps the results.
      progress: whether to show a bar.

    Returns:
      Their paths, and at each scale the results, [N, ...].

    Raises:
      InputError: if none can be read.
    """
    found = [rows(len(self.paths)) for _ in scales]
    stream = self.rescaled(scales)
    buckets.map(stream, found, extras=extras, progress=progress)
    if len(self.failed) == len(self.paths):
      raise InputError("none of the images can be read")
    indices, _ = found[0].filled()
    return [self.paths[i] for i in indices], [row.filled()[1] for row in found]

"""Kaggle's archive of ILSVRC-2012's localization task, zipped or unpacked."""

import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from vggjax.annotations import Box, BoxTable
from vggjax.data.listing import IMAGE_SUFFIXES, walk_images
from vggjax.errors import InputError

NAME = "imagenet-object-localization-challenge"
_ERRORS = (
  OSError,
  EOFError,
  KeyError,  # No such file in it.
  NotImplementedError,  # A kind of compression.
  RuntimeError,  # A password.
  zipfile.BadZipFile,
  zlib.error,
)


class KaggleArchive:
  """The files of the archive.

  Attributes:
    path: the zip file, or the folder that it was unpacked in.

  Raises:
    InputError: if the folder has neither, or the zip file is damaged; of the
      methods, if a file is missing or damaged.
  """

  def __init__(self, folder: Path):
    self._zip = None
    self.path = folder / f"{NAME}.zip"
    if self.path.is_file():
      try:
        self._zip = zipfile.ZipFile(self.path)
      except _ERRORS as error:
        raise InputError(f"{self.path}: not a whole zip file") from error
      return
    unpacked = [p for p in (folder / NAME, folder) if (p / "ILSVRC").is_dir()]
    if not unpacked:
      raise InputError(
        f"{folder}: has neither {NAME}.zip nor its folder ILSVRC; get it from "
        f"https://www.kaggle.com/c/{NAME}/data"
      )
    self.path = unpacked[0]

  def read(self, name: str) -> bytes:
    """A file's content."""
    try:
      if self._zip is not None:
        return self._zip.read(name)
      return (self.path / name).read_bytes()
    except _ERRORS as error:
      raise InputError(f"{self.path}: cannot read {name}: {error}") from error

  def images(self, folder: str) -> list[str]:
    """The images of train, val or test, sorted."""
    below = f"ILSVRC/Data/CLS-LOC/{folder}/"
    if self._zip is None:
      found = sorted(walk_images(self.path, below))
    else:
      found = sorted(
        name
        for name in self._zip.namelist()
        if name.startswith(below)
        and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
      )
    if not found:
      raise InputError(f"{self.path}: has no images in {below}")
    return found

  def boxes(self, name: str) -> dict[str, list[Box]]:
    """The boxes of each ImageId in LOC_train_ or LOC_val_solution.csv."""
    content = io.BytesIO(self.read(name))
    text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
    table = BoxTable(f"{self.path}: {name}", text)
    return {image: boxes for _, image, boxes in table}

"""Listings of image folders: the parts that the layouts share."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from vggjax.errors import InputError

# What preprocess.decode reads; the file is then decoded by its content.
IMAGE_SUFFIXES = frozenset(
  (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
)


@dataclasses.dataclass(frozen=True)
class Listing:
  """The images of a split.

  Attributes:
    images: (path relative to the folder, class name or None), sorted by path.
    class_names: in the order of the labels.
    is_imagenet: whether it is the ILSVRC-2012 tree.
  """

  images: list[tuple[str, str | None]]
  class_names: tuple[str, ...]
  is_imagenet: bool = False


def class_folders(folder: Path) -> list[str]:
  """The names of the visible folders in a folder, sorted."""
  with os.scandir(folder) as entries:
    return sorted(
      entry.name
      for entry in entries
      if entry.is_dir() and not entry.name.startswith(".")
    )


def walk_images(root: Path, folder: str = "") -> Iterator[str]:
  """Paths, relative to root, of all visible images below root/folder."""
  for parent, folders, files in os.walk(root / folder, followlinks=True):
    folders[:] = [name for name in folders if not name.startswith(".")]
    relative = PurePosixPath(Path(parent).relative_to(root).as_posix())
    for name in files:
      suffix = os.path.splitext(name)[1].lower()
      if suffix in IMAGE_SUFFIXES and not name.startswith("."):
        yield str(relative / name)


def labeled_images(root: Path, folder: str) -> list[tuple[str, str | None]]:
  """The images of folder/CLASS/..., or unlabeled ones of a flat folder."""
  classes = class_folders(root / folder)
  if not classes:
    return [(path, None) for path in sorted(walk_images(root, folder))]
  return sorted(
    (path, name)
    for name in classes
    for path in walk_images(root, str(PurePosixPath(folder, name)))
  )


def class_order(
  root: Path, class_list: tuple[str, ...], found: Iterable[str]
) -> tuple[str, ...]:
  """The class list, or without one (empty) the names found, sorted.

  Names that are all numbers sort as numbers.

  Raises:
    InputError: if a name found is not in the class list.
  """
  found = set(found)
  if not class_list:
    numbers = all(name.isdecimal() for name in found)
    return tuple(sorted(found, key=int if numbers else str))
  for name in sorted(found - set(class_list)):
    raise InputError(
      f"folder:{root}: label {name!r} is not in the class list of "
      f"{len(class_list)} classes"
    )
  return class_list


def read_names(path: Path) -> tuple[str, ...]:
  """The lines of a class list; only their first words in Kaggle's mapping.

  Raises:
    InputError: if the file is missing, no text or names a class twice.
  """
  if not path.is_file():
    raise InputError(f"{path}: no such class list")
  try:
    lines = path.read_text(encoding="utf-8").splitlines()
  except UnicodeDecodeError as error:
    raise InputError(f"{path}: not a text in UTF-8: {error}") from error
  names = [line.strip() for line in lines if line.strip()]
  if path.name == "LOC_synset_mapping.txt":
    names = [name.split()[0] for name in names]
  seen = set()
  for name in names:
    if name in seen:
      raise InputError(f"{path}: lists {name!r} twice")
    seen.add(name)
  return tuple(names)

"""Labels of a flat folder of images from a CSV file."""

import csv
import itertools
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from vggjax.data.listing import Listing, class_order, walk_images
from vggjax.errors import InputError

# Without a split column the images are one set to evaluate on.
_WITHOUT_COLUMN = ("validation", "test")
_ALIASES = {"val": "validation"}


def read_label_table(path: Path) -> list[tuple[str, str, str | None]]:
  """The rows (file, label, split or None) of a CSV file of labels.

  The header is `file,label`, `file,label,split`, or Kaggle's
  `ImageId,PredictionString`, where the label is the string's first word.

  Raises:
    InputError: if the file is missing or a row is not as it should be.
  """
  if not path.is_file():
    raise InputError(f"{path}: no such file of labels")
  try:
    with path.open(newline="", encoding="utf-8-sig") as file:
      return list(_rows(path, csv.DictReader(file)))
  except (csv.Error, UnicodeDecodeError) as error:
    raise InputError(f"{path}: not a CSV file: {error}") from error


def _rows(
  path: Path, reader: csv.DictReader
) -> Iterator[tuple[str, str, str | None]]:
  header = [name.strip() for name in reader.fieldnames or []]
  reader.fieldnames = header
  kaggle = header[:2] == ["ImageId", "PredictionString"]
  if not kaggle and not {"file", "label"} <= set(header):
    raise InputError(
      f"{path}: the header must be file,label[,split] or "
      f"ImageId,PredictionString; it is {','.join(header)[:80]!r}"
    )
  for row in reader:
    file = (row["ImageId" if kaggle else "file"] or "").strip()
    label = row["PredictionString" if kaggle else "label"] or ""
    label = (label.split() or [""])[0] if kaggle else label.strip()
    if not file or not label:
      raise InputError(f"{path}:{reader.line_num}: no file or no label")
    split = (row.get("split") or "").strip() if "split" in header else None
    if split == "":
      raise InputError(f"{path}:{reader.line_num}: no split")
    yield file, label, _ALIASES.get(split, split)


def list_table(
  root: Path, path: Path, split: str, class_list: tuple[str, ...]
) -> Listing:
  """The images of one split of a folder with a CSV file of labels.

  Without a split column its images are both the validation and the test
  split: one set to evaluate on.

  Raises:
    InputError: if there is no such split, an image is missing or listed twice,
      or a label is not in the class list.
  """
  rows = read_label_table(path)
  with_column = any(row[2] is not None for row in rows)
  available = (
    sorted({row[2] for row in rows}) if with_column else _WITHOUT_COLUMN
  )
  if split not in available:
    hint = "" if with_column else " (it has no column `split`)"
    raise InputError(
      f"{path}: has no split {split!r}{hint}; it has {', '.join(available)}"
    )
  class_names = class_order(root, class_list, (row[1] for row in rows))
  paths = list(walk_images(root))
  find = Finder(paths)
  images = sorted(
    (find(file, path), label) for file, label, s in rows if s in (None, split)
  )
  for (first, _), (second, _) in itertools.pairwise(images):
    if first == second:
      raise InputError(f"{path}: lists {first} twice")
  if not with_column and len(images) < len(paths):
    logging.getLogger(__name__).warning(
      "%s: %d images are not in it and are left out",
      path,
      len(paths) - len(images),
    )
  return Listing(images, class_names)


class Finder:
  """Finds a table's files, whose extension or images/ may be left out."""

  def __init__(self, paths: Iterable[str]):
    self._by_name: dict[str, set[str]] = {}
    for path in paths:
      bare = path.removeprefix("images/")
      names = (path, os.path.splitext(path)[0])
      for name in {*names, bare, os.path.splitext(bare)[0]}:
        self._by_name.setdefault(name, set()).add(path)

  def __call__(self, file: str, where: str | os.PathLike) -> str:
    """The image's path; `where` is for the message.

    Raises:
      InputError: if there is none, or more than one.
    """
    found = self._by_name.get(file, set())
    if file in found:
      return file
    if len(found) != 1:
      what = "several images" if found else "no image"
      raise InputError(f"{where}: there is {what} of the name {file!r}")
    return next(iter(found))

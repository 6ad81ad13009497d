"""The bounding boxes of the images of a folder (App. A)."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from vggjax.annotations import Box, BoxTable, Edges, read_xml
from vggjax.data.label_table import Finder
from vggjax.data.listing import Listing, walk_images
from vggjax.errors import InputError

_BESIDE = "NAME.xml beside the images"


def read_boxes(
  root: Path, split: str, listing: Listing, boxes: str = ""
) -> list[list[Edges]]:
  """The boxes of each image that are of its own class.

  Without a place given, they are looked for in these:
    LOC_train_solution.csv or LOC_val_solution.csv;
    of Kaggle's tree: Annotations/CLS-LOC/{train/SYNSET,val}/NAME.xml;
    boxes.csv;
    of other folders: NAME.xml beside an image; a tree Annotations/ parallel
      to that of the images, or flat.
  `vggjax.annotations` tells their formats. A box without a class is the
  image's own.

  Args:
    root: the folder.
    split: that of the listing.
    listing: the images.
    boxes: relative to root: a CSV file or a folder of XML files; "": as above.

  Returns:
    A list for each image, empty where there is none; edges in pixels.

  Raises:
    InputError: if there is no box at all, or a file is not as it should be.
  """
  images = [image for image, _ in listing.images]
  places = [boxes] if boxes else _usual_places(split, listing.is_imagenet)
  for place in places:
    path = root / place
    if place == _BESIDE:
      found = _of_files(xml_beside(root, images), False)
    elif path.is_file():
      found = _of_table(root, path, listing)
    elif path.is_dir():
      found = _of_tree(root, path, listing)
    elif boxes:
      raise InputError(f"{path}: no such file or folder of boxes")
    else:
      continue
    if found:
      break
  else:
    found = {}
  own = [
    [edges for label, edges in found.get(image, ()) if label in (None, name)]
    for image, name in listing.images
  ]
  if not any(own):
    raise InputError(
      f"folder:{root}: no image of {split} has a box of its class; looked in "
      + ", ".join(places)
    )
  return own


def _usual_places(split: str, is_imagenet: bool) -> list[str]:
  name = "train" if split == "train" else "val"
  solution = f"LOC_{name}_solution.csv"
  if is_imagenet:
    tree = "Annotations/CLS-LOC"
    return [solution, f"ILSVRC/{tree}", tree, "boxes.csv"]
  return [solution, "boxes.csv", _BESIDE, "Annotations"]


def _of_table(root: Path, path: Path, listing: Listing) -> dict[str, list[Box]]:
  found: dict[str, list[Box]] = {}
  with path.open(newline="", encoding="utf-8-sig") as lines:
    table = BoxTable(str(path), lines)
    if table.is_solution:
      find = _find_by_stem(image for image, _ in listing.images)
    else:
      find = Finder(walk_images(root))
    for where, file, boxes in table:
      image = find(file, where)
      if image is not None:
        found.setdefault(image, []).extend(boxes)
  return found


def _find_by_stem(
  images: Iterable[str],
) -> Callable[[str, str], str | None]:
  """Finds Kaggle's ImageIds; None for images that the split does not have."""
  by_name: dict[str, set[str]] = {}
  for image in images:
    name = PurePosixPath(image).name
    for key in (name, os.path.splitext(name)[0]):
      by_name.setdefault(key, set()).add(image)

  def find(file: str, where: str) -> str | None:
    found = sorted(by_name.get(PurePosixPath(file).name, ()))
    if len(found) > 1:
      raise InputError(
        f"{where}: several images have the name {file!r}: {', '.join(found)}"
      )
    return found[0] if found else None

  return find


def _of_tree(
  root: Path, folder: Path, listing: Listing
) -> dict[str, list[Box]]:
  listed = {image for image, _ in listing.images}
  # ImageNet's names are unique, and there are many.
  found = xml_in(folder, listed if listing.is_imagenet else walk_images(root))
  is_ilsvrc = listing.is_imagenet or "CLS-LOC" in folder.parts
  found = {image: path for image, path in found.items() if image in listed}
  return _of_files(found, is_ilsvrc)


def _of_files(found: dict[str, Path], is_ilsvrc: bool) -> dict[str, list[Box]]:
  return {
    image: read_xml(path, is_ilsvrc=is_ilsvrc) for image, path in found.items()
  }


def xml_beside(root: Path, images: Iterable[str]) -> dict[str, Path]:
  """The file NAME.xml beside an image, of each image that has one."""
  paths = {
    image: root / f"{os.path.splitext(image)[0]}.xml" for image in images
  }
  return {image: path for image, path in paths.items() if path.is_file()}


def xml_in(folder: Path, images: Iterable[str]) -> dict[str, Path]:
  """The XML file whose path in its folder ends as the image's does.

  Args:
    folder: of the XML files.
    images: of the whole data set; a file could be of several, an error.

  Returns:
    For each image that has one.
  """
  paths = {}
  for parent, _, files in os.walk(folder, followlinks=True):
    for name in files:
      stem, suffix = os.path.splitext(name)
      if suffix.lower() == ".xml":
        key = (Path(parent).relative_to(folder) / stem).as_posix()
        paths[key] = Path(parent, name)
  owners: dict[str, str] = {}
  for image in sorted(images):
    parts = PurePosixPath(os.path.splitext(image)[0]).parts
    ends = ("/".join(parts[i:]) for i in range(len(parts)))
    key = next((end for end in ends if end in paths), None)
    if key in owners:
      raise InputError(
        f"{paths[key]}: could be of {owners[key]} and of {image}"
      )
    if key is not None:
      owners[key] = image
  return {image: paths[key] for key, image in owners.items()}

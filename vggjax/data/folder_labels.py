"""The labels of the images of a folder, several an image (App. B)."""

from pathlib import Path, PurePosixPath

import numpy as np

from vggjax.annotations import read_labels
from vggjax.data.folder_boxes import xml_beside, xml_in
from vggjax.data.folders import (
  SPLIT_FOLDERS,
  hashed_split,
  read_class_list,
  require_split,
  split_folders,
)
from vggjax.data.label_table import Finder
from vggjax.data.listing import Listing, class_order, read_names, walk_images
from vggjax.errors import InputError

_MAIN = "ImageSets/Main"


def list_multi_label(
  root: Path, split: str, *, seed: int = 0, class_list: str = ""
) -> tuple[Listing, np.ndarray]:
  """List the images of one split of a folder, and their targets.

  The layouts, told apart in this order:
    VOC's, root being VOCdevkit/VOC2007: ImageSets/Main/{train,val,test}.txt,
      JPEGImages/ and Annotations/;
    {train,validation or val,test}/..., or any images, split 80/10/10 by a
      hash of (seed, path); NAME.xml beside the images, or else a tree
      Annotations/ parallel to that of the images, or flat.

  Args:
    root: the folder.
    split: train, validation or test.
    seed: of the split by hash.
    class_list: relative to the folder: a class a line, in the order of the
      labels. "": synsets.txt, if there; else the names of the objects in all
      the XML files, sorted.

  Returns:
    The listing, without class names for its images; int8 [N, K], as in the
    records: 0 everywhere if no image of the split has an XML file, or not all
    of VOC's test split have.

  Raises:
    InputError: if the folder, the split or an XML file is not as it should be,
      or only some images of the split have one.
  """
  if not root.is_dir():
    raise InputError(f"folder:{root}: no such folder")
  if (root / _MAIN).is_dir():
    images = _voc_images(root, split)
    xml = {image: _voc_xml(root, image) for image in images}
    xml = {image: path for image, path in xml.items() if path.is_file()}
    if split == "test" and len(xml) < len(images):
      xml = {}  # Some of VOC2012's have one, with the boxes of people alone.
    paths = sorted((root / "Annotations").glob("*.xml"))
  else:
    everything = sorted(walk_images(root))
    images = _images_of_split(root, split, seed, everything)
    xml = xml_beside(root, everything)
    xml = xml or xml_in(root / "Annotations", everything)
    paths = list(xml.values())
  labels = {path: read_labels(path) for path in paths}
  found = {name for row in labels.values() for name, _ in row}
  class_names = class_order(root, read_class_list(root, class_list), found)
  if not class_names:
    raise InputError(
      f"folder:{root}: no XML file with an object beside the images or in "
      "Annotations, and no class list"
    )
  without = [image for image in images if image not in xml]
  if 0 < len(without) < len(images):
    raise InputError(
      f"{root / without[0]}: has no XML file, as other images of {split} have"
    )
  index = {name: i for i, name in enumerate(class_names)}
  targets = np.zeros((len(images), len(class_names)), np.int8)
  for row, image in zip(targets, images, strict=True):
    if image in xml:
      row[:] = -1
      for name, difficult in labels[xml[image]]:
        row[index[name]] = max(row[index[name]], 0 if difficult else 1)
  return Listing([(image, None) for image in images], class_names), targets


def _voc_images(root: Path, split: str) -> list[str]:
  lists = {}
  for name, files in SPLIT_FOLDERS.items():
    for path in (root / _MAIN / f"{file}.txt" for file in files):
      if path.is_file():
        lists[name] = path
  require_split(root, split, lists)
  find = Finder(walk_images(root, "JPEGImages"))
  names = read_names(lists[split])
  return sorted(find(f"JPEGImages/{name}", lists[split]) for name in names)


def _voc_xml(root: Path, image: str) -> Path:
  return root / "Annotations" / f"{PurePosixPath(image).stem}.xml"


def _images_of_split(
  root: Path, split: str, seed: int, everything: list[str]
) -> list[str]:
  folders = split_folders(root)
  require_split(root, split, folders or SPLIT_FOLDERS)
  if folders:
    return sorted(walk_images(root, folders[split]))
  return [path for path in everything if hashed_split(seed, path) == split]

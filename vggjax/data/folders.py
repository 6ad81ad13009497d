"""Image folders: which images a split has, and the class of each."""

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from vggjax.data.label_table import list_table, read_label_table
from vggjax.data.listing import (
  Listing,
  class_folders,
  class_order,
  labeled_images,
  read_names,
  walk_images,
)
from vggjax.errors import InputError

# A config's split name, and the folder names that it may have.
SPLIT_FOLDERS = {
  "train": ("train",),
  "validation": ("validation", "val"),
  "test": ("test",),
}
_LABEL_TABLES = ("labels.csv", "LOC_val_solution.csv")
_CLS_LOC = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")


def list_folder(
  root: Path,
  split: str,
  *,
  seed: int = 0,
  labels_csv: str = "",
  class_list: str = "",
) -> Listing:
  """List the images of one split of a folder.

  The layouts, told apart in this order:
    Kaggle's ILSVRC/Data/CLS-LOC tree with the LOC_*.csv and .txt files;
    {train,validation or val,test}/CLASS/image;
    images, there or in images/, and a CSV file (`label_table`);
    CLASS/image, split 80/10/10 by a hash of (seed, path).

  Args:
    root: the folder.
    split: train, validation or test; with a CSV file any name in it.
    seed: of the split by hash.
    labels_csv: relative to the folder; choose the CSV layout. "": labels.csv
      or LOC_val_solution.csv, if there.
    class_list: relative to the folder: a class a line, in the order of the
      labels. "": synsets.txt, if there; else the class names are sorted.

  Raises:
    InputError: if the folder, the split or a label is not as it should be.
  """
  if not root.is_dir():
    raise InputError(f"folder:{root}: no such folder")
  classes = read_class_list(root, class_list)
  if labels_csv:
    return list_table(root, root / labels_csv, split, classes)
  for tree in _CLS_LOC:
    if (root / tree).is_dir():
      return _list_cls_loc(root, tree, split, classes)
  if any((root / name).is_dir() for n in SPLIT_FOLDERS.values() for name in n):
    return _list_split_folders(root, split, classes)
  for name in _LABEL_TABLES:
    if (root / name).is_file():
      return list_table(root, root / name, split, classes)
  return _list_by_hash(root, split, classes, seed)


def read_class_list(root: Path, class_list: str) -> tuple[str, ...]:
  """The names in class_list, or in synsets.txt, if there; else none."""
  if class_list or (root / "synsets.txt").is_file():
    return read_names(root / (class_list or "synsets.txt"))
  return ()


def require_split(root: Path, split: str, available: Iterable[str]) -> None:
  """Raise InputError unless the split is one of those available."""
  if split not in available:
    raise InputError(
      f"folder:{root}: has no split {split!r}; it has {', '.join(available)}"
    )


def split_folders(root: Path, below: str = "") -> dict[str, str]:
  """Split name -> its folder relative to root, of those that exist."""
  found = {}
  for split, names in SPLIT_FOLDERS.items():
    paths = [str(PurePosixPath(below, name)) for name in names]
    paths = [path for path in paths if (root / path).is_dir()]
    if len(paths) > 1:
      raise InputError(f"folder:{root}: has both {paths[0]} and {paths[1]}")
    if paths:
      found[split] = paths[0]
  return found


def _list_split_folders(
  root: Path, split: str, class_list: tuple[str, ...]
) -> Listing:
  """{train,validation,test}/CLASS/image; a flat folder is unlabeled."""
  folders = split_folders(root)
  require_split(root, split, folders)
  names = {f: set(class_folders(root / f)) for f in folders.values()}
  labeled = [folder for folder in names if names[folder]]
  for one in labeled:
    for other in labeled:
      for name in sorted(names[one] - names[other]):
        raise InputError(
          f"folder:{root}: class {name!r} has a folder in {one} but not in "
          f"{other}"
        )
  found = set().union(*names.values())
  return Listing(
    labeled_images(root, folders[split]), class_order(root, class_list, found)
  )


def _list_by_hash(
  root: Path, split: str, class_list: tuple[str, ...], seed: int
) -> Listing:
  """CLASS/image, split 80/10/10 by a hash of (seed, path)."""
  require_split(root, split, SPLIT_FOLDERS)
  found = class_folders(root)
  if not found:
    raise InputError(
      f"folder:{root}: has no class folders, no train, validation or test "
      "folders and no labels.csv"
    )
  images = labeled_images(root, "")
  return Listing(
    [image for image in images if hashed_split(seed, image[0]) == split],
    class_order(root, class_list, found),
  )


def hashed_split(seed: int, path: str) -> str:
  """train with probability 0.8, validation or test with 0.1 each."""
  digest = hashlib.sha256(f"{seed}:{path}".encode()).digest()
  tenth = int.from_bytes(digest[:8], "big") * 10 >> 64
  return "train" if tenth < 8 else "validation" if tenth < 9 else "test"


def _list_cls_loc(
  root: Path, tree: str, split: str, class_list: tuple[str, ...]
) -> Listing:
  """Kaggle's ImageNet tree: train/SYNSET/image, val/image, test/image."""
  folders = split_folders(root, below=tree)
  require_split(root, split, folders)
  mapping = root / "LOC_synset_mapping.txt"
  if not class_list and mapping.is_file():
    # Sorted, whatever their order in the file.
    class_list = tuple(sorted(read_names(mapping)))
  if split == "validation":
    synsets = {
      file: label
      for file, label, _ in read_label_table(root / "LOC_val_solution.csv")
    }
    images = []
    for path in sorted(walk_images(root, folders[split])):
      synset = synsets.get(PurePosixPath(path).stem)
      if synset is None:
        raise InputError(f"{root}/LOC_val_solution.csv: does not list {path}")
      images.append((path, synset))
  else:
    images = labeled_images(root, folders[split])
  found = {synset for _, synset in images if synset is not None}
  if not class_list and "train" in folders:
    found |= set(class_folders(root / folders["train"]))
  class_names = class_order(root, class_list, found)
  return Listing(images, class_names, is_imagenet=True)

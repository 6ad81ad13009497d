"""Open a data set by its name: `folder:PATH`, or any tfds name."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vggjax.data.boxes import EdgeTable, boxes_in_file
from vggjax.data.folder_boxes import read_boxes
from vggjax.data.folder_labels import list_multi_label
from vggjax.data.folders import list_folder
from vggjax.data.listing import Listing
from vggjax.data.records import (
  RandomAccessSource,
  Record,
  Source,
  check_not_empty,
)
from vggjax.data.tfds_source import open_tfds
from vggjax.data.unreadable import leave_out_unreadable
from vggjax.errors import InputError

_FOLDER = "folder:"


def open_source(
  spec: str,
  split: str,
  *,
  data_dir: str | os.PathLike | None = None,
  seed: int = 0,
  labels_csv: str = "",
  class_list: str = "",
  on_error: str = "raise",
  cache_dir: str | os.PathLike | None = None,
  with_boxes: bool = False,
  boxes: str = "",
  multi_label: bool = False,
) -> Source:
  """Open one split of a data set.

  Args:
    spec: "folder:PATH", whose layouts `folders.list_folder` lists; or a tfds
      name such as "imagenet2012", "imagenette/320px-v2" or "shapes", which is
      prepared where it is missing. tfds looks for files that it cannot
      download in data_dir/downloads/manual.
    split: train, validation or test; of tfds also a slice, "train[:90%]".
    data_dir: of tfds; None: its default.
    seed: of the split by hash of a folder that has no splits.
    labels_csv: of a folder; "": labels.csv or LOC_val_solution.csv, if there.
    class_list: of a folder; "": synsets.txt, if there.
    on_error: "raise": an unreadable image is an error when it is met; "skip":
      all are decoded once (the result is cached), and the unreadable ones are
      left out and named in the source's `skipped`.
    cache_dir: where that result is kept; None: as in `cache.cache_path`.
    with_boxes: whether the records have bounding boxes (App. A); images that
      have none of their class are left out and counted in `without_boxes`. A
      tfds data set needs a feature `objects`, and is read once to count (the
      result is cached).
    boxes: of a folder with them: relative to it, a CSV file or a folder of XML
      files; "": the places that `folder_boxes.read_boxes` lists.
    multi_label: whether the records have targets, one a class, and no label
      (App. B). Of a folder `folder_labels.list_multi_label` lists the layouts,
      of a tfds data set `tfds_labels.label_features` the features. Boxes are
      then what the targets are of: a tfds data set needs a feature bbox.

  Raises:
    InputError: if the data set, the split or an option is not as it should be.
  """
  if on_error not in ("raise", "skip"):
    raise InputError(f"on_error {on_error!r}: must be raise or skip")
  if spec.startswith(_FOLDER):
    root = Path(os.path.abspath(Path(spec.removeprefix(_FOLDER)).expanduser()))
    if not multi_label:
      listing = list_folder(
        root, split, seed=seed, labels_csv=labels_csv, class_list=class_list
      )
      source = _folder_source(spec, split, root, listing, with_boxes, boxes)
    elif with_boxes or boxes or labels_csv:
      raise InputError(
        f"{spec}: a multi-label folder has its classes from XML files and no "
        "boxes: leave out with_boxes, boxes and labels_csv"
      )
    else:
      listing, targets = list_multi_label(
        root, split, seed=seed, class_list=class_list
      )
      source = _folder_source(spec, split, root, listing, targets=targets)
  elif labels_csv or class_list or boxes:
    raise InputError(
      f"{spec}: labels_csv, class_list and boxes need a folder:PATH"
    )
  else:
    source = open_tfds(
      spec,
      split,
      data_dir,
      with_boxes=with_boxes,
      multi_label=multi_label,
      cache_dir=cache_dir,
    )
  if on_error == "skip":
    return leave_out_unreadable(source, cache_dir)
  check_not_empty(source.num_examples, spec, split)
  return source


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSource(RandomAccessSource):
  """The image files of a folder; with random access.

  Attributes:
    root: the folder.
    paths: relative to it; they are the ids.
    label_array: int32 [N].
    edges: the boxes of the N images; None without boxes.
    target_array: int8 [N, K]; None unless multi-label.
  """

  root: Path
  paths: tuple[str, ...]
  label_array: np.ndarray
  edges: EdgeTable | None = dataclasses.field(default=None, kw_only=True)
  target_array: np.ndarray | None = dataclasses.field(
    default=None, kw_only=True
  )

  @property
  def num_examples(self) -> int:
    return len(self.paths)

  def labels(self) -> np.ndarray:
    return self.label_array.copy()

  @property
  def _targets(self) -> np.ndarray:
    return self.target_array

  def _all_ids(self) -> Sequence[str]:
    return self.paths

  @functools.cached_property
  def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.init_scope():  # Made once, outside of any graph.
      return tf.constant(self.paths), tf.constant(self.label_array)

  @functools.cached_property
  def _edge_tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.init_scope():
      return tf.constant(self.edges.edges), tf.constant(self.edges.offsets)

  @functools.cached_property
  def _target_tensor(self) -> tf.Tensor:
    with tf.init_scope():
      return tf.constant(self.target_array)

  def read(self, index: tf.Tensor) -> Record:
    paths, labels = self._tensors
    path = paths[index]
    record = {
      "bytes": tf.io.read_file(tf.strings.join([f"{self.root}/", path])),
      "label": labels[index],
      "id": path,
      "index": index,
      "key": index,
    }
    if self.with_boxes:
      edges, offsets = self._edge_tensors
      mine = edges[offsets[index] : offsets[index + 1]]
      record["boxes"] = boxes_in_file(mine, record["bytes"], path)
    if self.multi_label:
      record["targets"] = self._target_tensor[index]
    return record

  def _content(self) -> str:
    sizes = (os.stat(self.root / path).st_size for path in self.paths)
    lines = [
      f"{path}\t{size}" for path, size in zip(self.paths, sizes, strict=True)
    ]
    if self.with_boxes:
      lines.append(f"boxes\t{self.edges.digest()}")
    if self.multi_label:
      digest = hashlib.sha256(self.target_array.tobytes()).hexdigest()
      lines.append(f"multi-label\t{digest}")
    return "\n".join(lines)

  def without(self, positions: Sequence[int]) -> "FolderSource":
    left_out = set(positions)
    keep = [i for i in range(self.num_examples) if i not in left_out]
    return dataclasses.replace(
      self,
      paths=tuple(self.paths[i] for i in keep),
      label_array=self.label_array[keep],
      edges=self.edges.take(keep) if self.with_boxes else None,
      target_array=self.target_array[keep] if self.multi_label else None,
      skipped=tuple(self.ids(sorted(left_out))),
    )


def _folder_source(
  spec: str,
  split: str,
  root: Path,
  listing: Listing,
  with_boxes: bool = False,
  boxes: str = "",
  targets: np.ndarray | None = None,
) -> FolderSource:
  check_not_empty(len(listing.images), spec, split)
  images, edges = listing.images, None
  if with_boxes:
    rows = read_boxes(root, split, listing, boxes)
    images = [image for image, row in zip(images, rows, strict=True) if row]
    edges = EdgeTable.of([row for row in rows if row])
  label_of = {name: i for i, name in enumerate(listing.class_names)}
  label_of[None] = -1
  labels = [label_of[name] for _, name in images]
  return FolderSource(
    spec,
    split,
    listing.class_names,
    listing.is_imagenet,
    root,
    tuple(path for path, _ in images),
    np.array(labels, np.int32),
    with_boxes=with_boxes,
    without_boxes=len(listing.images) - len(images),
    edges=edges,
    multi_label=targets is not None,
    target_array=targets,
  )

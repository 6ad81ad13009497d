"""Open a data set by its name: `folder:PATH`, or any tfds name."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vggjax.data.folders import list_folder
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

  Raises:
    InputError: if the data set, the split or an option is not as it should be.
  """
  if on_error not in ("raise", "skip"):
    raise InputError(f"on_error {on_error!r}: must be raise or skip")
  if spec.startswith(_FOLDER):
    source = _open_folder(spec, split, seed, labels_csv, class_list)
  elif labels_csv or class_list:
    raise InputError(f"{spec}: labels_csv and class_list need a folder:PATH")
  else:
    source = open_tfds(spec, split, data_dir)
  if on_error == "skip":
    source = leave_out_unreadable(source, cache_dir)
  check_not_empty(source.num_examples, spec, split)
  return source


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSource(RandomAccessSource):
  """The image files of a folder; with random access.

  Attributes:
    root: the folder.
    paths: relative to it; they are the ids.
    label_array: int32 [N].
  """

  root: Path
  paths: tuple[str, ...]
  label_array: np.ndarray

  @property
  def num_examples(self) -> int:
    return len(self.paths)

  def labels(self) -> np.ndarray:
    return self.label_array.copy()

  def _all_ids(self) -> Sequence[str]:
    return self.paths

  @functools.cached_property
  def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.init_scope():  # Made once, outside of any graph.
      return tf.constant(self.paths), tf.constant(self.label_array)

  def read(self, index: tf.Tensor) -> Record:
    paths, labels = self._tensors
    path = paths[index]
    return {
      "bytes": tf.io.read_file(tf.strings.join([f"{self.root}/", path])),
      "label": labels[index],
      "id": path,
      "index": index,
      "key": index,
    }

  def _content(self) -> str:
    sizes = (os.stat(self.root / path).st_size for path in self.paths)
    return "\n".join(
      f"{path}\t{size}" for path, size in zip(self.paths, sizes, strict=True)
    )

  def without(self, positions: Sequence[int]) -> "FolderSource":
    left_out = set(positions)
    keep = [i for i in range(self.num_examples) if i not in left_out]
    return dataclasses.replace(
      self,
      paths=tuple(self.paths[i] for i in keep),
      label_array=self.label_array[keep],
      skipped=tuple(self.ids(sorted(left_out))),
    )


def _open_folder(
  spec: str, split: str, seed: int, labels_csv: str, class_list: str
) -> FolderSource:
  root = Path(os.path.abspath(Path(spec.removeprefix(_FOLDER)).expanduser()))
  listing = list_folder(
    root, split, seed=seed, labels_csv=labels_csv, class_list=class_list
  )
  check_not_empty(len(listing.images), spec, split)
  label_of = {name: i for i, name in enumerate(listing.class_names)}
  label_of[None] = -1
  labels = [label_of[name] for _, name in listing.images]
  return FolderSource(
    spec,
    split,
    listing.class_names,
    listing.is_imagenet,
    root,
    tuple(path for path, _ in listing.images),
    np.array(labels, np.int32),
  )

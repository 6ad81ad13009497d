"""What every source of images offers: records, not yet decoded."""

import abc
import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import tensorflow as tf

from vggjax.data.tracing import traced
from vggjax.errors import InputError

# A record is a dict of tensors:
#   bytes: string, the encoded image.
#   label: int32, in [0, K), or -1 when unknown.
#   id: string, unique in the split: the path in the folder, or the file name.
#   index: int64, the position in the order that this dataset is read in.
#   key: int64, the same for an example in whatever order it is read: its index
#     when there is random access, else the hash of its id.
#   boxes: float32 [n, 4], n >= 1, of a source with boxes only: the boxes of the
#     image's own class, the largest area first; left, top, right, bottom, the
#     outer edges as fractions of the image's width and height. Of a multi-label
#     source [1, 4]: what in the image the targets are of, as a person.
#   targets: int8 [K], of a multi-label source only, whose label is -1: 1 the
#     image has the class, -1 it has not, 0 it is left out, as only difficult
#     objects are of it, or unknown: all are 0 without annotation.
Record = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Source(abc.ABC):
  """One split of a data set; immutable.

  Attributes:
    random_access: whether it is a RandomAccessSource or a StreamSource.
    spec: as given to `open_source`.
    split: as given to `open_source`.
    class_names: K names, in the order of the labels.
    is_imagenet: whether these are the ILSVRC-2012 images, whose statistics
      the paper gives.
    skipped: ids of the unreadable images that were left out.
    with_boxes: whether its records have boxes (App. A).
    without_boxes: how many images were left out as they have no box of their
      class.
    multi_label: whether its records have targets, not a label (App. B).
  """

  random_access: ClassVar[bool]

  spec: str
  split: str
  class_names: tuple[str, ...]
  is_imagenet: bool
  skipped: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)
  with_boxes: bool = dataclasses.field(default=False, kw_only=True)
  without_boxes: int = dataclasses.field(default=0, kw_only=True)
  multi_label: bool = dataclasses.field(default=False, kw_only=True)

  @property
  @abc.abstractmethod
  def num_examples(self) -> int:
    """N, without those skipped."""

  @abc.abstractmethod
  def labels(self) -> np.ndarray:
    """int32 [N], -1 when unknown; a pass over the records of a tfds source."""

  @abc.abstractmethod
  def _all_ids(self) -> Sequence[str]:
    """The N ids."""

  @abc.abstractmethod
  def stream(self) -> tf.data.Dataset:
    """All N records once, in the order of their index."""

  @abc.abstractmethod
  def _content(self) -> str:
    """What the fingerprint is the hash of."""

  @abc.abstractmethod
  def without(self, positions: Sequence[int]) -> "Source":
    """The same source less these indices, which become `skipped`."""

  def ids(self, indices: Sequence[int] | None = None) -> list[str]:
    """The ids of the given indices, or of all examples."""
    ids = self._all_ids()
    return list(ids) if indices is None else [ids[i] for i in indices]

  def true_boxes(self) -> list[np.ndarray]:
    """The boxes of all N examples, by one pass that decodes no pixels.

    Returns:
      float32 [n, 4] for each, as in the records.

    Raises:
      ValueError: if the source is one without boxes.
      InputError: if a box covers nothing of its image.
    """
    if not self.with_boxes:
      raise ValueError(f"{self.spec}: opened without boxes")
    return list(self._true_boxes)

  @functools.cached_property
  def _true_boxes(self) -> list[np.ndarray]:
    from vggjax.data.reading import each  # It imports this module.

    return list(each(self, lambda record: record["boxes"]))

  def targets(self) -> np.ndarray:
    """The targets of all N examples, by one pass that decodes no pixels.

    Returns:
      int8 [N, K], as in the records.

    Raises:
      ValueError: if the source is not multi-label.
    """
    if not self.multi_label:
      raise ValueError(f"{self.spec}: not opened as multi-label")
    return self._targets.copy()

  @functools.cached_property
  def _targets(self) -> np.ndarray:
    from vggjax.data.reading import each

    rows = list(each(self, lambda record: record["targets"]))
    return np.array(rows, np.int8).reshape(-1, len(self.class_names))

  def sizes(self) -> np.ndarray:
    """Heights and widths of all N images, pixels, int32 [N, 2], likewise."""
    return self._sizes.copy()

  @functools.cached_property
  def _sizes(self) -> np.ndarray:
    from vggjax.data.boxes import size_of_file
    from vggjax.data.reading import each

    def size(record):
      return size_of_file(record["bytes"], record["id"])

    return np.array(list(each(self, size)), np.int32).reshape(-1, 2)

  @functools.cached_property
  def fingerprint(self) -> str:
    """sha256, hex, of the ids and sizes, or of a tfds name and version.

    With boxes or targets also of these, or of the word.
    """
    content = "\n".join((self._content(), *self.skipped))
    return hashlib.sha256(content.encode()).hexdigest()


class RandomAccessSource(Source):
  """A source that can read any record."""

  random_access = True

  @abc.abstractmethod
  def read(self, index: tf.Tensor) -> Record:
    """The record at an int64 scalar index in [0, N), in a TF graph."""

  def stream(self) -> tf.data.Dataset:
    return tf.data.Dataset.range(self.num_examples).map(
      traced(self.read), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


class StreamSource(Source):
  """A source that is read from its start to its end."""

  random_access = False

  @abc.abstractmethod
  def shuffled_stream(self, seed: int, buffer: int) -> tf.data.Dataset:
    """All N records once, shuffled.

    Args:
      seed: the order is a pure function of it.
      buffer: how many undecoded records are held while shuffling.
    """


def check_not_empty(count: int, spec: str, split: str) -> None:
  """Raise InputError when a split holds no image."""
  if not count:
    raise InputError(f"{spec}: the split {split!r} holds no image")

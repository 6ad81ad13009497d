"""Images for testing (Sect. 3.2): each once, in a fixed order."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from vggjax.data import preprocess, resampling
from vggjax.data.boxes import cut
from vggjax.data.iterating import elements
from vggjax.data.reading import (
  check_process,
  check_shares,
  name_unreadable,
  parallel_map,
  select,
)
from vggjax.data.records import Record, Source
from vggjax.errors import InputError

_PREFETCH = 2


@dataclasses.dataclass(frozen=True)
class Batches:
  """Batches to pass over any number of times.

  What TensorFlow builds for them is built once: it is large, and would be
  freed only when Python looks for cycles.

  Attributes:
    begin: starts a pass.
  """

  begin: Callable[[], Iterator[dict[str, np.ndarray]]]

  def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
    return self.begin()


def crop_batches(
  source: Source,
  *,
  batch_size: int,
  crop_size: int,
  test_scale: int,
  process_index: int = 0,
  process_count: int = 1,
) -> Batches:
  """The central crop at scale Q of every image, once, in index order.

  Args:
    source: of N examples.
    batch_size: of the global batch.
    crop_size: side of the crop, pixels; at most Q.
    test_scale: Q, pixels.
    process_index, process_count: this process yields examples
      [index * b, (index + 1) * b) of each batch, b = batch_size / count.

  Returns:
    in each pass ceil(N / batch_size) dicts, as many in every process:
      image: uint8 [b, crop_size, crop_size, 3]; 0 where padded.
      label: int32 [b]; -1 where unknown or padded.
      mask: float32 [b]; 1, and 0 where padded.
      box: float32 [b, 4], box_weight: float32 [b], of a source with boxes: as
        of `preprocess.box_target`; 0 where padded.

  Raises:
    InputError: if an argument does not fit the others; while iterating, if an
      image cannot be decoded.
  """
  check_shares(batch_size, process_index, process_count)
  if not 1 <= crop_size <= test_scale:
    raise InputError(
      f"test scale {test_scale}, crop size {crop_size}: must be "
      "1 <= crop size <= Q"
    )
  share = batch_size // process_count

  size = tf.constant([crop_size, crop_size], tf.int64)

  def place(source_size):
    full = resampling.rescaled_size(source_size, test_scale)
    offset, used = resampling.capped_window(full)
    return full, offset + (used - size) // 2

  def crop(record):
    image, full, offset = preprocess.rescaled_window(
      record["bytes"], place, size
    )
    image = preprocess.to_uint8(image)
    found = {
      "image": tf.ensure_shape(image, [crop_size, crop_size, 3]),
      "label": record["label"],
    }
    if source.with_boxes:
      found["box"], found["box_weight"] = preprocess.box_target(
        record["boxes"],
        full=full,
        offset=offset,
        mirrored=False,
        crop_size=crop_size,
      )
    return found

  place_in_batch = np.arange(source.num_examples) % batch_size
  records = select(source, place_in_batch // share == process_index)
  batches = parallel_map(records, crop).batch(share).prefetch(_PREFETCH)

  def padded():
    iterator = elements(batches)
    for number in range(-(-source.num_examples // batch_size)):
      batch = {
        "image": np.zeros((share, crop_size, crop_size, 3), np.uint8),
        "label": np.full(share, -1, np.int32),
        "mask": np.zeros(share, np.float32),
      }
      if source.with_boxes:
        batch["box"] = np.zeros((share, 4), np.float32)
        batch["box_weight"] = np.zeros(share, np.float32)
      try:
        found = next(iterator, {})
      except tf.errors.OpError as error:
        failed = records.skip(number * share).take(share)
        raise name_unreadable(source, failed, error) from error
      for name, values in found.items():
        batch[name][: len(values)] = values
        batch["mask"][: len(values)] = 1.0
      yield batch

  return Batches(padded)


def rescaled_images(
  source: Source,
  test_scales: Sequence[int],
  *,
  wanted: np.ndarray | None = None,
  of_boxes: bool = False,
  process_index: int = 0,
  process_count: int = 1,
) -> "RescaledImages":
  """Each wanted image once, in index order, rescaled to each Q (Sect. 3.2).

  Args:
    source: of N examples.
    test_scales: Qs, pixels.
    wanted: bool [N], which images; None: all.
    of_boxes: whether each image is first cut to its first box (App. B); of a
      source with boxes.
    process_index, process_count: this process yields the wanted images whose
      index is congruent to process_index modulo process_count.

  Returns:
    An iterator of (index, id, label, images): int, str, int (-1 if unknown)
    and a list of uint8 [h, w, 3], one for each Q. `capped` counts the images
    center-cropped so far.

  Raises:
    InputError: if an argument is out of range; while iterating, if an image
      cannot be decoded.
    ValueError: if there are no boxes to cut to.
  """
  check_process(process_index, process_count)
  if of_boxes and not source.with_boxes:
    raise ValueError(f"{source.spec}: opened without boxes")
  if not test_scales or min(test_scales) < 1:
    raise InputError(
      f"test scales {tuple(test_scales)}: must be one Q or more, at least 1"
    )
  mine = np.arange(source.num_examples) % process_count == process_index
  records = select(source, mine if wanted is None else mine & wanted)
  return RescaledImages(source, records, tuple(test_scales), of_boxes)


class RescaledImages(Iterator[tuple[int, str, int, list[np.ndarray]]]):
  """The iterator that `rescaled_images` returns.

  Attributes:
    capped: how many of the images yielded so far had a long side of more than
      MAX_ASPECT * Q and were center-cropped to it.
  """

  def __init__(
    self,
    source: Source,
    records: tf.data.Dataset,
    scales: tuple[int, ...],
    of_boxes: bool,
  ):
    self.capped = 0
    self._source = source
    self._records = records
    self._position = 0

    def rescaled(record: Record):
      image = preprocess.decode(record["bytes"])
      if of_boxes:
        image = cut(image, record["boxes"][0])
      source_size = tf.shape(image, tf.int64)[:2]
      images = tuple(
        preprocess.to_uint8(resampling.rescale(image, scale))
        for scale in scales
      )
      capped = [
        resampling.is_capped(resampling.rescaled_size(source_size, scale))
        for scale in scales
      ]
      capped = tf.reduce_any(tf.stack(capped))
      return record["index"], record["id"], record["label"], images, capped

    dataset = parallel_map(records, rescaled).prefetch(_PREFETCH)
    self._iterator = elements(dataset)

  def __next__(self) -> tuple[int, str, int, list[np.ndarray]]:
    try:
      index, name, label, images, capped = next(self._iterator)
    except tf.errors.OpError as error:
      failed = self._records.skip(self._position).take(1)
      raise name_unreadable(self._source, failed, error) from error
    self._position += 1
    self.capped += int(capped)
    return int(index), name.decode(), int(label), list(images)

"""Batches for training (Sect. 3.1).

The order and the augmentation of step k are pure functions of the seed and k:
a run that resumes gets the same batches, and the number of processes does
not change the global batch.
"""

import logging
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from vggjax.data import preprocess
from vggjax.data.iterating import elements
from vggjax.data.order import (
  Plan,
  indexed_records,
  share_records,
  streamed_records,
)
from vggjax.data.preprocess import ColorShift
from vggjax.data.reading import (
  check_shares,
  name_unreadable,
  parallel_map,
)
from vggjax.data.records import Source
from vggjax.errors import InputError
from vggjax.geometry import MAX_ASPECT

Batch = dict[str, np.ndarray]

_PREFETCH_BATCHES = 2
_CROPS_PER_CORE = 4


def train_batches(
  source: Source,
  *,
  batch_size: int,
  crop_size: int,
  train_scale: tuple[int, int],
  seed: int,
  first_step: int = 0,
  num_steps: int | None = None,
  mirror: bool = True,
  color: ColorShift | None = None,
  process_index: int = 0,
  process_count: int = 1,
  shuffle_buffer: int = 4096,
) -> "TrainBatches":
  """This process's share of the training batches (Sect. 3.1).

  Each image is rescaled to a smallest side S drawn from the integers of
  train_scale, cropped at random and mirrored half of the time. Every epoch
  sees a new permutation, whose rest of fewer than batch_size is dropped.

  Args:
    source: of N examples, all labeled.
    batch_size: of the global batch.
    crop_size: side of the crop, pixels; at most the least S.
    train_scale: the least and the greatest S.
    seed: at least 0; with the step it determines everything.
    first_step: the first batch is that of this step, counted from 0.
    num_steps: how many batches; None: without end.
    mirror: whether to mirror.
    color: the RGB color shift; None: the shift is 0.
    process_index, process_count: this process yields examples
      [index * b, (index + 1) * b) of each batch, b = batch_size / count.
    shuffle_buffer: undecoded records held while shuffling, for a source
      without random access: its shards are shuffled, then its records, and
      every process reads them all.

  Returns:
    An iterator of dicts; `capped` counts the images center-cropped so far.
      image: uint8 [b, crop_size, crop_size, 3] RGB.
      shift: float32 [b, 3], in 0-255.
      label: int32 [b].
      box: float32 [b, 4], box_weight: float32 [b], of a source with boxes:
        as of `preprocess.box_target`.

  Raises:
    InputError: if an argument does not fit the others; while iterating, if an
      image cannot be decoded or has no label.
  """
  check_shares(batch_size, process_index, process_count)
  least, greatest = train_scale
  if not 1 <= crop_size <= least <= greatest:
    raise InputError(
      f"train scale [{least}, {greatest}] and crop size {crop_size}: must be "
      "1 <= crop size <= least S <= greatest S"
    )
  if batch_size > source.num_examples:
    raise InputError(
      f"batch size {batch_size}: {source.spec} has only "
      f"{source.num_examples} images in {source.split}"
    )
  if seed < 0 or first_step < 0:
    raise InputError(f"seed {seed}, first step {first_step}: must be >= 0")
  plan = Plan(
    source,
    batch_size,
    crop_size,
    (least, greatest),
    seed,
    mirror,
    color,
    process_index,
    process_count,
    shuffle_buffer,
  )
  return TrainBatches(plan, first_step, num_steps)


class TrainBatches(Iterator[Batch]):
  """The iterator that `train_batches` returns.

  Attributes:
    capped: how many of the images yielded so far had a long side of more than
      MAX_ASPECT * S and were center-cropped to it.
  """

  def __init__(self, plan: Plan, first_step: int, num_steps: int | None):
    self.capped = 0
    self._plan = plan
    self._step = first_step
    stop = None if num_steps is None else first_step + num_steps
    self._batches = _raw_batches(plan, first_step, stop)
    self._capped_in_epoch = 0

  def __next__(self) -> Batch:
    plan = self._plan
    try:
      batch = next(self._batches)
    except tf.errors.OpError as error:
      records = share_records(plan, self._step)
      raise name_unreadable(plan.source, records, error) from error
    if batch["label"].min() < 0:
      raise InputError(
        f"{plan.source.spec}: cannot train on {plan.source.split}: it has "
        "images without a label"
      )
    self._count_capped(int(batch.pop("capped").sum()))
    self._step += 1
    return batch

  def _count_capped(self, number: int) -> None:
    self.capped += number
    self._capped_in_epoch += number
    epoch, position = divmod(self._step, self._plan.steps_per_epoch)
    if position == self._plan.steps_per_epoch - 1:
      if self._capped_in_epoch:
        logging.getLogger(__name__).info(
          "epoch %d: %d images longer than %d S were center-cropped",
          epoch,
          self._capped_in_epoch,
          MAX_ASPECT,
        )
      self._capped_in_epoch = 0


def _raw_batches(
  plan: Plan, first_step: int, stop: int | None
) -> Iterator[Batch]:
  """Batches, with the flag `capped`, of the steps [first_step, stop)."""
  if plan.source.random_access:
    records = indexed_records(plan, first_step, stop)
    yield from _crop(plan, records)
    return
  step = first_step
  while stop is None or step < stop:
    epoch, skip = divmod(step, plan.steps_per_epoch)
    records = streamed_records(plan, epoch, skip)
    take = plan.steps_per_epoch - skip
    if stop is not None:
      take = min(take, stop - step)
    yield from _crop(plan, records.take(take * plan.share))
    step += take


def _crop(plan: Plan, records: tf.data.Dataset) -> Iterator[Batch]:
  """Preprocess and batch records of (epoch, record)."""
  matrix = None if plan.color is None else plan.color.matrix()

  def example(epoch, record):
    key = preprocess.example_key(plan.seed, epoch, record["key"])
    crop = preprocess.random_crop(
      record["bytes"],
      key,
      train_scale=plan.train_scale,
      crop_size=plan.crop_size,
      flip=plan.mirror,
    )
    shift = tf.zeros([3])
    if matrix is not None:
      shift = preprocess.color_shift(key, matrix)
    found = {
      "image": crop.image,
      "shift": shift,
      "label": record["label"],
      "capped": crop.capped,
    }
    if plan.source.with_boxes:
      found["box"], found["box_weight"] = preprocess.box_target(
        record["boxes"],
        full=crop.full,
        offset=crop.offset,
        mirrored=crop.mirrored,
        crop_size=plan.crop_size,
      )
    return found

  examples = parallel_map(records, example, per_core=_CROPS_PER_CORE)
  batches = examples.batch(plan.share, drop_remainder=True)
  return elements(batches.prefetch(_PREFETCH_BATCHES))

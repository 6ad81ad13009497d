"""The order of the training examples: a pure function of seed and step."""

import dataclasses

import numpy as np
import tensorflow as tf

from vggjax.data.preprocess import ColorShift
from vggjax.data.reading import parallel_map
from vggjax.data.records import Source
from vggjax.data.tracing import traced


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
  """Steps in an epoch; the rest of each permutation is dropped."""
  return num_examples // batch_size


@dataclasses.dataclass(frozen=True)
class Plan:
  """What the stream of training batches is a pure function of."""

  source: Source
  batch_size: int
  crop_size: int
  train_scale: tuple[int, int]
  seed: int
  mirror: bool
  color: ColorShift | None
  process_index: int
  process_count: int
  shuffle_buffer: int

  @property
  def steps_per_epoch(self) -> int:
    return steps_per_epoch(self.source.num_examples, self.batch_size)

  @property
  def share(self) -> int:
    """b, the examples of this process in each batch."""
    return self.batch_size // self.process_count


class StepIndices:
  """The examples of this process in a step; one permutation is kept."""

  def __init__(self, plan: Plan):
    self._plan = plan
    self._epoch = None
    self._permutation = None

  def __call__(self, step: int) -> np.ndarray:
    """int64 [b]: the indices of a step of a source with random access."""
    plan = self._plan
    epoch, position = divmod(int(step), plan.steps_per_epoch)
    if epoch != self._epoch:
      rng = np.random.default_rng((plan.seed, epoch))
      self._permutation = rng.permutation(plan.source.num_examples)
      self._epoch = epoch
    first = position * plan.batch_size + plan.process_index * plan.share
    return self._permutation[first : first + plan.share]


def indexed_records(
  plan: Plan, first_step: int, stop: int | None
) -> tf.data.Dataset:
  """(epoch, record) of a source with random access."""
  step_indices = StepIndices(plan)

  @traced
  def expand(step):
    indices = tf.numpy_function(step_indices, [step], tf.int64)
    indices = tf.ensure_shape(indices, [plan.share])
    return tf.fill([plan.share], step // plan.steps_per_epoch), indices

  steps = tf.data.Dataset.range(
    first_step, tf.int64.max if stop is None else stop
  )
  return parallel_map(
    steps.map(expand).unbatch(),  # One step after the other.
    lambda epoch, index: (epoch, plan.source.read(index)),
  )


def streamed_records(plan: Plan, epoch: int, skip: int) -> tf.data.Dataset:
  """(epoch, record) of the steps from `skip` on of one epoch of a stream."""
  shuffle_seed = np.random.SeedSequence((plan.seed, epoch)).generate_state(1)
  records = plan.source.shuffled_stream(
    int(shuffle_seed[0]), plan.shuffle_buffer
  )
  records = records.take(plan.steps_per_epoch * plan.batch_size)
  positions = records.skip(skip * plan.batch_size).enumerate()
  mine = positions.filter(
    traced(
      lambda position, _: (
        position % plan.batch_size // plan.share == plan.process_index
      )
    )
  )
  return mine.map(
    traced(lambda _, record: (tf.constant(epoch, tf.int64), record))
  )


def share_records(plan: Plan, step: int) -> tf.data.Dataset:
  """The records of this process in one step, to find the unreadable one."""
  if plan.source.random_access:
    indices = StepIndices(plan)(step)
    return tf.data.Dataset.from_tensor_slices(indices).map(
      traced(plan.source.read)
    )
  records = streamed_records(plan, *divmod(step, plan.steps_per_epoch))
  return records.map(traced(lambda _, record: record)).take(plan.share)

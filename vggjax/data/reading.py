"""Reading records: in order, in parallel, by several processes."""

import re
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from vggjax import distributed, images
from vggjax.cores import core_count
from vggjax.data import preprocess
from vggjax.data.iterating import elements
from vggjax.data.records import Record, Source
from vggjax.data.tracing import traced
from vggjax.errors import InputError


def parallel_map(
  records: tf.data.Dataset, function: Callable, *, per_core: int = 1
) -> tf.data.Dataset:
  """Map on every core, in order.

  Args:
    records: what is mapped.
    function: of TensorFlow; traced as it stands.
    per_core: results held at most, a core; with more of them a slow one holds
      up fewer of those behind it.
  """
  return records.map(
    traced(function),
    num_parallel_calls=max(2, per_core * core_count()),
    deterministic=True,
  )


def select(source: Source, wanted: np.ndarray) -> tf.data.Dataset:
  """The wanted records, in the order of their index.

  Args:
    source: to read from, N records.
    wanted: bool [N].
  """
  if source.random_access:
    indices = tf.data.Dataset.from_tensor_slices(np.flatnonzero(wanted))
    return parallel_map(indices, source.read)
  table = tf.constant(wanted)
  return source.stream().filter(traced(lambda record: table[record["index"]]))


def own_share(source: Source) -> np.ndarray:
  """Which records this process reads where each is read once, bool [N]."""
  numbers = np.arange(source.num_examples)
  return numbers % distributed.count() == distributed.index()


def each(
  source: Source, function: Callable[[Record], tf.Tensor]
) -> Iterator[np.ndarray]:
  """What a function of TensorFlow gives of each record, in index order.

  Raises:
    InputError: if a record cannot be read.
  """
  done = 0
  try:
    for value in elements(source.stream().map(traced(function))):
      yield value
      done += 1
  except tf.errors.OpError as error:
    failed = source.stream().skip(done).take(1)
    raise name_unreadable(source, failed, error) from error


def check_shares(
  batch_size: int, process_index: int, process_count: int
) -> None:
  """Raise InputError unless the batch divides into equal shares."""
  check_process(process_index, process_count)
  if batch_size < 1 or batch_size % process_count:
    raise InputError(
      f"batch size {batch_size}: must be a multiple of the "
      f"{process_count} processes"
    )


def check_process(process_index: int, process_count: int) -> None:
  """Raise InputError unless the index is one of the count."""
  if not 0 <= process_index < process_count:
    raise InputError(f"process {process_index} of {process_count}: no such one")


def name_unreadable(
  source: Source, records: tf.data.Dataset, error: tf.errors.OpError
) -> Exception:
  """The InputError that names the first record that cannot be decoded.

  Args:
    source: where the records are from.
    records: those among which the error happened; read again, one by one.
    error: what happened.

  Returns:
    An InputError; the error itself if every record is readable now.
  """
  try:
    for record in records:
      try:
        preprocess.decode(record["bytes"])
      except (tf.errors.OpError, InputError) as cause:
        reason = _reason(record["bytes"].numpy(), cause)
        return InputError(
          f"{source.spec}: cannot decode {record['id'].numpy().decode()} "
          f'({reason}); on_error="skip" leaves such images out'
        )
  except tf.errors.OpError as cause:
    return InputError(f"{source.spec}: cannot read ({_one_line(cause)})")
  return error


def _reason(content: bytes, error: Exception) -> str:
  """Why an image cannot be decoded: Pillow's words are the plainer ones."""
  try:
    images.decode(content)
  except InputError as plainer:
    return str(plainer).rpartition("cannot decode: ")[2]
  return _one_line(error)


def _one_line(error: Exception) -> str:
  """The first line of TensorFlow's message less the names of its nodes."""
  noise = (
    r"\{\{.*?\}\}|\[Op:.*?\]| name: *$|\bInputError: |"
    r"Error in user-defined .* Iterator::\S+: "
  )
  text = re.sub(noise, "", str(error))
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  return lines[0] if lines else type(error).__name__

"""Find the images of a source that cannot be decoded."""

import os

import numpy as np
import tensorflow as tf

from vggjax.data import preprocess
from vggjax.data.cache import cache_path, read_json, write_json
from vggjax.data.records import Record, Source


def leave_out_unreadable(
  source: Source, cache_dir: str | os.PathLike | None = None
) -> Source:
  """The source less its unreadable images, which its `skipped` names.

  Decodes every image once; the result is cached by the source's fingerprint.
  """
  path = cache_path("unreadable", source.fingerprint, cache_dir)
  positions = read_json(path)
  if positions is None:
    positions = find_unreadable(source)
    write_json(path, positions)
  return source.without(positions) if positions else source


def find_unreadable(source: Source) -> list[int]:
  """The indices of the images that cannot be read or decoded."""

  def decoded_index(record: Record) -> tf.Tensor:
    with tf.control_dependencies([preprocess.decode(record["bytes"])]):
      return tf.identity(record["index"])

  indices = source.stream().map(
    decoded_index, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False
  )
  readable = np.zeros(source.num_examples, bool)
  for some in indices.ignore_errors().batch(256).as_numpy_iterator():
    readable[some] = True
  return np.flatnonzero(~readable).tolist()

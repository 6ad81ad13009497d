"""Find the images of a source that cannot be decoded."""

import os

import numpy as np
import tensorflow as tf

from vggjax.data import preprocess
from vggjax.data.cache import cache_path, read_json, write_json
from vggjax.data.records import Record, Source
from vggjax.data.tracing import traced


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

  def decoded(record: Record) -> tuple[tf.Tensor, tf.Tensor]:
    # The sum is there so that no pixel's decoding is optimized away.
    image = preprocess.decode(record["bytes"])
    return record["index"], tf.reduce_sum(tf.cast(image, tf.int64))

  images = source.stream().map(
    traced(decoded), num_parallel_calls=tf.data.AUTOTUNE, deterministic=False
  )
  readable = np.zeros(source.num_examples, bool)
  for indices, _ in images.ignore_errors().batch(256).as_numpy_iterator():
    readable[indices] = True
  return np.flatnonzero(~readable).tolist()

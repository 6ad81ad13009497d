"""Find the images of a source that cannot be decoded."""

import itertools
import os

import numpy as np
import tensorflow as tf

from vggjax import distributed
from vggjax.data import preprocess
from vggjax.data.cache import cache_path, first_found, read_json, write_json
from vggjax.data.iterating import elements
from vggjax.data.reading import own_share, select
from vggjax.data.records import Record, Source, check_not_empty
from vggjax.data.tracing import traced


def leave_out_unreadable(
  source: Source, cache_dir: str | os.PathLike | None = None
) -> Source:
  """The source less its unreadable images, which its `skipped` names.

  Decodes every image once, each process its share; the result is cached by the
  source's fingerprint.

  Raises:
    InputError: if none is left.
  """
  path = cache_path("unreadable", source.fingerprint, cache_dir)
  positions = first_found(read_json(path))
  if positions is None:
    shares = distributed.gather(find_unreadable(source))
    positions = sorted(itertools.chain.from_iterable(shares))
    if distributed.is_chief():
      write_json(path, positions)
  if positions:
    source = source.without(positions)
  check_not_empty(source.num_examples, source.spec, source.split)
  return source


def find_unreadable(source: Source) -> list[int]:
  """The indices of this process's images that cannot be read or decoded."""

  def decoded(record: Record) -> tuple[tf.Tensor, tf.Tensor]:
    # The sum is there so that no pixel's decoding is optimized away.
    image = preprocess.decode(record["bytes"])
    return record["index"], tf.reduce_sum(tf.cast(image, tf.int64))

  mine = own_share(source)
  images = select(source, mine).map(
    traced(decoded), num_parallel_calls=tf.data.AUTOTUNE, deterministic=False
  )
  readable = ~mine
  for indices, _ in elements(images.ignore_errors().batch(256)):
    readable[indices] = True
  return np.flatnonzero(~readable).tolist()

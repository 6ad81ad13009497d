"""A source that counts its reads, and an evaluation's most images held."""

import io
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow as tf
from PIL import Image

from vggjax.data.evaluation import rescaled_images
from vggjax.data.records import RandomAccessSource
from vggjax.evaluate.buckets import Buckets, pad_long_side
from vggjax.evaluate.rows import Rows

SCALE, GRANULE, BATCH = 16, 8, 8


class CountingSource(RandomAccessSource):
  """Images of 25 shapes that exist only while they are read."""

  def __init__(self, num_examples: int):
    super().__init__("counting", "test", ("a",), False)
    self.reads = itertools.count()
    self.num_read = 0
    self._count = num_examples
    shapes = itertools.product(range(16, 66, 10), repeat=2)
    self._files = tf.constant([_png(shape) for shape in shapes])

  num_examples = property(lambda self: self._count)

  def read(self, index):
    def count(index):
      # One call at a time holds Python's lock.
      self.num_read = next(self.reads) + 1
      return index

    index = tf.ensure_shape(tf.py_function(count, [index], tf.int64), [])
    return {
      "bytes": self._files[index % len(self._files)],
      "label": tf.constant(0, tf.int32),
      "id": tf.strings.as_string(index),
      "index": index,
      "key": index,
    }

  def labels(self):
    return np.zeros(self._count, np.int32)

  def _all_ids(self):
    return [str(i) for i in range(self._count)]

  def _content(self):
    return f"counting {self._count}"

  def without(self, positions):
    raise NotImplementedError


def _png(shape):
  file = io.BytesIO()
  Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(file, "png")
  return file.getvalue()


def most_held(num_images: int) -> tuple[int, int]:
  """The most images read and not yet computed, and how many batch shapes."""
  source = CountingSource(num_images)
  rows = Rows(num_images)
  held = 0

  def examples():
    nonlocal held
    for index, _, _, images in rescaled_images(source, (SCALE,)):
      held = max(held, source.num_read - int(rows.done.sum()))
      yield index, images

  buckets = Buckets(
    lambda params, batch: jnp.mean(batch["image"] * params, axis=(1, 2)),
    np.float32(1),
    padded_shape=lambda shape: pad_long_side(shape, GRANULE),
    batch_size=BATCH,
    devices=jax.devices()[:1],
  )
  buckets.map(examples(), [rows])
  assert rows.done.all()
  return held, len({shape[1:] for shape in buckets.work.shapes})

"""Image files refused before they are decoded, in a TF graph.

The limits are those of `vggjax.encoded`.
"""

import tensorflow as tf

from vggjax.encoded import MAX_PIXELS, MAX_SCANS, TOO_LARGE, TOO_MANY_SCANS

# Files of more bytes, or pixels, have their scans counted; the others' are
# decoded in less time than counting those of all would take.
_LONG_FILE = 2**20
_LARGE_IMAGE = 2**22


def jpeg_size(encoded: tf.Tensor) -> tf.Tensor:
  """Height and width from a JPEG's header: int64 [2]."""
  return tf.cast(tf.image.extract_jpeg_shape(encoded)[:2], tf.int64)


def check_jpeg(encoded: tf.Tensor, size: tf.Tensor) -> tf.Operation:
  """Fails if a JPEG is larger than an image may be.

  Args:
    encoded: string scalar, the file.
    size: int64 [2], of `jpeg_size`.
  """
  pixels = tf.reduce_prod(size)

  def few_scans():
    parts = tf.strings.split(tf.reshape(encoded, [1]), b"\xff\xda").flat_values
    return tf.size(parts) <= MAX_SCANS + 1

  is_large = (pixels > _LARGE_IMAGE) | (tf.strings.length(encoded) > _LONG_FILE)
  good = tf.cond(is_large, few_scans, lambda: True)
  return tf.group(
    _check_size(pixels),
    tf.debugging.Assert(good, [TOO_MANY_SCANS]),
  )


def check_png(encoded: tf.Tensor) -> tf.Operation:
  """Fails if a PNG is larger than an image may be."""
  # Of a shorter file the size is 0.
  padded = tf.strings.join([tf.strings.substr(encoded, 0, 24), b"\0" * 24])
  header = tf.io.decode_raw(
    tf.strings.substr(padded, 16, 8), tf.int32, little_endian=False
  )
  return _check_size(tf.reduce_prod(tf.cast(header, tf.int64)))


def _check_size(pixels: tf.Tensor) -> tf.Operation:
  return tf.debugging.Assert(pixels <= MAX_PIXELS, [TOO_LARGE])

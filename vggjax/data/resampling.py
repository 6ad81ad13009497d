"""Isotropic rescaling in TensorFlow, whole or only a window (Sect. 3.1).

Sizes and offsets are int64 [2] tensors: (height, width) and (top, left), in
pixels.
"""

import tensorflow as tf

from vggjax.geometry import MAX_ASPECT

# Pixels at the edges of a partly decoded JPEG can differ from those of the
# whole; with this margin none of them is used.
_WINDOW_MARGIN = 2


def rescaled_size(size: tf.Tensor, smallest_side: tf.Tensor) -> tf.Tensor:
  """geometry.rescaled_size: int64 [2] -> int64 [2]."""
  smallest_side = tf.cast(smallest_side, tf.int64)
  short = tf.reduce_min(size)
  return (2 * size * smallest_side + short) // (2 * short)


def capped_window(size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """geometry.capped_window: int64 [2] -> (offset, used size), int64 [2]."""
  used = tf.minimum(size, MAX_ASPECT * tf.reduce_min(size))
  return (size - used) // 2, used


def source_window(
  source: tf.Tensor, full: tf.Tensor, offset: tf.Tensor, size: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """The source pixels that a window of the rescaled image depends on.

  Args:
    source: int64 [2], the size of the source image.
    full: int64 [2], the size of the rescaled image.
    offset: int64 [2], the window's position in the rescaled image.
    size: int64 [2], the window's size.

  Returns:
    The source window's start and stop, int64 [2], with a small margin.
  """
  ratio = tf.cast(source, tf.float64) / tf.cast(full, tf.float64)
  support = tf.maximum(ratio, 1.0)
  low = (tf.cast(offset, tf.float64) + 0.5) * ratio - support
  high = (tf.cast(offset + size, tf.float64) - 0.5) * ratio + support
  start = tf.cast(tf.floor(low), tf.int64) - _WINDOW_MARGIN
  stop = tf.cast(tf.math.ceil(high), tf.int64) + _WINDOW_MARGIN
  return tf.maximum(start, 0), tf.minimum(stop, source)


def resample(
  part: tf.Tensor,
  start: tf.Tensor,
  source: tf.Tensor,
  full: tf.Tensor,
  offset: tf.Tensor,
  size: tf.Tensor,
) -> tf.Tensor:
  """A window of the rescaled image, from the source pixels it depends on.

  Bilinear, antialiased, half-pixel centers; equal to rescaling the whole
  image and cropping it.

  Args:
    part: uint8 [h, w, 3], the source window.
    start: int64 [2], its position in the source image.
    source, full, offset, size: as in `source_window`.

  Returns:
    float32 [*size, 3], in [0, 255], not rounded.
  """
  scale = tf.cast(full, tf.float64) / tf.cast(source, tf.float64)
  # In float64 until the large numbers have canceled.
  translation = tf.cast(start, tf.float64) * scale
  translation -= tf.cast(offset, tf.float64)
  scale = tf.cast(scale, tf.float32)
  translation = tf.cast(translation, tf.float32)
  height, width = size[0], size[1]
  # [h, w * 3], [w * 3, height], [width, 3 * height], [height, width, 3].
  image = tf.reshape(part, [tf.shape(part)[0], -1])
  image = tf.transpose(_resample_rows(image, height, scale[0], translation[0]))
  image = tf.reshape(image, [-1, 3 * height])
  image = _resample_rows(image, width, scale[1], translation[1])
  image = tf.transpose(tf.reshape(image, [-1, height]))
  return tf.reshape(image, tf.concat([size, [3]], 0))


def _resample_rows(
  image: tf.Tensor, number: tf.Tensor, scale: tf.Tensor, translation: tf.Tensor
) -> tf.Tensor:
  """Rows as combinations of rows: [h, n] -> float32 [number, n].

  TensorFlow combines whole rows more than ten times faster than it does pixels
  within a row; so a row is here the channels of one pixel.
  """
  resampled = tf.raw_ops.ScaleAndTranslate(
    images=image[None, :, None],
    size=tf.stack([tf.cast(number, tf.int32), 1]),
    scale=tf.stack([scale, 1.0]),
    translation=tf.stack([translation, 0.0]),
    kernel_type="triangle",
    antialias=True,
  )
  return resampled[0, :, 0]


def rescale(image: tf.Tensor, smallest_side: tf.Tensor) -> tf.Tensor:
  """Rescale isotropically to the smallest side S or Q (Sect. 3.1).

  A long side of more than MAX_ASPECT times S is center-cropped to that (not
  in the paper).

  Args:
    image: uint8 [H, W, 3].
    smallest_side: integer scalar, S or Q, pixels.

  Returns:
    float32 [h, w, 3], in [0, 255], not rounded.
  """
  source = tf.shape(image, tf.int64)[:2]
  full = rescaled_size(source, smallest_side)
  offset, used = capped_window(full)
  return resample_decoded(image, full, offset, used)


def is_capped(full: tf.Tensor) -> tf.Tensor:
  """bool: whether a rescaled image of this size, int64 [2], is capped."""
  return tf.reduce_max(full) > MAX_ASPECT * tf.reduce_min(full)


def resample_decoded(
  image: tf.Tensor, full: tf.Tensor, offset: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
  """`resample` of a decoded image."""
  source = tf.shape(image, tf.int64)[:2]
  start, stop = source_window(source, full, offset, size)
  part = image[start[0] : stop[0], start[1] : stop[1]]
  return resample(part, start, source, full, offset, size)

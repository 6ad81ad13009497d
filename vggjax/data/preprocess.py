"""One TensorFlow function per operation of the paper on images (Sect. 3.1).

All randomness is stateless: what an example gets depends on (seed, epoch,
example) alone, never on the batch size, the process or the thread. Sizes and
offsets are int64 [2] tensors: (height, width) and (top, left), in pixels.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from vggjax import images
from vggjax.errors import InputError
from vggjax.geometry import MAX_ASPECT

# Pixels at the edges of a partly decoded JPEG can differ from those of the
# whole; with this margin none of them is used.
_WINDOW_MARGIN = 2


@dataclasses.dataclass(frozen=True)
class ColorShift:
  """The RGB color shift of Krizhevsky et al. (Sect. 3.1).

  Attributes:
    eigenvalues: [3] of the RGB covariance of the pixels in [0, 1].
    eigenvectors: [3, 3], in columns; rows R, G, B.
    std: of each alpha_i.
    scaling: "eigenvalues", as the paper says, or "sqrt", as MatConvNet does.
  """

  eigenvalues: tuple[float, float, float]
  eigenvectors: tuple[tuple[float, float, float], ...]
  std: float = 0.1
  scaling: str = "eigenvalues"

  def __post_init__(self):
    if self.scaling not in ("eigenvalues", "sqrt"):
      raise InputError(
        f"color shift scaling {self.scaling!r}: must be eigenvalues or sqrt"
      )

  def matrix(self) -> np.ndarray:
    """float32 [3, 3]: the shift, in 0-255, is this times N(0, 1) draws."""
    scale = np.asarray(self.eigenvalues, np.float64)
    if self.scaling == "sqrt":
      scale = np.sqrt(scale)
    vectors = np.asarray(self.eigenvectors, np.float64)
    return (255.0 * self.std * vectors * scale).astype(np.float32)


def decode(encoded: tf.Tensor) -> tf.Tensor:
  """Decode an image by its content; the pixels of `images.decode`.

  Args:
    encoded: string scalar, a whole image file.

  Returns:
    uint8 [H, W, 3] RGB.

  Raises:
    tf.errors.OpError: when run, if the image is corrupt or truncated.
  """
  return tf.cond(
    tf.io.is_jpeg(encoded),
    # The default DCT differs by up to 17 levels from everyone else's.
    lambda: tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE"),
    lambda: _decode_other(encoded),
  )


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
  """A PNG by TensorFlow, and any rarer format by Pillow."""

  def by_pillow():
    decoded = tf.numpy_function(
      images.decode, [encoded], tf.uint8, stateful=False
    )
    return tf.ensure_shape(decoded, [None, None, 3])

  return tf.cond(
    tf.strings.substr(encoded, 0, 4) == b"\x89PNG",
    lambda: tf.io.decode_png(encoded, channels=3),
    by_pillow,
  )


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
  return tf.raw_ops.ScaleAndTranslate(
    images=part[None],
    size=tf.cast(size, tf.int32),
    scale=tf.cast(scale, tf.float32),
    translation=tf.cast(translation, tf.float32),
    kernel_type="triangle",
    antialias=True,
  )[0]


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
  return _resample_decoded(image, full, offset, used)


def center_crop(image: tf.Tensor, size: int) -> tf.Tensor:
  """The central crop [size, size, 3] of [h, w, 3]; offset rounded down."""
  offset = (tf.shape(image)[:2] - size) // 2
  return tf.slice(image, [offset[0], offset[1], 0], [size, size, 3])


def to_uint8(image: tf.Tensor) -> tf.Tensor:
  """float32 to uint8: rounded half to even, clipped to [0, 255]."""
  return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)


def mirror(image: tf.Tensor) -> tf.Tensor:
  """The horizontal flip of [h, w, 3]."""
  return tf.reverse(image, [1])


def is_capped(full: tf.Tensor) -> tf.Tensor:
  """bool: whether a rescaled image of this size, int64 [2], is capped."""
  return tf.reduce_max(full) > MAX_ASPECT * tf.reduce_min(full)


def example_key(seed: int, epoch: tf.Tensor, example: tf.Tensor) -> tf.Tensor:
  """The key, int64 [2], of one example's draws in one epoch.

  Args:
    seed: int.
    epoch: int64 scalar.
    example: int64 scalar: the example's index, or the hash of its id.
  """
  key = tf.constant([seed, 0], tf.int64)
  key = tf.random.fold_in(key, epoch, alg="philox")
  return tf.random.fold_in(key, example, alg="philox")


def color_shift(key: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
  """The RGB color shift of one image, in 0-255 (Sect. 3.1).

  Args:
    key: int64 [2].
    matrix: float32 [3, 3], ColorShift.matrix().

  Returns:
    float32 [3].
  """
  key = tf.random.fold_in(key, 1, alg="philox")
  alpha = tf.random.stateless_normal([3], key, alg="philox")
  return tf.linalg.matvec(tf.constant(matrix), alpha)


def random_crop(
  encoded: tf.Tensor,
  key: tf.Tensor,
  *,
  train_scale: tuple[int, int],
  crop_size: int,
  flip: bool = True,
) -> tuple[tf.Tensor, tf.Tensor]:
  """The training crop of one image: S, position and flip at random (3.1).

  Equal to decoding and rescaling the whole image, then cropping it; but only
  the window that the crop depends on is decoded.

  Args:
    encoded: string scalar, an image file.
    key: int64 [2], as from `example_key`.
    train_scale: the least and the greatest S; drawn from the integers between.
    crop_size: side of the crop, pixels; at most the least S.
    flip: whether one image in two is mirrored.

  Returns:
    uint8 [crop_size, crop_size, 3], and whether the image was capped (bool).
  """
  draws = tf.random.stateless_uniform([4], key, dtype=tf.float64, alg="philox")
  least, greatest = train_scale
  smallest_side = least + _integer_below(draws[0], greatest - least + 1)
  size = tf.constant([crop_size, crop_size], tf.int64)

  def place(source):
    full = rescaled_size(source, smallest_side)
    offset, used = capped_window(full)
    return full, offset + _integer_below(draws[1:3], used - size + 1)

  def from_jpeg():
    source = tf.cast(tf.image.extract_jpeg_shape(encoded)[:2], tf.int64)
    full, offset = place(source)
    start, stop = source_window(source, full, offset, size)
    part = tf.image.decode_and_crop_jpeg(
      encoded,
      tf.cast(tf.concat([start, stop - start], 0), tf.int32),
      channels=3,
      dct_method="INTEGER_ACCURATE",
    )
    crop = resample(part, start, source, full, offset, size)
    return crop, is_capped(full)

  def from_other():
    image = _decode_other(encoded)
    source = tf.shape(image, tf.int64)[:2]
    full, offset = place(source)
    return _resample_decoded(image, full, offset, size), is_capped(full)

  crop, capped = tf.cond(tf.io.is_jpeg(encoded), from_jpeg, from_other)
  if flip:
    crop = tf.cond(draws[3] < 0.5, lambda: mirror(crop), lambda: crop)
  crop = tf.ensure_shape(to_uint8(crop), [crop_size, crop_size, 3])
  return crop, capped


def _integer_below(draw: tf.Tensor, bound: int | tf.Tensor) -> tf.Tensor:
  """int64 in [0, bound) from a float64 draw in [0, 1)."""
  bound = tf.cast(bound, tf.int64)
  drawn = tf.cast(draw * tf.cast(bound, tf.float64), tf.int64)
  return tf.minimum(drawn, bound - 1)


def _resample_decoded(
  image: tf.Tensor, full: tf.Tensor, offset: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
  """`resample` of a decoded image."""
  source = tf.shape(image, tf.int64)[:2]
  start, stop = source_window(source, full, offset, size)
  part = image[start[0] : stop[0], start[1] : stop[1]]
  return resample(part, start, source, full, offset, size)

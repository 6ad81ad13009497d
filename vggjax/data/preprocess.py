"""One TensorFlow function per operation of the paper on images (Sect. 3.1).

All randomness is stateless: what an example gets depends on (seed, epoch,
example) alone, never on the batch size, the process or the thread.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vggjax import images
from vggjax.data.boxes import rounded
from vggjax.data.resampling import (
  capped_window,
  is_capped,
  resample,
  resample_decoded,
  rescaled_size,
  source_window,
)
from vggjax.data.whole import check_jpeg, check_png, jpeg_size
from vggjax.errors import InputError


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

  def from_jpeg():
    with tf.control_dependencies([check_jpeg(encoded, jpeg_size(encoded))]):
      # The default DCT differs by up to 17 levels from everyone else's.
      return tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE")

  return tf.cond(
    tf.io.is_jpeg(encoded), from_jpeg, lambda: _decode_other(encoded)
  )


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
  """A PNG by TensorFlow, and any rarer format by Pillow."""

  def by_pillow():
    decoded = tf.numpy_function(_pillow, [encoded], tf.uint8, stateful=False)
    return tf.ensure_shape(decoded, [None, None, 3])

  def from_png():
    with tf.control_dependencies([check_png(encoded)]):
      return tf.io.decode_png(encoded, channels=3)

  return tf.cond(
    tf.strings.substr(encoded, 0, 4) == b"\x89PNG", from_png, by_pillow
  )


def _pillow(encoded: bytes | np.ndarray) -> np.ndarray:
  # Outside of a graph TensorFlow passes a string as an array of objects.
  return images.decode(bytes(np.asarray(encoded, object).item()))


def to_uint8(image: tf.Tensor) -> tf.Tensor:
  """float32 to uint8: rounded half to even, clipped to [0, 255]."""
  return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)


def mirror(image: tf.Tensor) -> tf.Tensor:
  """The horizontal flip of [h, w, 3]."""
  return tf.reverse(image, [1])


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


def rescaled_window(
  encoded: tf.Tensor,
  place: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
  size: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """A window of the rescaled image, decoding no more of a JPEG than it needs.

  Equal to decoding and rescaling the whole image, then cropping it.

  Args:
    encoded: string scalar, an image file.
    place: from the size of the image, the rescaled size and the window's
      offset in it; all int64 [2].
    size: int64 [2], of the window.

  Returns:
    float32 [*size, 3], in [0, 255], not rounded; the rescaled size and the
    offset.
  """

  def from_jpeg():
    source = jpeg_size(encoded)
    with tf.control_dependencies([check_jpeg(encoded, source)]):
      full, offset = place(source)
    start, stop = source_window(source, full, offset, size)
    part = tf.image.decode_and_crop_jpeg(
      encoded,
      tf.cast(tf.concat([start, stop - start], 0), tf.int32),
      channels=3,
      dct_method="INTEGER_ACCURATE",
    )
    window = resample(part, start, source, full, offset, size)
    return window, full, offset

  def from_other():
    image = _decode_other(encoded)
    full, offset = place(tf.shape(image, tf.int64)[:2])
    return resample_decoded(image, full, offset, size), full, offset

  return tf.cond(tf.io.is_jpeg(encoded), from_jpeg, from_other)


class Crop(NamedTuple):
  """A training crop, and where it lies in the image.

  Attributes:
    image: uint8 [crop_size, crop_size, 3].
    full: int64 [2], height and width of the rescaled image, pixels.
    offset: int64 [2], top and left of the crop in it.
    mirrored: bool; the crop was mirrored after it was taken.
    capped: bool; the image was center-cropped to MAX_ASPECT times S.
  """

  image: tf.Tensor
  full: tf.Tensor
  offset: tf.Tensor
  mirrored: tf.Tensor
  capped: tf.Tensor


def random_crop(
  encoded: tf.Tensor,
  key: tf.Tensor,
  *,
  train_scale: tuple[int, int],
  crop_size: int,
  flip: bool = True,
) -> Crop:
  """The training crop of one image: S, position and flip at random (3.1).

  Args:
    encoded: string scalar, an image file.
    key: int64 [2], as from `example_key`.
    train_scale: the least and the greatest S; drawn from the integers between.
    crop_size: side of the crop, pixels; at most the least S.
    flip: whether one image in two is mirrored.
  """
  draws = tf.random.stateless_uniform([4], key, dtype=tf.float64, alg="philox")
  least, greatest = train_scale
  smallest_side = least + _integer_below(draws[0], greatest - least + 1)
  size = tf.constant([crop_size, crop_size], tf.int64)

  def place(source):
    full = rescaled_size(source, smallest_side)
    offset, used = capped_window(full)
    return full, offset + _integer_below(draws[1:3], used - size + 1)

  crop, full, offset = rescaled_window(encoded, place, size)
  mirrored = tf.constant(False)
  if flip:
    mirrored = draws[3] < 0.5
    crop = tf.cond(mirrored, lambda: mirror(crop), lambda: crop)
  crop = tf.ensure_shape(to_uint8(crop), [crop_size, crop_size, 3])
  return Crop(crop, full, offset, mirrored, is_capped(full))


def box_target(
  boxes: tf.Tensor,
  *,
  full: tf.Tensor,
  offset: tf.Tensor,
  mirrored: tf.Tensor | bool,
  crop_size: int,
) -> tuple[tf.Tensor, tf.Tensor]:
  """What a crop's box regression is to predict (App. A).

  Args:
    boxes: float32 [n, 4], n >= 1, as in the records.
    full, offset, mirrored: as in `Crop`.
    crop_size: side of the crop, pixels.

  Returns:
    float32 [4]: cx, cy, w, h of the box that has the largest area in the crop,
      of equal ones the first; not clipped to the crop, in fractions of its
      side, relative to its center.
    float32 scalar: 1, or 0 where the crop shows too little of the box: less
      than half of it, and not half of the crop either.
  """
  full, offset = (tf.cast(v[::-1], tf.float64) for v in (full, offset))
  side = tf.constant(crop_size, tf.float64)
  edges = tf.cast(boxes, tf.float64) * tf.tile(full, [2])
  # Equal areas shall be equal whatever float32 rounded.
  edges = rounded(edges)
  low, high = edges[:, :2] - offset, edges[:, 2:] - offset
  shown = tf.reduce_prod(
    tf.clip_by_value(high, 0.0, side) - tf.clip_by_value(low, 0.0, side), 1
  )
  chosen = tf.math.top_k(shown).indices[0]  # Of equal ones the first.
  low, high, shown = low[chosen], high[chosen], shown[chosen]
  # Not in the paper: OverFeat leaves out windows with less than half of the
  # object; at S = 384 an object may be larger than the crop.
  area = tf.reduce_prod(high - low)
  weight = shown >= 0.5 * tf.minimum(area, side**2)
  center = (low + high - side) / 2
  center *= tf.where(mirrored, tf.constant([-1.0, 1.0], side.dtype), 1.0)
  box = tf.concat([center, high - low], 0) / side
  return tf.cast(box, tf.float32), tf.cast(weight, tf.float32)


def _integer_below(draw: tf.Tensor, bound: int | tf.Tensor) -> tf.Tensor:
  """int64 in [0, bound) from a float64 draw in [0, 1)."""
  bound = tf.cast(bound, tf.int64)
  drawn = tf.cast(draw * tf.cast(bound, tf.float64), tf.int64)
  return tf.minimum(drawn, bound - 1)

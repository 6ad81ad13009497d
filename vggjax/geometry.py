"""Sizes and positions: rescaled images, crops, score maps (Sect. 3).

Everything here is plain integer arithmetic on heights and widths in pixels.
"""

# Not in the paper: a longer image is center-cropped to this many times S.
MAX_ASPECT = 8
# The side of the paper's crop, pixels.
PAPER_CROP = 224


def rescaled_size(
  height: int, width: int, smallest_side: int
) -> tuple[int, int]:
  """Size after isotropic rescaling to the smallest side S or Q (Sect. 3.1).

  The long side becomes floor(long * S / short + 0.5); it may exceed
  MAX_ASPECT * S, see `capped_window`.

  Args:
    height: of the source image, pixels, at least 1.
    width: of the source image, pixels, at least 1.
    smallest_side: S or Q, pixels, at least 1.

  Returns:
    The rescaled height and width, pixels.

  Raises:
    ValueError: if an argument is below 1.
  """
  if min(height, width, smallest_side) < 1:
    raise ValueError(
      "height, width and smallest_side must be at least 1; got "
      f"{height}, {width}, {smallest_side}"
    )
  short, long = min(height, width), max(height, width)
  long_side = (2 * long * smallest_side + short) // (2 * short)
  if height <= width:
    return smallest_side, long_side
  return long_side, smallest_side


def capped_window(
  height: int, width: int
) -> tuple[tuple[int, int], tuple[int, int]]:
  """The part of a rescaled image that is used, ((top, left), (height, width)).

  All of it, unless its long side exceeds MAX_ASPECT times the short one: then
  the centre. Not in the paper.

  Args:
    height: of the rescaled image, pixels.
    width: of the rescaled image, pixels.
  """
  longest = MAX_ASPECT * min(height, width)
  used = min(height, longest), min(width, longest)
  return center_offset((height, width), used), used


def center_offset(
  outer: tuple[int, int], inner: tuple[int, int]
) -> tuple[int, int]:
  """Top and left of a centered window; rounded down when the rest is odd."""
  return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2


def pooled_size(size: int, pool: str, num_pools: int = 5) -> int:
  """A side after `num_pools` 2x2/2 max-pools, rounded as `pool` says.

  Args:
    size: pixels, at least 0 (an int, or an integer array).
    pool: "ceil" (Caffe) or "floor".
    num_pools: how many pools.
  """
  for _ in range(num_pools):
    size = (size + 1) // 2 if pool == "ceil" else size // 2
  return size


def score_map_side(size: int, crop_size: int, pool: str) -> int:
  """A side of the dense score map of an image side (Sect. 3.2).

  Args:
    size: of the rescaled image, pixels (an int, or an integer array).
    crop_size: the training crop, pixels; a crop gives one position.
    pool: "ceil" or "floor".

  Returns:
    The number of positions; below 1 when the image is too small.
  """
  return pooled_size(size, pool) - crop_size // 32 + 1


def grid_offset(i: int, count: int, outer: int, inner: int) -> int:
  """Where the i-th of `count` windows begins, spread evenly (Sect. 3.2).

  The first at 0, the last at outer - inner, the rest rounded half up; a single
  one is centered.

  Args:
    i: in [0, count) (this and the sides may be integer arrays).
    count: windows along a side.
    outer: the side, pixels.
    inner: the window's side, pixels, at most `outer`.
  """
  if count == 1:
    return (outer - inner) // 2 + 0 * i
  return (2 * i * (outer - inner) + count - 1) // (2 * (count - 1))


def scale_for_crop(scale: int, crop_size: int) -> int:
  """S or Q, given in pixels for the paper's crop, for another crop size.

  Args:
    scale: pixels, e.g. 256.
    crop_size: pixels.
  """
  return int(scale * crop_size / PAPER_CROP + 0.5)

"""Sizes and positions: rescaled images, crops, score maps, boxes (Sect. 3).

Plain arithmetic on heights and widths in pixels, and on boxes: arrays [..., 4]
of NumPy or JAX, (left, top, right, bottom), the outer edges. What the ILSVRC
devkit writes as inclusive pixels (xmin, ymin, xmax, ymax) has the edges
(xmin, ymin, xmax + 1, ymax + 1), and so the area that the devkit counts.
"""

from typing import Any

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


def uncap(boxes: Any, height: int, width: int, smallest_side: int) -> Any:
  """Boxes in the part of an image that is used, as of the whole image.

  Args:
    boxes: float [..., 4], fractions of what `capped_window` leaves.
    height: of the source image, pixels.
    width: of the source image, pixels.
    smallest_side: Q, pixels.

  Returns:
    Fractions of the image.
  """
  full = rescaled_size(height, width, smallest_side)
  (top, left), (rows, columns) = capped_window(*full)
  if (rows, columns) == full:
    return boxes
  xp = boxes.__array_namespace__()
  scale = xp.asarray([columns, rows, columns, rows])
  offset = xp.asarray([left, top, left, top])
  return (boxes * scale + offset) / xp.asarray([full[1], full[0]] * 2)


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


def score_map_side(
  size: int, crop_size: int, pool: str, pool5_offsets: int = 1
) -> int:
  """A side of the dense score map of an image side (Sect. 3.2).

  Args:
    size: of the rescaled image, pixels (an int, or an integer array).
    crop_size: the training crop, pixels; a crop gives one position.
    pool: "ceil" or "floor".
    pool5_offsets: where pool5 begins along a side: 1: at 0; 2: at 0 and at 1,
      whose positions take turns (App. A).

  Returns:
    The number of positions; below 1 when the image is too small.
  """
  before = pooled_size(size, pool, num_pools=4)
  return sum(
    pooled_size(before - offset, pool, num_pools=1) - crop_size // 32 + 1
    for offset in range(pool5_offsets)
  )


def position_stride(pool5_offsets: int = 1) -> int:
  """Pixels between the windows of neighboring score map positions.

  Position (i, j) sees the crop whose top is i times this, whose left is j times
  this, whatever the rounding of the pools (Sect. 3.2).
  """
  return 32 // pool5_offsets


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


def iou(boxes: Any, others: Any) -> Any:
  """Intersection over union of boxes (App. A).

  Args:
    boxes: float [..., 4], edges, in any unit along each axis.
    others: the same, broadcast against `boxes`; of each pair one has an area.

  Returns:
    float [...], in [0, 1].
  """
  xp = boxes.__array_namespace__()

  def side(low, high):
    stop = xp.minimum(boxes[..., high], others[..., high])
    return xp.maximum(stop - xp.maximum(boxes[..., low], others[..., low]), 0)

  common = side(0, 2) * side(1, 3)
  return common / (box_area(boxes) + box_area(others) - common)


def box_area(boxes: Any) -> Any:
  """The area [...] of boxes [..., 4]."""
  return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def decode_boxes(outputs: Any, crop_size: int, offset: Any = 0) -> Any:
  """The boxes that a network's last layer predicts (App. A).

  Args:
    outputs: float [..., 4]: center x and y, width and height, as fractions of
      the crop; the center relative to the crop's.
    crop_size: pixels.
    offset: [..., 2], left and top of the crop in the image, pixels.

  Returns:
    Edges in pixels of the image; both sides at least 1 / 224 of the crop.
  """
  xp = outputs.__array_namespace__()
  center = (outputs[..., :2] + 0.5) * crop_size + offset
  half = xp.maximum(outputs[..., 2:], 1 / PAPER_CROP) * crop_size / 2
  return xp.concat([center - half, center + half], axis=-1)

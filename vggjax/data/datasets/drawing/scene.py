"""What an image shows: its size, and which shapes stand where."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from .outlines import CLASSES, rotation, unit_contours

SPLITS = ("train", "validation", "test")
AREA_RATIO = 1.5  # The largest object's area over the next one's, at least.
SHORT_SIDE = (80, 144)  # Pixels, inclusive.


class Difficulty(NamedTuple):
  """What makes the class hard to see.

  Attributes:
    contrast: (low, high), least difference in brightness of shapes and ground,
      0-255; drawn for each image.
    diameter: (low, high) of the largest object, over the image's short side.
    smallest: diameter of the smallest other object, likewise.
    blobs: pieces of clutter of a kind, at most; at least 2.
    squiggles: likewise.
  """

  contrast: tuple
  diameter: tuple
  smallest: float
  blobs: int
  squiggles: int


DIFFICULTIES = {
  "hard": Difficulty((30, 90), (0.32, 0.85), 0.14, 7, 9),
  "easy": Difficulty((60, 60), (0.42, 0.85), 0.18, 5, 7),
}
_OVERSAMPLE = 4  # Masks are drawn at four times the resolution.


class Shape(NamedTuple):
  """One object.

  Attributes:
    label: int, index into CLASSES.
    contours: the outline, and the hole if any: tuple of float64 [n, 2], (x, y)
      in pixels; the image's corner is (0, 0), its first pixel's center
      (0.5, 0.5).
    mask: uint8 [H, W], coverage of each pixel, 0-255.
    area: int, number of pixels covered by half or more.
    box: (ymin, xmin, ymax, xmax), int pixels, around the pixels of `area`;
      the maxima are exclusive.
  """

  label: int
  contours: tuple
  mask: np.ndarray
  area: int
  box: tuple


def random_state(seed, split, index, stream):
  """The RandomState of one image and stream (0: the scene, 1: the paint)."""
  return np.random.RandomState([seed, SPLITS.index(split), index, stream])


def fill(contours, size):
  """The coverage of each pixel by an outline less its hole.

  Args:
    contours: list of float [n, 2], (x, y) in pixels.
    size: (H, W).

  Returns:
    uint8 [H, W], 0-255.
  """
  points = np.concatenate(contours)
  limit = np.array(size[::-1])
  # Only a window around the outline is drawn at the higher resolution.
  x0, y0 = np.clip(np.floor(points.min(0)).astype(int) - 1, 0, limit)
  x1, y1 = np.clip(np.ceil(points.max(0)).astype(int) + 1, 0, limit)
  mask = np.zeros(size, np.uint8)
  if x1 <= x0 or y1 <= y0:
    return mask
  extent = (int(x1 - x0) * _OVERSAMPLE, int(y1 - y0) * _OVERSAMPLE)
  canvas = Image.new("L", extent)
  pen = ImageDraw.Draw(canvas)
  for contour, ink in zip(contours, (255, 0), strict=False):
    points = np.rint((contour - (x0, y0)) * _OVERSAMPLE - 0.5).astype(int)
    pen.polygon([tuple(p) for p in points.tolist()], fill=ink)
  mask[y0:y1, x0:x1] = canvas.reduce(_OVERSAMPLE)
  return mask


def tight_box(inside):
  """(ymin, xmin, ymax, xmax) of the true pixels; maxima exclusive.

  Args:
    inside: bool [H, W], not all false.
  """
  rows = np.flatnonzero(inside.any(1))
  columns = np.flatnonzero(inside.any(0))
  return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _place(rng, diameter, size, central=False):
  """A random shape of `diameter` pixels in a random pose inside the image."""
  label = int(rng.randint(len(CLASSES)))
  contours = unit_contours(CLASSES[label], rng.uniform())
  least = 0.55 if CLASSES[label] == "ellipse" else 0.85
  pose = np.diag([1.0, rng.uniform(least, 1.0)])
  pose = pose @ rotation(rng.uniform(0, 2 * np.pi)) * (diameter / 2)
  contours = [c @ pose for c in contours]
  low, high = contours[0].min(0), contours[0].max(0)
  room = np.array(size[::-1]) - (high - low) - 2
  # The mean of several uniforms lies nearer the center than the border.
  where = rng.uniform(size=(3 if central else 1, 2)).mean(0)
  contours = tuple(c + (1 - low + room * where) for c in contours)
  mask = fill(contours, size)
  inside = mask >= 128
  return Shape(label, contours, mask, int(inside.sum()), tight_box(inside))


def plan(seed, split, index, difficulty="hard"):
  """The size of an image and its objects.

  Args:
    seed: int in [0, 2^32).
    split: one of SPLITS.
    index: int in [0, 2^32), position in the split.
    difficulty: a key of DIFFICULTIES.

  Returns:
    (size, shapes): (H, W), and one to three Shapes, the largest first. They do
    not touch; the first has at least AREA_RATIO times the area of any other.
  """
  rng = random_state(seed, split, index, 0)
  short = rng.randint(SHORT_SIDE[0], SHORT_SIDE[1] + 1)
  long = round(short * (1 + rng.uniform() ** 2))
  size = (short, long) if rng.uniform() < 0.6 else (long, short)
  _, diameters, smallest, _, _ = DIFFICULTIES[difficulty]
  diameter = short * np.exp(rng.uniform(*np.log(diameters)))
  shapes = [_place(rng, diameter, size, central=True)]
  wanted = rng.choice((1, 2, 3), p=(0.25, 0.4, 0.35))
  for _ in range(30):
    if len(shapes) == wanted:
      break
    small = short * np.exp(rng.uniform(np.log(smallest), np.log(0.5)))
    shape = _place(rng, min(small, 0.7 * diameter), size)
    y0, x0, y1, x1 = shape.box
    # Two pixels around the box stay clear, so no two outlines touch.
    near = np.s_[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2]
    clear = not any(s.mask[near].any() for s in shapes)
    if clear and shapes[0].area >= AREA_RATIO * shape.area:
      shapes.append(shape)
  return size, shapes

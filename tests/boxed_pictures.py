"""Black pictures with colored rectangles, whose boxes are known."""

import numpy as np
from pictures import encode

NUM_CLASSES = 3


def rectangle(box, size, channel=0):
  """uint8 [H, W, 3]: the pixels of an inclusive box at 255 in a channel."""
  xmin, ymin, xmax, ymax = box
  image = np.zeros((*size, 3), np.uint8)
  image[ymin : ymax + 1, xmin : xmax + 1, channel] = 255
  return image


def scene(number):
  """A picture, its class and its objects.

  Red is the largest object of its class, blue one of the same class in every
  other picture, green one of another class. One picture in four has no object
  of its class.

  Returns:
    uint8 [H, W, 3]; the class; a list of (class, (xmin, ymin, xmax, ymax)),
    the largest last, in pixels from 0, the last ones included.
  """
  rng = np.random.default_rng(number)
  height, width = 24 + number % 5, 27 + number % 7
  label = number % NUM_CLASSES
  kinds = [(1, (label + 1) % NUM_CLASSES, 6)]
  if number % 4 != 3:
    kinds = [(2, label, 5), *kinds] if number % 2 else kinds
    kinds.append((0, label, 11))
  image = np.zeros((height, width, 3), np.uint8)
  objects = []
  for channel, name, side in kinds:
    w, h = rng.integers(side, side + 3, 2)
    x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
    box = tuple(int(v) for v in (x, y, x + w - 1, y + h - 1))
    image |= rectangle(box, (height, width), channel)
    objects.append((name, box))
  return image, label, objects


def true_boxes(number):
  """float64 [n, 4]: those of its class, the largest first, as fractions."""
  image, label, objects = scene(number)
  height, width = image.shape[:2]
  boxes = []
  for name, (xmin, ymin, xmax, ymax) in reversed(objects):
    if name == label:
      edges = (xmin, ymin, xmax + 1, ymax + 1)
      boxes.append(np.divide(edges, (width, height, width, height)))
  return np.array(boxes)


def encoded_scene(number):
  image = scene(number)[0]
  if number % 2:
    return encode(image, "JPEG", quality=98, subsampling=0)
  return encode(image)


def edges_in_crop(box, side):
  """left, top, right, bottom in pixels of a target (cx, cy, w, h)."""
  cx, cy, w, h = np.asarray(box, np.float64) * side
  return np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) + side / 2


def bounds(mask):
  """left, top, right, bottom of the true pixels."""
  rows, columns = np.nonzero(mask)
  return np.array(
    [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
  )


def assert_bounds(channel, box):
  """The target bounds a channel's bright pixels, cut sides lie outside."""
  side = len(channel)
  edges = edges_in_crop(box, side)
  shown = np.clip(edges, 0, side)
  if (shown[2:] - shown[:2] >= 2).all():
    np.testing.assert_allclose(bounds(channel > 127), shown, atol=1)
  else:
    assert (channel > 127).sum() <= 2 * side + 2

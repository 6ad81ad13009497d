"""The pixels of a scene: background, clutter and textured shapes."""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from .outlines import arc, rotation
from .scene import DIFFICULTIES, fill, plan, random_state, tight_box

JPEG_QUALITY = 90


class Example(NamedTuple):
  """One example as the builder stores it.

  Attributes:
    jpeg: bytes, an RGB JPEG.
    size: (H, W), int pixels.
    labels: ints, one an object, the largest object's first.
    boxes: (ymin, xmin, ymax, xmax) of each object, as in scene.Shape.
  """

  jpeg: bytes
  size: tuple
  labels: tuple
  boxes: tuple


def _clouds(rng, size, cell):
  """Smooth noise with a grain of `cell` pixels: float64 [h, w] in [0, 1]."""
  grid = [max(2, round(side / cell) + 2) for side in size]
  noise = rng.randint(0, 256, grid).astype(np.uint8)
  smooth = Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC)
  return np.asarray(smooth) / 255


def _pattern(rng, size):
  """A texture of a random kind: float64 [h, w] in [0, 1]."""
  kind = rng.randint(6)
  if kind == 0:
    return np.full(size, 0.5)
  if kind == 1:
    return _clouds(rng, size, rng.uniform(4, 24))
  angle = rng.uniform(0, 2 * np.pi)
  c, s = np.cos(angle), np.sin(angle)
  y, x = np.ogrid[: size[0], : size[1]]
  u, v = c * x + s * y, c * y - s * x
  if kind == 2:  # A gradient.
    return (u - u.min()) / max(np.ptp(u), 1.0)
  wave = 2 * np.pi / rng.uniform(5, 16)
  if kind == 3:  # Stripes.
    return np.clip(0.5 + rng.uniform(0.5, 2) * np.sin(u * wave), 0, 1)
  if kind == 4:  # Checks.
    return np.clip(0.5 + 2 * np.sin(u * wave) * np.sin(v * wave), 0, 1)
  dots = np.cos(u * wave) + np.cos(v * wave) - rng.uniform(0, 1)
  return np.clip(0.5 + 2 * dots, 0, 1)


def _color(rng, brightness, near=None, reach=110.0):
  """A random color, float64 [3], 0-255.

  Args:
    rng: RandomState.
    brightness: (low, high), bounds of the mean of R, G and B, 0-255.
    near: color from which it lies at most `reach` away, or None.
    reach: Euclidean distance in RGB, 0-442.
  """
  colors = rng.uniform(0, 255, (60, 3))
  if near is not None:
    offsets = colors - near
    distances = np.sqrt((offsets**2).sum(1, keepdims=True))
    colors = near + offsets * np.minimum(1, reach / np.maximum(distances, 1e-9))
  sums = colors.sum(1)
  low, high = 3 * brightness[0], 3 * brightness[1]
  # The first that fits; if none does, the nearest.
  misses = np.maximum(np.maximum(low - sums, sums - high), 0)
  return colors[misses.argmin()]


def _paint(rng, image, mask, brightness):
  """Fills `mask` with a texture of two colors.

  Args:
    rng: RandomState.
    image: float64 [H, W, 3], 0-255, painted in place.
    mask: uint8 [H, W], coverage.
    brightness: the colors' (low, high), see _color.
  """
  if not mask.any():
    return
  y0, x0, y1, x1 = tight_box(mask > 0)
  first = _color(rng, brightness)
  second = _color(rng, brightness, near=first)
  texture = _pattern(rng, (y1 - y0, x1 - x0))[..., None]
  alpha = mask[y0:y1, x0:x1, None] / 255
  window = image[y0:y1, x0:x1]
  window += alpha * (first + texture * (second - first) - window)


def _blob(rng, radius, center, size):
  """An irregular closed blob, of no class: a mask, uint8 [H, W]."""
  angles = np.linspace(0, 2 * np.pi, 49)[:-1]
  r = np.ones(48)
  for k in range(2, 7):
    phase = rng.uniform(0, 2 * np.pi)
    r += rng.uniform(0.1, 0.5) / k * 1.4 * np.cos(k * angles + phase)
  points = arc(0, 2 * np.pi, 49)[:-1] * np.maximum(r, 0.2)[:, None]
  return fill([points * radius + center], size)


def _squiggle(rng, length, center, size):
  """A crooked stroke, of no class: a mask, uint8 [H, W]."""
  turns = rng.uniform(-1.3, 1.3, rng.randint(1, 6)).cumsum()
  turns += rng.uniform(0, 2 * np.pi)
  steps = [np.array([length, 0.0]) @ rotation(turn) for turn in turns]
  points = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)]) + center
  # Drawn at twice the resolution.
  canvas = Image.new("L", (size[1] * 2, size[0] * 2))
  points = [tuple(p) for p in np.rint(2 * points).astype(int).tolist()]
  width = int(rng.randint(2, 9))
  ImageDraw.Draw(canvas).line(points, fill=255, width=width, joint="curve")
  return np.asarray(canvas.reduce(2))


def _background(rng, size, dark, light, difficulty):
  """Texture and clutter, as light as the shapes: float64 [H, W, 3], 0-255."""
  first = _color(rng, dark)
  second = _color(rng, dark, near=first)
  blend = 0.6 * _clouds(rng, size, rng.uniform(8, 60))
  blend += 0.4 * _pattern(rng, size)
  image = first + blend[..., None] * (second - first)
  short = min(size)
  for _ in range(rng.randint(2, difficulty.blobs + 1)):
    center = rng.uniform(0, 1, 2) * size[::-1]
    radius = short * rng.uniform(0.04, 0.13)
    _paint(rng, image, _blob(rng, radius, center, size), light)
  for _ in range(rng.randint(2, difficulty.squiggles + 1)):
    center = rng.uniform(0, 1, 2) * size[::-1]
    length = short * rng.uniform(0.06, 0.25)
    _paint(rng, image, _squiggle(rng, length, center, size), light)
  return image


def draw(seed, split, index, difficulty="hard"):
  """One image and its objects.

  Args:
    seed, split, index, difficulty: see scene.plan.

  Returns:
    (image, shapes): uint8 [H, W, 3] RGB, and scene.plan's Shapes.
  """
  size, shapes = plan(seed, split, index, difficulty)
  rng = random_state(seed, split, index, 1)
  # Shapes are lighter than the ground. With either sign of contrast, a plain
  # net without normalization stayed at chance for more than five epochs.
  middle = rng.uniform(90, 165)
  hardness = DIFFICULTIES[difficulty]
  half = rng.uniform(*hardness.contrast) / 2
  dark, light = (0, middle - half), (middle + half, 255)
  image = _background(rng, size, dark, light, hardness)
  for shape in shapes:
    _paint(rng, image, shape.mask, light)
  grain = rng.uniform(1, 14)
  image += grain * (rng.uniform(size=image.shape) * 2 - 1)
  return np.clip(np.rint(image), 0, 255).astype(np.uint8), shapes


def draw_example(seed, split, index, difficulty="hard"):
  """The same image as an Example."""
  image, shapes = draw(seed, split, index, difficulty)
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
  return Example(
    jpeg=buffer.getvalue(),
    size=image.shape[:2],
    labels=tuple(s.label for s in shapes),
    boxes=tuple(s.box for s in shapes),
  )

"""Pictures for the tests, and an independent way to rescale them."""

import io

import numpy as np
from PIL import Image


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
  """uint8 [H, W, 3]: waves and noise, so that every pixel matters."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:height, :width]
  waves = [
    np.sin(y * f + phase) + np.cos(x * g)
    for f, g, phase in rng.uniform(0.05, 0.9, (3, 3))
  ]
  noisy = 128 + 45 * np.stack(waves, -1) + rng.normal(0, 12, (height, width, 3))
  return np.clip(noisy, 0, 255).astype(np.uint8)


def encode(image: np.ndarray, kind: str = "PNG", mode: str = "", **options):
  """The bytes of an image file; `mode` is Pillow's."""
  file = io.BytesIO()
  pillow = Image.fromarray(image)
  (pillow.convert(mode) if mode else pillow).save(file, kind, **options)
  return file.getvalue()


def triangle_weights(size: int, rescaled: int) -> np.ndarray:
  """float64 [rescaled, size]: antialiased bilinear, half-pixel centers."""
  scale = size / rescaled
  centers = (np.arange(rescaled)[:, None] + 0.5) * scale
  distances = np.abs(np.arange(size) + 0.5 - centers) / max(scale, 1.0)
  weights = np.maximum(0.0, 1.0 - distances)
  return weights / weights.sum(1, keepdims=True)


def reference_rescale(image: np.ndarray, height: int, width: int):
  """float64 [height, width, 3], by two products with dense matrices."""
  rows = triangle_weights(image.shape[0], height)
  columns = triangle_weights(image.shape[1], width)
  tall = np.tensordot(rows, image.astype(float), 1)
  return np.einsum("iwc,jw->ijc", tall, columns, optimize=True)

"""Images for the GPU benchmark: a folder's, or noise in ImageNet's shapes."""

import collections
import itertools
from pathlib import Path

import numpy as np

from benchmarks._gpu_bench import Bench
from experiments.imagenet_shapes import common_shapes
from vggjax import geometry
from vggjax import images as image_files
from vggjax.evaluate.multicrop import GRID

SUFFIXES = ".jpeg", ".jpg", ".png"
# Torch's, of images of one shape.
BATCH = 32


def rescaled_images(bench: Bench, scale: int, number: int) -> list[np.ndarray]:
  """Images uint8 [h, w, 3] of smallest side Q: a folder's, or noise in the
  shapes of ImageNet's.
  """
  if bench.images:
    return [
      image_files.rescale(image_files.decode(path), scale)
      for path in image_paths(bench.images)[:number]
    ]
  random = np.random.default_rng(0)
  return [
    random.integers(
      0, 256, (*geometry.rescaled_size(*shape, scale), 3), np.uint8
    )
    for shape in common_shapes(number)
  ]


def image_paths(folder: str) -> list[Path]:
  """The image files below a folder, by name."""
  return sorted(
    path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES
  )


def batches_by_shape(
  images: list[np.ndarray],
) -> tuple[list[int], list[np.ndarray]]:
  """The images' indices in their new order, and batches of equal shapes."""
  groups = collections.defaultdict(list)
  for index, image in enumerate(images):
    groups[image.shape].append(index)
  parts = [
    group[begin : begin + BATCH]
    for group in groups.values()
    for begin in range(0, len(group), BATCH)
  ]
  batches = [np.stack([images[i] for i in part]) for part in parts]
  return list(itertools.chain.from_iterable(parts)), batches


def cut_grid(image: np.ndarray, side: int) -> np.ndarray:
  """The regular grid of crops of an image, uint8 [25, side, side, 3]."""
  tops, lefts = (
    [geometry.grid_offset(i, GRID, outer, side) for i in range(GRID)]
    for outer in image.shape[:2]
  )
  return np.stack(
    [
      image[top : top + side, left : left + side]
      for top, left in itertools.product(tops, lefts)
    ]
  )

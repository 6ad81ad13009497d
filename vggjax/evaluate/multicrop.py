"""Evaluation of a regular grid of crops at several scales (Sect. 3.2)."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vggjax import geometry
from vggjax.errors import InputError
from vggjax.evaluate.buckets import Buckets, pad_long_side
from vggjax.evaluate.dense import (
  check_has_scores,
  check_mean,
  mean_over_scales,
  mirrored,
)
from vggjax.evaluate.first_block import pool1_of_crops, windows
from vggjax.models.vgg import VGG

GRID = 5


def multicrop_posteriors(
  model: VGG,
  params: dict,
  images: Sequence[np.ndarray | str | Path],
  test_scales: int | Sequence[int],
  *,
  mean: Sequence[float],
  mirror: bool = True,
  grid: int = GRID,
  batch_size: int | None = None,
  progress: bool = False,
) -> np.ndarray:
  """Class posteriors averaged over a grid of crops (Sect. 3.2).

  The paper's 5 x 5 crops and their mirror images are 50 a scale, 150 over
  three scales.

  Args:
    model: a network.
    params: its parameters.
    images: uint8 arrays [H, W, 3] RGB of any sizes, or paths of image files.
    test_scales: Q in pixels, one or several; each at least the crop size.
    mean: RGB, 0-255, what training subtracted.
    mirror: whether the crops' mirror images count too.
    grid: crops along each side; 1: the central crop.
    batch_size: images computed at once; None: as many as suit their crops.
    progress: whether to show a bar.

  Returns:
    float32 [N, K], averaged over crops, mirror images and scales.

  Raises:
    InputError: on an image that cannot be read or a value outside its range.
  """
  buckets = multicrop_buckets(
    model,
    params,
    mean=mean,
    mirror=mirror,
    grid=grid,
    batch_size=batch_size or 0,
  )
  return mean_over_scales(buckets, model, images, test_scales, progress)


def multicrop_buckets(
  model: VGG,
  params: dict,
  *,
  mean: Sequence[float],
  mirror: bool = True,
  grid: int = GRID,
  **options: Any,
) -> Buckets:
  """What computes multi-crop posteriors [K] of images, see `Buckets.map`.

  Args:
    model: a network.
    params: its parameters.
    mean: RGB, 0-255.
    mirror: see `multicrop_posteriors`.
    grid: see `multicrop_posteriors`.
    **options: batch_size, devices and precision of `Buckets`.

  Raises:
    InputError: on a value outside its range.
  """
  check_has_scores(model)
  if grid < 1:
    raise InputError(f"grid is {grid}; it must be at least 1")
  mean = tuple(check_mean(mean).tolist())
  compute = _posteriors(model, mean, mirror, grid)
  num_crops = grid**2

  def pixels(_):
    return num_crops * model.crop_size**2

  canvas = square_canvas if grid == 1 else halves_canvas
  return Buckets(compute, params, padded_shape=canvas, pixels=pixels, **options)


# Cached, so that networks alike share compiled programs.
@functools.lru_cache(maxsize=32)
def _posteriors(
  model: VGG, mean: tuple[float, ...], mirror: bool, grid: int
) -> Callable:
  def posteriors(params, batch):
    return batch_posteriors(
      model, params, batch, mean=np.float32(mean), mirror=mirror, grid=grid
    )

  return posteriors


def square_canvas(shape: tuple[int, int]) -> tuple[int, int]:
  """Q times a power of two, squared: the padding costs no computation here."""
  side = min(shape)
  while side < max(shape):
    side *= 2
  return side, side


def halves_canvas(shape: tuple[int, int]) -> tuple[int, int]:
  """The long side padded to a multiple of Q / 2: few programs, all the same.

  Padding costs no more here than the first block.
  """
  return pad_long_side(shape, granule=min(shape) // 2)


def batch_posteriors(
  model: VGG,
  params: dict,
  batch: dict[str, jax.Array],
  *,
  mean: Any,
  mirror: bool,
  grid: int,
) -> jax.Array:
  """Posteriors of a padded batch of images, averaged over their crops.

  Args:
    model: a network.
    params: its parameters.
    batch: image: uint8 [n, H, W, 3], padded at the bottom and the right;
      sizes: int32 [n, 2], the valid height and width.
    mean: float [3].
    mirror: whether the crops' mirror images count too.
    grid: crops along each side.

  Returns:
    float32 [n, K].
  """
  image, sizes = batch["image"], batch["sizes"]
  tops, lefts = crop_places(sizes, model.crop_size, grid)
  if mirror:
    image = jnp.concatenate([image, mirrored(image, sizes)])
    tops = jnp.concatenate([tops, tops])
    lefts = jnp.concatenate([lefts, sizes[:, 1:] - model.crop_size - lefts])
  x = image.astype(model.param_dtype) - mean
  # A single crop shares nothing.
  pool1 = pool1_of_crops(model, params, x) if grid > 1 else None

  def row_posteriors(tops):
    crops = windows(x, tops, lefts, model.crop_size)
    if pool1:
      start, after = pool1(crops, tops, lefts), "pool1"
    else:
      start, after = crops[:, 0], ""
    scores, _ = model.apply({"params": params}, start, after=after)
    found = jax.nn.softmax(scores[:, 0, 0])
    return found.reshape(*crops.shape[:2], -1).mean(axis=1)

  # A row of the grid at a time: on CPUs more crops at once take longer each.
  posteriors = jax.lax.map(row_posteriors, tops.T).mean(axis=0)
  if mirror:
    posteriors = posteriors.reshape(2, -1, posteriors.shape[1]).mean(axis=0)
  return posteriors.astype(jnp.float32)


def crop_places(
  sizes: jax.Array, crop_size: int, grid: int
) -> tuple[jax.Array, jax.Array]:
  """The tops and lefts of a regular grid of crops (Sect. 3.2).

  Args:
    sizes: int32 [n, 2], height and width, at least crop_size.
    crop_size: pixels.
    grid: crops along each side.

  Returns:
    int32 [n, grid] twice.
  """
  steps = jnp.arange(grid)
  tops, lefts = (
    geometry.grid_offset(steps, grid, sizes[:, axis, None], crop_size)
    for axis in range(2)
  )
  return tops, lefts


def cut_crops(
  image: jax.Array, sizes: jax.Array, crop_size: int, grid: int
) -> jax.Array:
  """A regular grid of crops of each image, row by row (Sect. 3.2).

  Args:
    image: [n, H, W, 3].
    sizes: int32 [n, 2], the valid height and width, at least crop_size.
    crop_size: pixels.
    grid: crops along each side.

  Returns:
    [n, grid * grid, crop_size, crop_size, 3].
  """
  tops, lefts = crop_places(sizes, crop_size, grid)
  rows = [windows(image, top, lefts, crop_size) for top in tops.T]
  return jnp.concatenate(rows, axis=1)

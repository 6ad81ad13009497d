"""Boxes at every position of an image, and the best for each class (App. A.1).

Positions are in the same order for all networks of a crop size, so that those
of a localization network are rated by a classification network's posteriors.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vggjax import geometry
from vggjax.evaluate.buckets import Buckets, Shape
from vggjax.evaluate.dense import (
  check_has_scores,
  check_mean,
  mirrored,
  pad_whole_images,
)
from vggjax.evaluate.multicrop import cut_crops, square_canvas
from vggjax.localize.head import class_outputs
from vggjax.localize.merge import greedy_merge
from vggjax.models.vgg import VGG


def dense_boxes(
  model: VGG, params: dict, *, regression: str, **options: Any
) -> Buckets:
  """What computes the boxes [P, k, 4] of k classes at every position.

  `Buckets.map` takes the extra entry "classes", int32 [N, k]. The boxes are
  edges, in fractions of the image's width and height.

  Args:
    model: a localization network.
    params: its parameters.
    regression: "scr" or "pcr".
    **options: mean and mirror as of `dense.dense_buckets`; batch_size, devices
      and precision of `Buckets`. With mirror the boxes of the mirror image,
      mirrored back, follow those of each position.

  Raises:
    InputError: on a value outside its range.
  """
  stride = geometry.position_stride(model.pool5_offsets)

  def boxes(scores, sizes, classes):
    outputs = class_outputs(scores, classes, regression)
    tops, lefts = (stride * jnp.arange(side) for side in scores.shape[1:3])
    offset = jnp.stack(jnp.meshgrid(lefts, tops), axis=-1)
    found = geometry.decode_boxes(
      outputs, model.crop_size, offset[None, :, :, None]
    )
    return _fractions(found, sizes)

  def flip(found):
    left, top, right, bottom = jnp.moveaxis(found, -1, 0)
    return jnp.stack([1 - right, top, 1 - left, bottom], axis=-1)

  return _position_buckets(boxes, flip, model, params, **options)


def dense_ratings(model: VGG, params: dict, **options: Any) -> Buckets:
  """What computes the posteriors [P, k] of k classes at every position.

  Args:
    model: a classification network.
    params: its parameters.
    **options: see `dense_boxes`.

  Raises:
    InputError: on a value outside its range.
  """
  check_has_scores(model)

  def ratings(scores, sizes, classes):
    posteriors = jax.nn.softmax(scores)
    return jnp.take_along_axis(posteriors, classes[:, None, None], axis=3)

  return _position_buckets(ratings, lambda x: x, model, params, **options)


def _position_buckets(
  function: Callable,
  flip: Callable,
  model: VGG,
  params: dict,
  *,
  mean: Sequence[float],
  mirror: bool,
  **options: Any,
) -> Buckets:
  mean = check_mean(mean)

  def compute(params, batch):
    image, sizes = batch["image"], batch["sizes"]
    views = [image, mirrored(image, sizes)] if mirror else [image]
    found = []
    for view in views:
      x = view.astype(model.param_dtype) - mean
      scores, _ = model.apply({"params": params}, x, sizes)
      found.append(function(scores, sizes, batch["classes"]))
    found[1:] = map(flip, found[1:])
    return jnp.stack(found, axis=3).astype(jnp.float32)

  def trim(row: np.ndarray, shape: Shape) -> np.ndarray:
    rows, columns = (model.score_map_sides(side) for side in shape)
    return row[:rows, :columns].reshape(-1, *row.shape[3:])

  pad = pad_whole_images(model)
  return Buckets(compute, params, padded_shape=pad, trim=trim, **options)


def center_boxes(
  model: VGG,
  params: dict,
  *,
  mean: Sequence[float],
  regression: str,
  **options: Any,
) -> Buckets:
  """What computes the boxes [1, k, 4] seen in the central crop (App. A.1).

  Args:
    model: a localization network.
    params: its parameters.
    mean: RGB, 0-255.
    regression: "scr" or "pcr".
    **options: see `dense_boxes`.
  """
  mean = check_mean(mean)

  def compute(params, batch):
    sizes = batch["sizes"]
    crops = cut_crops(batch["image"], sizes, model.crop_size, 1)[:, 0]
    x = crops.astype(model.param_dtype) - mean
    scores, _ = model.apply({"params": params}, x)
    outputs = class_outputs(scores[:, :1, :1], batch["classes"], regression)
    offset = geometry.grid_offset(0, 1, sizes[:, ::-1], model.crop_size)
    found = geometry.decode_boxes(
      outputs, model.crop_size, offset[:, None, None, None]
    )
    return _fractions(found, sizes)[:, 0].astype(jnp.float32)

  def pixels(_):
    return model.crop_size**2

  return Buckets(
    compute, params, padded_shape=square_canvas, pixels=pixels, **options
  )


def _fractions(boxes: jax.Array, sizes: jax.Array) -> jax.Array:
  """Boxes [n, h, w, k, 4] in pixels as fractions of images of `sizes`."""
  sides = jnp.tile(sizes[:, ::-1], 2)
  return boxes / sides[:, None, None, None].astype(boxes.dtype)


def best_boxes(
  boxes: np.ndarray, ratings: np.ndarray, size: Shape, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
  """The box of each class in one image, after merging (App. A.1).

  Args:
    boxes: float [P, k, 4], of all networks, scales and positions, fractions of
      the image.
    ratings: float [P, k], the classes' posteriors there.
    size: height and width of the image, in any unit.
    threshold: of `greedy_merge`.

  Returns:
    Float [k, 4], clipped to the image, and their confidences [k]: the sum of
    the ratings at the positions that a box was merged from.
  """
  found, confidences = [], []
  unit = np.array([size[1], size[0]] * 2, float)
  for k in range(boxes.shape[1]):
    merged, sums = greedy_merge(boxes[:, k] * unit, ratings[:, k], threshold)
    best = sums.argmax()
    found.append(merged[best] / unit)
    confidences.append(sums[best])
  return np.clip(found, 0, 1), np.array(confidences)

"""Image descriptors from any layer, at one or several scales (App. B)."""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vggjax import geometry
from vggjax.errors import InputError
from vggjax.evaluate.buckets import Buckets
from vggjax.evaluate.dense import (
  scales_of,
  values_at_scales,
  whole_image_buckets,
)
from vggjax.models import vgg

AGGREGATES = ("average", "max", "stack")
# What of an image is described: all of it, or the box that comes with it.
REGIONS = ("image", "box")


def extract_features(
  model: vgg.VGG,
  params: dict,
  images: Sequence[np.ndarray | str | Path],
  test_scales: int | Sequence[int],
  *,
  mean: Sequence[float],
  layer: str = "fc7",
  aggregate: str = "average",
  mirror: bool = True,
  boxes: Sequence[Sequence[float]] | None = None,
  batch_size: int | None = None,
  progress: bool = False,
) -> np.ndarray:
  """L2-normalized descriptors of images, or of a box of each (App. B).

  The layer's map is averaged over its positions and over the image and its
  mirror image, at each scale; then the scales are aggregated.

  Args:
    model: a network.
    params: its parameters.
    images: uint8 arrays [H, W, 3] RGB of any sizes, or paths of image files.
    test_scales: Q in pixels, one or several; each at least the crop size (for
      layers before fc6: at least 32).
    mean: RGB, 0-255, what training subtracted.
    layer: its name, "conv1_1" ... "pool5", "fc6" or "fc7".
    aggregate: "average" or "max" over the scales; "stack": each scale's
      descriptor is normalized, and so is their concatenation.
    mirror: whether the mirror image counts too.
    boxes: of each image, its edges left, top, right, bottom in pixels: what
      the box covers is taken for the image; None: all of it.
    batch_size: images computed at once; None: as many as suit their size.
    progress: whether to show a bar.

  Returns:
    float32 [N, F], F the layer's channels (times the scales for "stack").

  Raises:
    InputError: on an image that cannot be read or a value outside its range.
  """
  buckets = feature_buckets(
    model,
    params,
    mean=mean,
    layer=layer,
    mirror=mirror,
    batch_size=batch_size or 0,
  )
  check_aggregate(aggregate)
  scales = scales_of(test_scales, smallest_scale(model, layer))
  values = values_at_scales(buckets, images, scales, progress, boxes)
  return aggregate_scales(values, aggregate)


def check_aggregate(aggregate: str) -> None:
  """Raises InputError unless it is one of AGGREGATES."""
  if aggregate not in AGGREGATES:
    raise InputError(
      f"aggregate {aggregate!r} is not one of {', '.join(AGGREGATES)}"
    )


def smallest_scale(model: vgg.VGG, layer: str) -> int:
  """The least Q at which a layer has a position."""
  return model.crop_size if layer in vgg.FC_LAYERS else 32


def aggregate_scales(
  values: Sequence[np.ndarray], aggregate: str
) -> np.ndarray:
  """Combines the scales' descriptors, each [N, C]; see `extract_features`."""
  check_aggregate(aggregate)
  if aggregate == "stack":
    return stack(values)
  combine = np.max if aggregate == "max" else np.mean
  return normalize(combine(values, axis=0))


def stack(values: Sequence[np.ndarray]) -> np.ndarray:
  """Stacks descriptors [N, ...], normalized before and after (App. B)."""
  return normalize(np.concatenate([normalize(v) for v in values], axis=1))


def normalize(features: np.ndarray) -> np.ndarray:
  """Divides each row by its L2 norm; rows of zeros stay."""
  norms = np.linalg.norm(features, axis=1, keepdims=True)
  return (features / np.where(norms > 0, norms, 1)).astype(np.float32)


def feature_buckets(
  model: vgg.VGG,
  params: dict,
  *,
  mean: Sequence[float],
  layer: str = "fc7",
  mirror: bool = True,
  **options: Any,
) -> Buckets:
  """What computes descriptors [C] of images, see `Buckets.map`.

  Args:
    model: a network.
    params: its parameters.
    mean: RGB, 0-255.
    layer: see `extract_features`.
    mirror: likewise.
    **options: batch_size, devices and precision of `Buckets`.

  Raises:
    InputError: on a value outside its range.
  """
  names = layer_names(model)
  if layer not in names:
    raise InputError(f"layer {layer!r} is not one of {', '.join(names)}")

  return whole_image_buckets(
    _features(model, layer), model, params, mean=mean, mirror=mirror, **options
  )


# Cached, so that networks alike share compiled programs.
@functools.lru_cache(maxsize=32)
def _features(model: vgg.VGG, layer: str) -> Callable:
  def features(params, x, sizes):
    _, layers = model.apply({"params": params}, x, sizes)
    positions = jnp.prod(map_sizes(model, layer, sizes), axis=1, keepdims=True)
    # Outside its valid positions a map is zero.
    return layers[layer].astype(jnp.float32).sum(axis=(1, 2)) / positions

  return features


def layer_names(model: vgg.VGG) -> tuple[str, ...]:
  """The layers that have features, in their order."""
  names = tuple(layer.name for layer in vgg.block_layers(model.network))
  return names + (vgg.FC_LAYERS[:2] if model.num_outputs else ())


def map_sizes(model: vgg.VGG, layer: str, sizes: jax.Array) -> jax.Array:
  """The valid height and width of a layer's map, int32 [n, 2]."""
  if layer in vgg.FC_LAYERS:
    return model.score_map_sides(sizes)
  kind, block = re.fullmatch(r"([a-z]+)(\d)(?:_\d)?", layer).groups()
  num_pools = int(block) - (kind != "pool")
  return geometry.pooled_size(sizes, model.pool, num_pools=num_pools)

"""Dense evaluation over whole images at several scales (Sect. 3.2)."""

import functools
import numbers
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vggjax import images
from vggjax.errors import InputError
from vggjax.evaluate.buckets import Buckets, pad_long_side
from vggjax.evaluate.rows import Rows
from vggjax.models.vgg import VGG

SPATIAL = ("scores", "posteriors", "sum")


def dense_posteriors(
  model: VGG,
  params: dict,
  images: Sequence[np.ndarray | str | Path],
  test_scales: int | Sequence[int],
  *,
  mean: Sequence[float],
  mirror: bool = True,
  spatial: str = "scores",
  batch_size: int | None = None,
  progress: bool = False,
) -> np.ndarray:
  """Class posteriors by dense evaluation over whole images (Sect. 3.2).

  Args:
    model: a network.
    params: its parameters.
    images: uint8 arrays [H, W, 3] RGB of any sizes, or paths of image files.
    test_scales: Q in pixels, one or several; each at least the crop size.
    mean: RGB, 0-255, what training subtracted.
    mirror: whether to average with the mirror image's posteriors.
    spatial: "scores": soft-max of the average of the score map; "posteriors":
      average of the soft-max at each position; "sum": soft-max of the sum.
    batch_size: images computed at once; None: as many as suit their size.
    progress: whether to show a bar.

  Returns:
    float32 [N, K], averaged over the scales.

  Raises:
    InputError: on an image that cannot be read or a value outside its range.
  """
  buckets = dense_buckets(
    model,
    params,
    mean=mean,
    mirror=mirror,
    spatial=spatial,
    batch_size=batch_size or 0,
  )
  return mean_over_scales(buckets, model, images, test_scales, progress)


def mean_over_scales(
  buckets: Buckets,
  model: VGG,
  images: Sequence[np.ndarray | str | Path],
  test_scales: int | Sequence[int],
  progress: bool,
) -> np.ndarray:
  """What `buckets` computes for each image, averaged over the scales."""
  scales = scales_of(test_scales, model.crop_size)
  return np.mean(values_at_scales(buckets, images, scales, progress), axis=0)


def scales_of(test_scales: int | Sequence[int], smallest: int) -> Sequence[int]:
  """The scales as a sequence; raises InputError where one is too small."""
  scales = test_scales
  if isinstance(scales, numbers.Integral):
    scales = (scales,)
  check_test_scales(scales, smallest)
  return scales


def values_at_scales(
  buckets: Buckets,
  images: Sequence[np.ndarray | str | Path],
  test_scales: Sequence[int],
  progress: bool,
  boxes: Sequence[Sequence[float]] | None = None,
) -> list[np.ndarray]:
  """What `buckets` computes for each image, or its box, an array a scale."""
  if not len(images):
    raise InputError("images is empty; give at least one")
  if boxes is not None and len(boxes) != len(images):
    raise InputError(f"{len(images)} images and {len(boxes)} boxes")
  rows = [Rows(len(images)) for _ in test_scales]
  buckets.map(rescaled(images, test_scales, boxes), rows, progress=progress)
  return [row.values() for row in rows]


def rescaled(
  sources: Iterable[np.ndarray | str | Path],
  test_scales: Sequence[int],
  boxes: Sequence[Sequence[float]] | None = None,
) -> Iterator[tuple[int, list[np.ndarray]]]:
  """Yields each image's index and its uint8 rescalings, decoded once.

  With boxes, edges in pixels, the images are first cut to them.
  """
  for index, source in enumerate(sources):
    image = source
    if not isinstance(source, np.ndarray):
      image = images.decode(source)
    elif (
      source.dtype != np.uint8 or source.shape[2:] != (3,) or not source.size
    ):
      raise InputError(
        f"image {index} is {source.dtype} {list(source.shape)}; it must be "
        "uint8 [H, W, 3]"
      )
    if boxes is not None:
      image = images.cut(image, boxes[index], f"image {index}")
    yield index, [images.rescale(image, q) for q in test_scales]


def dense_buckets(
  model: VGG,
  params: dict,
  *,
  mean: Sequence[float],
  mirror: bool = True,
  spatial: str = "scores",
  **options: Any,
) -> Buckets:
  """What computes posteriors [K] of images, see `Buckets.map`.

  Args:
    model: a network.
    params: its parameters.
    mean: RGB, 0-255.
    mirror: see `dense_posteriors`.
    spatial: see `dense_posteriors`.
    **options: batch_size, devices and precision of `Buckets`.

  Raises:
    InputError: on a value outside its range.
  """
  check_has_scores(model)
  if spatial not in SPATIAL:
    raise InputError(f"spatial {spatial!r} is not one of {', '.join(SPATIAL)}")

  return whole_image_buckets(
    _posteriors(model, spatial),
    model,
    params,
    mean=mean,
    mirror=mirror,
    **options,
  )


# Cached, as are those below, so that networks alike share compiled programs.
@functools.lru_cache(maxsize=32)
def _posteriors(model: VGG, spatial: str) -> Callable:
  def posteriors(params, x, sizes):
    scores, _ = model.apply({"params": params}, x, sizes)
    return pool_scores(scores, model.score_map_sides(sizes), spatial)

  return posteriors


def whole_image_buckets(
  function: Callable,
  model: VGG,
  params: dict,
  *,
  mean: Sequence[float],
  mirror: bool,
  **options: Any,
) -> Buckets:
  """What computes a vector [C] of whole images, see `Buckets.map`.

  Args:
    function: of the parameters, images float [n, H, W, 3] minus the mean,
      padded at the bottom and the right, and their valid sizes int32 [n, 2],
      to an array [n, C]. The same object is compiled once.
    model: a network.
    params: its parameters.
    mean: RGB, 0-255.
    mirror: whether to average with the mirror image's.
    **options: batch_size, devices and precision of `Buckets`.

  Raises:
    InputError: on a value outside its range.
  """
  mean = tuple(check_mean(mean).tolist())
  compute = _of_whole_images(function, model, mean, mirror)
  pad = pad_whole_images(model)
  return Buckets(compute, params, padded_shape=pad, **options)


@functools.lru_cache(maxsize=32)
def _of_whole_images(
  function: Callable, model: VGG, mean: tuple[float, ...], mirror: bool
) -> Callable:
  def compute(params, batch):
    image, sizes = batch["image"], batch["sizes"]
    if mirror:
      image = jnp.concatenate([image, mirrored(image, sizes)])
      sizes = jnp.concatenate([sizes, sizes])
    x = image.astype(model.param_dtype) - np.float32(mean)
    result = function(params, x, sizes)
    if mirror:
      result = (result[: len(result) // 2] + result[len(result) // 2 :]) / 2
    return result.astype(jnp.float32)

  return compute


def pad_whole_images(model: VGG) -> Callable:
  """The padded shapes of whole images, see `Buckets`."""
  # Of the usual 4:3 and 3:2 at Q = 256, 32 pixels waste 3 % and 0.
  granule = min(32, model.crop_size // 4)
  return functools.partial(pad_long_side, granule=granule)


def check_has_scores(model: VGG) -> None:
  """Raises InputError if a network has no FC layers, and so no scores."""
  if not model.num_outputs:
    raise InputError(
      "these weights have no FC layers, and so give no scores; they give "
      "features only"
    )


def check_mean(mean: Sequence[float]) -> np.ndarray:
  """The mean as float32 [3]; raises InputError unless it has 3 numbers."""
  mean = np.asarray(mean, np.float32)
  if mean.shape != (3,):
    raise InputError(f"mean must be 3 numbers, R, G, B; got {mean.tolist()}")
  return mean


def check_test_scales(test_scales: Sequence[int], smallest: int) -> None:
  """Raises InputError unless each Q is at least the smallest that works."""
  is_whole = all(isinstance(q, numbers.Integral) for q in test_scales)
  if not len(test_scales) or not is_whole or min(test_scales) < smallest:
    raise InputError(
      f"test_scales is {tuple(test_scales)}; it must hold one or more whole "
      f"numbers of at least {smallest} pixels, which give one position"
    )


def posterior_map(
  model: VGG, params: dict, image: np.ndarray, *, mean: Sequence[float]
) -> np.ndarray:
  """The soft-max at each position of one image's score map (Sect. 3.2).

  Args:
    model: a network.
    params: its parameters.
    image: uint8 [H, W, 3], already rescaled.
    mean: RGB, 0-255.

  Returns:
    float [h, w, K].
  """
  x = np.asarray(image, np.float32) - np.asarray(mean, np.float32)
  scores, _ = model.apply({"params": params}, x[None])
  return np.asarray(jax.nn.softmax(scores[0]))


def mirrored(image: jax.Array, sizes: jax.Array) -> jax.Array:
  """Each image flipped from left to right within its valid width."""
  columns = sizes[:, 1:] - 1 - jnp.arange(image.shape[2])
  columns = jnp.maximum(columns, 0)[:, None, :, None]
  return jnp.take_along_axis(image, columns, axis=2)


def pool_scores(scores: jax.Array, sizes: jax.Array, spatial: str) -> jax.Array:
  """Posteriors [n, K] from score maps [n, h, w, K], zero outside `sizes`."""
  positions = jnp.prod(sizes, axis=1, keepdims=True)
  if spatial == "posteriors":
    rows = jnp.arange(scores.shape[1]) < sizes[:, :1]
    columns = jnp.arange(scores.shape[2]) < sizes[:, 1:]
    inside = rows[:, :, None] & columns[:, None, :]
    values = jax.nn.softmax(scores) * inside[..., None]
    return values.sum(axis=(1, 2)) / positions
  total = scores.sum(axis=(1, 2))
  return jax.nn.softmax(total if spatial == "sum" else total / positions)

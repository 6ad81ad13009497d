"""Mean RGB and RGB covariance of the training pixels (Sect. 3.1)."""

import dataclasses
import os

import numpy as np
import tensorflow as tf
import tqdm

from vggjax import distributed
from vggjax.data import preprocess
from vggjax.data.cache import cache_path, first_found, read_json, write_json
from vggjax.data.iterating import elements
from vggjax.data.preprocess import ColorShift
from vggjax.data.reading import (
  name_unreadable,
  own_share,
  parallel_map,
  select,
)
from vggjax.data.records import Record, Source
from vggjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Statistics:
  """What training needs to know of the pixels of its images.

  Attributes:
    mean: [3], RGB in 0-255, over all pixels.
    eigenvalues: [3], descending, of the 3x3 covariance of the RGB values in
      [0, 1] over all pixels.
    eigenvectors: [3, 3], in columns; rows R, G, B.
    num_images: how many images; 0 when not known.
    num_pixels: how many pixels; 0 when not known.
  """

  mean: tuple[float, ...]
  eigenvalues: tuple[float, ...]
  eigenvectors: tuple[tuple[float, ...], ...]
  num_images: int = 0
  num_pixels: int = 0

  def to_json(self) -> dict:
    """A dict of numbers and lists."""
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, content: dict) -> "Statistics":
    """The inverse of `to_json`, also after a pass through JSON.

    Raises:
      InputError: if the content is something else.
    """
    try:
      statistics = cls(
        tuple(map(float, content["mean"])),
        tuple(map(float, content["eigenvalues"])),
        tuple(tuple(map(float, row)) for row in content["eigenvectors"]),
        int(content["num_images"]),
        int(content["num_pixels"]),
      )
    except (KeyError, TypeError, ValueError) as error:
      raise InputError(f"not the statistics of a data set: {error}") from error
    shapes = [
      np.shape(value)
      for value in (
        statistics.mean,
        statistics.eigenvalues,
        statistics.eigenvectors,
      )
    ]
    if shapes != [(3,), (3,), (3, 3)]:
      raise InputError(f"not the statistics of a data set: shapes {shapes}")
    return statistics

  def color_shift(
    self, std: float = 0.1, scaling: str = "eigenvalues"
  ) -> ColorShift:
    """The RGB color shift with these eigenvalues and eigenvectors."""
    return ColorShift(self.eigenvalues, self.eigenvectors, std, scaling)


IMAGENET = Statistics(
  mean=(123.68, 116.779, 103.939),
  eigenvalues=(0.2175, 0.0188, 0.0045),
  eigenvectors=(
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
  ),
)


def compute_statistics(
  source: Source,
  cache_dir: str | os.PathLike | None = None,
  progress: bool = False,
) -> Statistics:
  """The statistics of a source, usually the training split (Sect. 3.1).

  One pass decodes all images at their own size, each process its share; the
  result is cached by the source's fingerprint. Of ImageNet, the published
  figures, without a pass.

  Args:
    source: of N images.
    cache_dir: None: as in `cache.cache_path`.
    progress: whether to show a bar.

  Raises:
    InputError: if an image cannot be decoded.
  """
  if source.is_imagenet:
    return IMAGENET
  path = cache_path("statistics", source.fingerprint, cache_dir)
  content = first_found(read_json(path))
  if content is not None:
    return Statistics.from_json(content)
  number, total, outer = _sum_pixels(source, progress)
  # JSON keeps every digit, and the sums are exact: any number of processes
  # finds the same.
  shares = distributed.gather([number, total.tolist(), outer.tolist()])
  number, total, outer = (
    np.sum(parts, axis=0) for parts in zip(*shares, strict=True)
  )
  statistics = _of_sums(source.num_examples, int(number), total, outer)
  if distributed.is_chief():
    write_json(path, statistics.to_json())
  return statistics


def _sum_pixels(
  source: Source, progress: bool
) -> tuple[int, np.ndarray, np.ndarray]:
  """Pixels of this process's images: how many, the sum [3] and the sum of the
  outer products [3, 3].
  """

  def sums(record: Record):
    pixels = tf.reshape(preprocess.decode(record["bytes"]), [-1, 3])
    # Products of float64 integers below 2^53: exact.
    pixels = tf.cast(pixels, tf.float64)
    return (
      tf.shape(pixels, tf.int64)[0],
      tf.reduce_sum(pixels, 0),
      tf.matmul(pixels, pixels, transpose_a=True),
    )

  number, total, outer = 0, np.zeros(3), np.zeros((3, 3))
  done = 0
  mine = own_share(source)
  records = select(source, mine)
  dataset = parallel_map(records, sums).prefetch(2)
  bar = tqdm.tqdm(
    elements(dataset),
    desc="statistics",
    total=int(mine.sum()),
    unit="image",
    disable=not progress,
  )
  try:
    for count, image_sum, image_outer in bar:
      number += int(count)
      total += image_sum
      outer += image_outer
      done += 1
  except tf.errors.OpError as error:
    failed = records.skip(done).take(1)
    raise name_unreadable(source, failed, error) from error
  return number, total, outer


def _of_sums(
  num_images: int, num_pixels: int, total: np.ndarray, outer: np.ndarray
) -> Statistics:
  mean = total / num_pixels
  covariance = (outer / num_pixels - np.outer(mean, mean)) / 255.0**2
  eigenvalues, eigenvectors = np.linalg.eigh(covariance)
  # Descending; rounding can leave a tiny negative one.
  eigenvalues = np.maximum(eigenvalues[::-1], 0.0)
  return Statistics(
    tuple(mean.tolist()),
    tuple(eigenvalues.tolist()),
    tuple(tuple(row) for row in eigenvectors[:, ::-1].tolist()),
    num_images,
    num_pixels,
  )

"""Bootstrap intervals of errors and of their differences."""

from collections.abc import Callable, Sequence

import numpy as np

RESAMPLES = 10_000
LEVEL = 95.0
# Of resamples, that the caches hold them.
COUNTS_AT_ONCE = 2**18


def mean_interval(
  values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
  """The 95 % percentile bootstrap interval of a mean over images.

  Images are drawn with replacement. Only how often each distinct value is
  drawn matters, so a resample is one multinomial draw, whatever N is.

  Args:
    values: float [N], e.g. 100 where an image is wrong and 0 elsewhere; or,
      for a paired difference, the difference of two of those.
    resamples: how many.
    seed: of the resampling.

  Returns:
    The lower and the upper bound, in the unit of the values.
  """
  values = np.asarray(values, float)
  if values.ndim != 1 or not values.size:
    raise ValueError(f"values {values.shape} must be [N], N at least 1")
  distinct, counts = np.unique(values, return_counts=True)
  draws = np.random.default_rng(seed).multinomial(
    len(values), counts / len(values), resamples
  )
  means = draws @ distinct / len(values)
  return _percentiles(means)


def statistic_interval(
  statistic: Callable[[np.ndarray], np.ndarray],
  num_images: int,
  *,
  resamples: int = 1000,
  seed: int = 0,
) -> tuple[float, float]:
  """The 95 % percentile bootstrap interval of what is no mean over images.

  Args:
    statistic: float [R] of int [R, N]: how often each of R resamples has each
      image. NaN: a resample that it is not defined for, and that is left out.
    num_images: N.
    resamples: how many; the statistic sees a part of them at a time.
    seed: of the resampling.

  Returns:
    The lower and the upper bound, in the unit of the statistic.
  """
  if num_images < 1:
    raise ValueError("there are no images to resample")
  random = np.random.default_rng(seed)
  at_once = max(COUNTS_AT_ONCE // num_images, 1)
  values = []
  for start in range(0, resamples, at_once):
    counts = [
      np.bincount(
        random.integers(num_images, size=num_images), minlength=num_images
      )
      for _ in range(min(at_once, resamples - start))
    ]
    values.append(statistic(np.stack(counts)))
  values = np.concatenate(values)
  values = values[~np.isnan(values)]
  if not values.size:
    raise ValueError("no resample has a value")
  return _percentiles(values)


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
  tail = (100 - LEVEL) / 2
  low, high = np.percentile(values, [tail, 100 - tail])
  return float(low), float(high)


def verdict(low: float, high: float) -> str:
  """What an interval of a difference, expected positive, says of a finding.

  Returns:
    "holds", "does not hold", or "undecided" where the interval contains 0.
  """
  if low > 0:
    return "holds"
  return "does not hold" if high < 0 else "undecided"

"""Bootstrap intervals of errors and of their differences."""

from collections.abc import Callable, Sequence

import numpy as np

RESAMPLES = 10_000
LEVEL = 95.0


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
  statistic: Callable[[np.ndarray], float],
  num_images: int,
  *,
  resamples: int = 1000,
  seed: int = 0,
) -> tuple[float, float]:
  """The 95 % percentile bootstrap interval of what is no mean over images.

  Args:
    statistic: of the indices of a resample, int [N], in [0, N).
    num_images: N.
    resamples: how many.
    seed: of the resampling.

  Returns:
    The lower and the upper bound, in the unit of the statistic.
  """
  if num_images < 1:
    raise ValueError("there are no images to resample")
  random = np.random.default_rng(seed)
  values = [
    statistic(random.integers(num_images, size=num_images))
    for _ in range(resamples)
  ]
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

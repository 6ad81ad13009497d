"""Bootstrap intervals against SciPy's, exact quantiles and their coverage."""

import numpy as np
import pytest
from scipy import stats

from vggjax.evaluate import bootstrap
from vggjax.evaluate.bootstrap import (
  mean_interval,
  statistic_interval,
  verdict,
)


def wrong(count, error, seed=0):
  """100 for each wrong image, else 0."""
  return 100.0 * (np.random.default_rng(seed).random(count) < error)


def difference(count, seed=0):
  """Of two networks: -100, 0 and 100."""
  return wrong(count, 0.25, seed) - wrong(count, 0.2, seed + 1)


def mean_over_seeds(count, seed=0):
  """Of three seeds' differences: thirds."""
  return np.mean([difference(count, seed + 10 * i) for i in range(3)], axis=0)


# The values, and the grid that their sums lie on.
CASES = {
  "errors": (wrong(2000, 0.1), 100),
  "rare errors": (wrong(400, 0.01), 100),
  "differences": (difference(2000), 100),
  "thirds": (mean_over_seeds(1500), 100 / 3),
  "few": (np.array([0, 300, 300, 0, 0, 100, 200, 300]) / 3, 100 / 3),
  "continuous": (np.random.default_rng(3).exponential(10.0, 300), 0),
}
CONTINUOUS = CASES["continuous"][0]


@pytest.mark.parametrize(("values", "grid"), CASES.values(), ids=CASES)
def test_equals_scipy(values, grid):
  found = mean_interval(values, resamples=20_000)
  wanted = stats.bootstrap(
    (values,),
    np.mean,
    n_resamples=20_000,
    confidence_level=0.95,
    method="percentile",
    batch=500,
    rng=np.random.default_rng(1),
  ).confidence_interval
  # Both are random, by about 2 % of the mean's standard error, and then a
  # point of the grid away.
  error = values.std() / np.sqrt(len(values))
  tolerance = 0.1 * error + grid / len(values)
  np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
  # The interval is about 3.9 standard errors wide.
  assert 3.2 * error < found[1] - found[0] < 4.3 * error
  assert found[0] < values.mean() < found[1]


@pytest.mark.parametrize(("count", "error"), [(500, 0.1), (5000, 0.3)])
def test_equals_the_binomial_distribution(count, error):
  """A resample's number of errors is binomial, whatever their order."""
  values = wrong(count, error)
  share = values.mean() / 100
  exact = stats.binom.ppf([0.025, 0.975], count, share) * 100 / count
  spread = 100 * np.sqrt(share * (1 - share) / count)
  found = mean_interval(values, resamples=50_000)
  np.testing.assert_allclose(found, exact, atol=0.06 * spread + 100 / count)
  shuffled = np.random.default_rng(0).permutation(values)
  assert mean_interval(shuffled, resamples=50_000) == found


def test_as_many_intervals_hold_the_truth_as_they_say():
  """95 % of 400; 2.5 standard deviations are 2.7 %, the bootstrap's own bias
  at 200 images 1 %."""
  truth = 20.0
  intervals = [
    mean_interval(wrong(200, truth / 100, seed), resamples=1000, seed=seed)
    for seed in range(400)
  ]
  share = np.mean([low <= truth <= high for low, high in intervals])
  assert 0.91 <= share <= 0.98
  # Missed on either side.
  assert np.mean([low > truth for low, _ in intervals]) > 0.005
  assert np.mean([high < truth for _, high in intervals]) > 0.005


def test_paired_differences_are_surer_than_two_intervals():
  """Where both networks miss the same images, only the others count."""
  first = wrong(1000, 0.3)
  second = first.copy()
  second[np.flatnonzero(first)[:30]] = 0  # 3 points better.
  low, high = mean_interval(first - second)
  assert 1.5 < low < 3 < high < 4.5
  assert verdict(low, high) == "holds"
  apart = [mean_interval(values) for values in (first, second)]
  assert apart[0][0] < apart[1][1]  # These two overlap.


def test_equal_values_have_no_spread():
  for value in (0.0, 100.0, -3.5):
    assert mean_interval(np.full(9, value)) == (value, value)
  assert mean_interval([7]) == (7.0, 7.0)


def test_the_seed_decides():
  values = CONTINUOUS
  assert mean_interval(values) == mean_interval(values.copy(), seed=0)
  assert mean_interval(values) != mean_interval(values, seed=1)
  assert all(type(bound) is float for bound in mean_interval(values))


def test_the_number_of_resamples_counts():
  """One resample: its mean is both bounds."""
  low, high = mean_interval(CONTINUOUS, resamples=1)
  assert low == high


@pytest.mark.parametrize(
  "values", [[], 5.0, np.zeros((3, 2)), np.zeros((0, 4)), np.zeros((1, 1))]
)
def test_bad_shapes(values):
  with pytest.raises(ValueError, match="must be"):
    mean_interval(values)


@pytest.mark.parametrize(
  ("low", "high", "word"),
  [
    (0.1, 2.0, "holds"),
    (-2.0, -0.1, "does not hold"),
    (-1.0, 2.0, "undecided"),
    (0.0, 2.0, "undecided"),
    (-2.0, 0.0, "undecided"),
    (0.0, 0.0, "undecided"),
  ],
)
def test_verdict(low, high, word):
  assert verdict(low, high) == word


def test_a_statistics_interval_is_the_means_for_a_mean(monkeypatch):
  values = np.random.default_rng(3).normal(50, 20, 400)
  seen = []

  def mean(counts):
    seen.append(len(counts))
    return counts @ values / counts.sum(axis=1)

  found = statistic_interval(mean, len(values), resamples=4000)
  np.testing.assert_allclose(found, mean_interval(values), atol=0.15)
  assert len(seen) > 1
  assert sum(seen) == 4000
  monkeypatch.setattr(bootstrap, "COUNTS_AT_ONCE", 1)
  one_by_one = statistic_interval(mean, len(values), resamples=4000)
  assert one_by_one == pytest.approx(found, rel=1e-12)


def test_resamples_without_a_value_are_left_out():
  """Of images 0 and 1, of which a quarter of the resamples has no image 1."""

  def only_with_the_second(counts):
    return np.where(counts[:, 1], counts[:, 1], np.nan)

  assert statistic_interval(only_with_the_second, 2) == (1, 2)
  with pytest.raises(ValueError, match="no resample has a value"):
    statistic_interval(lambda counts: np.full(len(counts), np.nan), 2)
  with pytest.raises(ValueError, match="no images"):
    statistic_interval(np.mean, 0)

"""What is measured of SVMs' scores, and its intervals."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from vggjax.tasks import outcomes
from vggjax.tasks.outcomes import Outcome


def single(seed, signal=1.0, n=300):
  """Labels of three classes, of unequal numbers, and scores."""
  labels = np.random.default_rng(0).choice(3, n, p=(0.6, 0.3, 0.1))
  scores = np.random.default_rng(seed).normal(size=(n, 3))
  scores[np.arange(n), labels] += signal
  return Outcome(1.0, scores.astype(np.float32), labels)


def multi(seed, signal=1.0, n=300):
  targets = np.where(
    np.random.default_rng(1).uniform(size=(n, 3)) < (0.5, 0.2, 0.01), 1, -1
  ).astype(np.int8)
  targets[:5, 0] = 0
  targets[0, 2] = 1
  noise = np.random.default_rng(seed).normal(size=(n, 3))
  return Outcome(1.0, (signal * targets + noise).astype(np.float32), targets)


def by_hand(outcome, indices, measure):
  """One resample's recall or mAP, of the classes that it has."""
  scores, targets = outcome.scores[indices], outcome.targets[indices]
  if measure == "recall":
    return 100 * balanced_accuracy_score(targets, scores.argmax(axis=1))
  values = []
  for column, target in zip(scores.T, targets.T, strict=True):
    if (target == 1).any():
      known = target != 0
      values.append(average_precision_score(target[known] == 1, column[known]))
  return 100 * np.mean(values)


@pytest.mark.parametrize(
  ("make", "measure", "tolerance"), [(single, "recall", 0.8), (multi, "ap", 2)]
)
def test_intervals_are_those_of_plain_resampling(make, measure, tolerance):
  better, worse = make(2, 1.2), make(3, 0.8)
  random = np.random.default_rng(5)
  resamples = [random.integers(300, size=300) for _ in range(600)]
  values = [
    [by_hand(o, indices, measure) for indices in resamples]
    for o in (better, worse)
  ]
  wanted = np.percentile(values[0], [2.5, 97.5])
  found = outcomes.interval_of([better], measure)
  np.testing.assert_allclose(found, wanted, atol=tolerance)
  assert found[1] - found[0] > 3
  wanted = np.percentile(np.subtract(*values), [2.5, 97.5])
  found = outcomes.difference_interval([better], [worse], measure)
  np.testing.assert_allclose(found, wanted, atol=tolerance)
  # Of two seeds, their mean: less spread.
  both = outcomes.interval_of([better, make(7, 1.2)], measure)
  whole = outcomes.interval_of([better], measure)
  assert both[1] - both[0] < whole[1] - whole[0]


def test_one_image_of_a_single_class():
  """A third of the resamples has no image to measure."""
  scores = np.arange(5, dtype=np.float32)[:, None]
  outcome = Outcome(1.0, scores, np.array([[-1], [-1], [1], [-1], [-1]]))
  low, high = outcomes.interval_of([outcome], "ap")
  assert 0 < low < 100 / 3 < high == 100


def test_values_of_each_class():
  outcome = single(2)
  by_class = outcomes.values_by_class(outcome, "recall")
  answers = outcome.scores.argmax(axis=1)
  for k, value in by_class.items():
    own = outcome.targets == k
    assert value == pytest.approx(100 * (answers[own] == k).mean())
  values = [by_class[k] for k in range(3)]
  assert outcomes.value_of(outcome, "recall") == pytest.approx(np.mean(values))
  outcome = multi(2)
  for measure in ("ap", "ap11"):
    found = outcomes.values_by_class(outcome, measure)
    assert list(found) == [0, 1, 2]
    assert outcomes.value_of(outcome, measure) == pytest.approx(
      np.mean(list(found.values()))
    )
  assert found != outcomes.values_by_class(outcome, "ap")


@pytest.mark.parametrize("measure", ["recall", "ap", "ap11"])
def test_a_class_without_test_images_does_not_count(measure):
  outcome = single(2) if measure == "recall" else multi(2)
  has = outcome.targets == 1
  others = ~has if measure == "recall" else ~has[:, 1]
  part = Outcome(1.0, outcome.scores[others], outcome.targets[others])
  by_class = outcomes.values_by_class(part, measure)
  assert list(by_class) == [0, 2]
  assert outcomes.value_of(part, measure) == pytest.approx(
    np.mean(list(by_class.values()))
  )

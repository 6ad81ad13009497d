"""Top-k errors against a sorting loop and hand cases (Sect. 4)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggjax.metrics import topk_error, topk_wrong


def naive_wrong(posteriors, label, k):
  """Sorts the classes, the true one last among its equals, NaN the best."""
  values = [np.inf if np.isnan(p) else p for p in posteriors]
  if np.isnan(posteriors[label]):
    values[label] = -np.inf
  order = sorted(range(len(values)), key=lambda c: (-values[c], c == label))
  return label not in order[:k]


@given(
  st.integers(0, 2**32 - 1),
  st.integers(1, 12),
  st.integers(2, 9),
  st.integers(1, 5),
  st.integers(2, 50),
)
@settings(max_examples=200, deadline=None)
def test_equals_a_loop(seed, images, classes, k, levels):
  random = np.random.default_rng(seed)
  # Few levels, so that there are ties.
  posteriors = random.integers(0, levels, (images, classes)) / levels
  labels = random.integers(0, classes, images)
  pairs = zip(posteriors, labels, strict=True)
  wanted = [naive_wrong(p, y, k) for p, y in pairs]
  assert topk_wrong(posteriors, labels, k).tolist() == wanted
  assert topk_error(posteriors, labels, k) == pytest.approx(
    100 * sum(wanted) / images
  )


def test_equals_argsort_without_ties():
  random = np.random.default_rng(0)
  posteriors = random.dirichlet(np.ones(20), 500).astype(np.float32)
  labels = random.integers(0, 20, 500)
  for k in (1, 5, 19):
    best = np.argsort(posteriors, axis=1)[:, ::-1][:, :k]
    right = np.any(best == labels[:, None], axis=1)
    assert topk_error(posteriors, labels, k) == pytest.approx(
      100 * np.mean(~right)
    )
  assert topk_error(posteriors, labels, 20) == 0


def test_by_hand():
  posteriors = np.array(
    [
      [0.4, 0.3, 0.2, 0.1],  # The best.
      [0.4, 0.3, 0.2, 0.1],  # The second.
      [0.4, 0.3, 0.2, 0.1],  # The last.
      [0.1, 0.2, 0.3, 0.4],
    ]
  )
  labels = [0, 1, 3, 3]
  assert topk_error(posteriors, labels) == 50
  assert topk_error(posteriors, labels, 2) == 25
  assert topk_error(posteriors, labels, 3) == 25
  assert topk_error(posteriors, labels, 4) == 0
  assert topk_wrong(posteriors, labels).tolist() == [False, True, True, False]


def test_ties_are_wrong():
  constant = np.full((3, 4), 0.25)
  assert topk_error(constant, [0, 1, 3]) == 100
  assert topk_error(constant, [0, 1, 3], 3) == 100
  pair = np.array([[0.4, 0.4, 0.2]])
  assert topk_error(pair, [0]) == topk_error(pair, [1]) == 100
  assert topk_error(pair, [0], 2) == topk_error(pair, [1], 2) == 0


@pytest.mark.parametrize("label", [0, 1])
def test_nan_is_wrong(label):
  some = np.array([[0.9, np.nan, 0.0]])
  assert topk_error(some, [label]) == 100
  assert topk_error(np.full((1, 3), np.nan), [label], 2) == 100
  # With the NaN as one better class, 0.9 is the second.
  assert topk_error(some, [0], 2) == 0
  assert topk_error(some, [1], 2) == 100


def test_scores_do_not_matter_but_their_order():
  random = np.random.default_rng(1)
  scores = random.normal(size=(50, 10))
  labels = random.integers(0, 10, 50)
  for change in (np.exp, lambda x: 3 * x - 7, lambda x: -np.exp(-x)):
    np.testing.assert_array_equal(
      topk_wrong(scores, labels, 3), topk_wrong(change(scores), labels, 3)
    )


@pytest.mark.parametrize(
  ("posteriors", "labels", "words"),
  [
    (np.ones((3, 2)), [0, 1], ["(3, 2)", "(2,)"]),
    (np.ones((1, 2)), [[0]], ["(1, 2)", "(1, 1)"]),
    (np.ones(3), [0, 1, 2], ["(3,)"]),
    (np.ones((0, 3)), np.zeros(0, int), ["no images"]),
    (np.ones((2, 3)), [0, 3], ["[0, 3)", "3"]),
    (np.ones((2, 3)), [-1, 0], ["[0, 3)", "-1"]),
  ],
)
def test_bad_inputs(posteriors, labels, words):
  with pytest.raises(ValueError) as caught:  # noqa: PT011
    topk_error(posteriors, labels)
  for word in words:
    assert word in str(caught.value)

"""Average precision and mean class recall (App. B) by hand and scikit-learn."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
  average_precision_score,
  balanced_accuracy_score,
  recall_score,
)

from vggjax.evaluate.bootstrap import mean_interval
from vggjax.metrics import (
  average_precision,
  mean_average_precision,
  mean_class_recall,
  recall_values,
  resampled_average_precision,
  topk_error,
)

# From the best score to the worst: 6 of 12 images have the class.
RANKED = [1, -1, 1, 1, -1, -1, 1, -1, 1, -1, -1, 1]


def falling(targets):
  """Scores of which the first is the best."""
  return -np.arange(len(targets), dtype=np.float32)


def shuffled(targets, seed=0):
  """Scores and targets in another order."""
  order = np.random.default_rng(seed).permutation(len(targets))
  return falling(targets)[order], np.asarray(targets)[order]


def exact(targets, points):
  """By the definitions in fractions, of targets ranked without ties."""
  total = targets.count(1)
  steps = []
  hits = 0
  for found, target in enumerate(targets, 1):
    hits += target == 1
    steps.append((Fraction(hits, total), Fraction(hits, found)))
  if points == 11:
    thresholds, widths = [Fraction(i, 10) for i in range(11)], Fraction(1, 11)
  else:
    thresholds = [Fraction(i, total) for i in range(1, total + 1)]
    widths = Fraction(1, total)
  return 100 * sum(
    widths * max(p for r, p in steps if r >= least) for least in thresholds
  )


def test_eleven_points_by_hand():
  # Recalls 1/6 ... 1 at precisions 1, 2/3, 3/4, 4/7, 5/9, 1/2. The best at
  # 0, 0.1: 1; at 0.2 to 0.5: 3/4; at 0.6: 4/7; at 0.7, 0.8: 5/9; then 1/2.
  wanted = 2 + 4 * Fraction(3, 4) + Fraction(4, 7) + 2 * Fraction(5, 9) + 1
  found = average_precision(*shuffled(RANKED), points=11)
  assert found == pytest.approx(float(100 * wanted / 11), rel=1e-14)
  assert exact(RANKED, 11) == 100 * wanted / 11
  assert type(found) is float
  # At the recall itself in place of it or above: 2/3 at 0.2 and 0.3.
  slipped = wanted - 2 * Fraction(1, 12)
  assert abs(found - float(100 * slipped / 11)) > 1


def test_all_points_by_hand():
  wanted = (1 + 2 * Fraction(3, 4) + Fraction(4, 7) + Fraction(5, 9)) / 6
  wanted += Fraction(1, 12)
  found = average_precision(*shuffled(RANKED))
  assert found == pytest.approx(float(100 * wanted), rel=1e-14)
  assert exact(RANKED, 0) == 100 * wanted
  # Precision as it is, not made monotone, as scikit-learn has it.
  scores, targets = shuffled(RANKED)
  slipped = 100 * average_precision_score(targets, scores)
  assert found - slipped == pytest.approx(100 * (3 / 4 - 2 / 3) / 6)
  assert abs(found - average_precision(scores, targets, points=11)) > 1


@pytest.mark.parametrize("points", [0, 11])
@given(
  st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60).filter(
    lambda targets: 1 in targets
  ),
  st.integers(0, 100),
)
@settings(max_examples=150)
def test_equals_the_definitions(points, targets, seed):
  known = [t for t in targets if t]
  found = average_precision(*shuffled(targets, seed), points=points)
  assert found == pytest.approx(float(exact(known, points)), rel=1e-12)


@pytest.mark.parametrize("total", range(1, 41))
def test_a_recall_at_a_threshold_counts(total):
  """3 / 10 is 0.3 but 3 * 0.1 is above it. The hits come first, then the
  others behind as many negatives, so that each threshold has its precision."""
  ranked = []
  for i in range(total):
    ranked += [1] + [-1] * i
  found = average_precision(falling(ranked), ranked, points=11)
  assert found == pytest.approx(float(exact(ranked, 11)), rel=1e-12)


def ties(seed, images, levels):
  """Scores of few values, and targets, some of them 1."""
  random = np.random.default_rng(seed)
  scores = random.integers(0, levels, images) / levels
  targets = random.choice([-1, 1], images)
  targets[random.integers(images)] = 1
  return scores, targets


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 70))
@settings(max_examples=200)
def test_is_at_least_scikit_learns(seed, images, levels):
  """Whose precision is not made monotone; both see ties together."""
  scores, targets = ties(seed, images, levels)
  found = average_precision(scores, targets)
  wanted = 100 * average_precision_score(targets, scores)
  assert wanted - 1e-9 <= found <= 100 + 1e-9


@given(
  st.lists(st.integers(0, 8), min_size=1, max_size=12),
  st.integers(1, 4),
  st.integers(0, 100),
)
@settings(max_examples=200)
def test_equals_scikit_learn_where_precision_falls(gaps, copies, seed):
  """Behind each hit more negatives than behind the one before, none before
  the first; some copies of each image, of equal score."""
  targets = []
  for gap in sorted(gaps):
    targets += [1] + [-1] * gap
  targets = np.repeat(targets, copies)
  scores = -np.repeat(np.arange(len(targets) // copies), copies)
  precision = np.cumsum(targets[::copies] > 0) / (
    1 + np.arange(len(targets) // copies)
  )
  hits = precision[targets[::copies] > 0]
  assert (np.diff(hits) <= 1e-12).all()
  order = np.random.default_rng(seed).permutation(len(targets))
  assert average_precision(scores[order], targets[order]) == pytest.approx(
    100 * average_precision_score(targets, scores), rel=1e-12
  )


@pytest.mark.parametrize("points", [0, 11])
def test_ties_enter_together(points):
  # All equal: the share of positives, at every recall.
  assert average_precision(
    np.zeros(8), [1, 1, -1, -1, -1, -1, -1, -1], points=points
  ) == pytest.approx(25)
  # A hit and a miss of the same score: half, not one, in either order.
  for targets in ([1, -1, -1], [-1, 1, -1]):
    assert average_precision(
      [1.0, 1.0, 0.0], targets, points=points
    ) == pytest.approx(50)
  assert average_precision([0.0, -0.0], [1, -1], points=points) == 50


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 5))
@settings(max_examples=100)
def test_no_order_helps(seed, images, levels):
  scores, targets = ties(seed, images, levels)
  order = np.random.default_rng(seed).permutation(images)
  for points in (0, 11):
    first = average_precision(scores, targets, points=points)
    second = average_precision(scores[order], targets[order], points=points)
    assert first == second


@pytest.mark.parametrize("points", [0, 11])
def test_nan_ranks_last(points):
  scores = np.array([3.0, np.nan, -np.inf, np.nan])
  for targets, wanted in (
    ([1, -1, -1, -1], 100),
    ([-1, -1, 1, -1], 50),
    ([-1, 1, -1, -1], 25),
    ([-1, -1, -1, 1], 25),
  ):
    found = average_precision(scores, targets, points=points)
    assert found == pytest.approx(wanted)
  everywhere = average_precision(np.full(4, np.nan), [1, 1, 1, -1])
  assert everywhere == pytest.approx(75)


@pytest.mark.parametrize("points", [0, 11])
def test_unknown_images_are_left_out(points):
  scores, targets = shuffled(RANKED)
  wanted = average_precision(scores, targets, points=points)
  # Before all others, between them and last.
  more = np.concatenate([scores, [9.0, -2.5, -3.0, -99.0, np.nan]])
  padded = np.concatenate([targets, [0] * 5]).astype(np.int8)
  assert average_precision(more, padded, points=points) == wanted
  for slip in (-1, 1):
    slipped = np.where(padded == 0, slip, padded)
    found = average_precision(more, slipped, points=points)
    assert abs(found - wanted) > 2


@pytest.mark.parametrize("points", [0, 11])
def test_resamples_are_images_written_out(points):
  random = np.random.default_rng(4)
  scores = random.integers(0, 30, 60).astype(float)  # With ties.
  scores[::20] = np.nan
  targets = random.choice([-1, 0, 1], 60, p=(0.7, 0.2, 0.1))
  draws = random.multinomial(60, np.full(60, 1 / 60), 200)
  draws[7, targets == 1] = 0
  found = resampled_average_precision(scores, targets, draws, points=points)
  assert found.shape == (200,)
  assert np.isnan(found[7])
  for value, draw in zip(found, draws, strict=True):
    if not np.isnan(value):
      wanted = average_precision(
        np.repeat(scores, draw), np.repeat(targets, draw), points=points
      )
      assert value == pytest.approx(wanted, rel=1e-12)
  assert np.nanstd(found) > 1


def test_no_resample_has_a_class_without_positive_images():
  found = resampled_average_precision(
    np.arange(3), [-1, 0, -1], np.ones((2, 3), int)
  )
  assert np.isnan(found).tolist() == [True, True]
  with pytest.raises(ValueError, match=r"counts \(2, 4\) must be \[R, 3\]"):
    resampled_average_precision(np.arange(3), [-1, 0, 1], np.ones((2, 4), int))


@pytest.mark.parametrize("points", [0, 11])
def test_the_extremes(points):
  assert average_precision([0.5], [1], points=points) == 100
  first = average_precision(np.arange(9), [-1] * 5 + [1] * 4, points=points)
  assert first == pytest.approx(100)
  last = average_precision(np.arange(9), [1] + [-1] * 8, points=points)
  assert last == pytest.approx(100 / 9)


@pytest.mark.parametrize("points", [0, 11])
def test_the_mean_over_classes(points):
  random = np.random.default_rng(0)
  scores = random.normal(size=(50, 4)).astype(np.float32)
  targets = random.integers(-1, 2, (50, 4)).astype(np.int8)
  values = [
    average_precision(scores[:, k], targets[:, k], points=points)
    for k in range(4)
  ]
  found = mean_average_precision(scores, targets, points=points)
  assert found == pytest.approx(np.mean(values))
  assert type(found) is float
  together = average_precision(scores.ravel(), targets.ravel(), points=points)
  assert abs(found - together) > 0.1


@pytest.mark.parametrize(
  ("scores", "targets", "points", "words"),
  [
    (np.ones(3), [1, -1], 0, r"\(3,\).*\(2,\)"),
    (np.ones((2, 2)), np.ones((2, 2)), 0, r"must both be \[N\]"),
    (np.ones(3), [1, 2, -1], 0, "-1, 0 or 1"),
    (np.ones(2), [1, -1], 10, "points must be 0 or 11, not 10"),
    (np.ones(3), [0, -1, -1], 0, "no positive image"),
    (np.ones(3), [0, 0, 0], 11, "no positive image"),
    ([], [], 0, "no positive image"),
  ],
)
def test_bad_inputs(scores, targets, points, words):
  with pytest.raises(ValueError, match=words):
    average_precision(scores, targets, points=points)


@pytest.mark.parametrize(
  ("scores", "targets", "words"),
  [
    (np.ones((3, 2)), np.ones((3, 1)), r"\(3, 2\).*\(3, 1\)"),
    (np.ones(3), np.ones(3), r"must both be \[N, K\]"),
    (np.ones((3, 0)), np.ones((3, 0)), "K at least 1"),
    (np.ones((2, 2)), [[1, 0], [1, -1]], "class 1: there is no positive"),
    (np.ones((2, 2)), [[3, 1], [1, -1]], "class 0: targets must"),
  ],
)
def test_bad_inputs_of_the_mean(scores, targets, words):
  with pytest.raises(ValueError, match=words):
    mean_average_precision(scores, targets)


def test_recall_by_hand():
  scores = np.array(
    [[3, 1, 2, 0], [3, 1, 2, 0], [1, 3, 2, 0], [1, 3, 2, 0], [3, 1, 2, 0]]
  )
  # 2 of 3, 1 of 1 and 0 of 1; no image of class 3.
  labels = np.array([0, 0, 0, 1, 2])
  assert mean_class_recall(scores, labels) == pytest.approx(500 / 9)
  values = recall_values(scores, labels)
  # 5 / (3 n) of an image's distance to its class's recall.
  wanted = np.add(500 / 9, [500 / 27, 500 / 27, -1000 / 27, 0, 0])
  np.testing.assert_allclose(values, wanted)
  # Not the share of images, nor a mean over all four classes.
  assert topk_error(scores, labels) == pytest.approx(40)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 9))
@settings(max_examples=150)
def test_recall_equals_scikit_learn(seed, images, classes):
  random = np.random.default_rng(seed)
  scores = random.normal(size=(images, classes)).astype(np.float32)
  # Few images of the later classes, of some none.
  labels = (classes * random.random(images) ** 3).astype(int)
  scores[np.arange(images), labels] += 1
  found = mean_class_recall(scores, labels)
  best = np.argmax(scores, axis=1)
  present = np.unique(labels)
  wanted = recall_score(labels, best, average="macro", labels=present)
  assert found == pytest.approx(100 * wanted)
  if len(present) > 1 and set(best) <= set(present):
    wanted = balanced_accuracy_score(labels, best)
    assert found == pytest.approx(100 * wanted)
  assert np.mean(recall_values(scores, labels)) == pytest.approx(found)


def test_all_right_is_a_hundred():
  labels = np.array([0, 0, 0, 2, 2, 4, 4, 4, 4, 4, 4])
  assert mean_class_recall(np.eye(5)[labels], labels) == 100
  assert mean_class_recall(-np.eye(5)[labels], labels) == 0


def test_ties_and_nan_are_wrong():
  for value in (0.25, np.nan):
    assert mean_class_recall(np.full((4, 3), value), [0, 1, 2, 2]) == 0


def test_values_give_an_interval():
  random = np.random.default_rng(0)
  labels = np.repeat([0, 1, 2], [30, 100, 400])
  scores = random.normal(size=(530, 3))
  scores[np.arange(530), labels] += np.array([0.5, 1, 3])[labels]
  found = mean_class_recall(scores, labels)
  low, high = mean_interval(recall_values(scores, labels))
  assert low < found < high
  # The few images of class 0 make it wide.
  assert 5 < high - low < 20
  # Images alike would give another value.
  assert not low < 100 - topk_error(scores, labels) < high


@pytest.mark.parametrize("function", [mean_class_recall, recall_values])
@pytest.mark.parametrize(
  ("scores", "labels"),
  [
    (np.ones((3, 2)), [0, 1]),
    (np.ones((2, 2)), [0, 2]),
    (np.ones((2, 2)), [0, -1]),
    (np.ones((0, 2)), np.zeros(0, int)),
  ],
)
def test_bad_inputs_of_recall(function, scores, labels):
  with pytest.raises(ValueError, match=r"labels|no images"):
    function(scores, labels)

"""The greedy merge (App. A.1) against a plain loop, and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggjax.localize.merge import greedy_merge, match_score


def plain_score(a, b):
  """Distance of the centers over the mean side, plus 1 - IoU."""
  centers = [((x[0] + x[2]) / 2, (x[1] + x[3]) / 2) for x in (a, b)]
  sides = [x[i + 2] - x[i] for x in (a, b) for i in (0, 1)]
  width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
  height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
  areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
  overlap = width * height / (sum(areas) - width * height)
  return math.dist(*centers) / (sum(sides) / 4) + 1 - overlap


def plain_merge(boxes, confidences, threshold):
  """Looks at all pairs each time."""
  boxes = [[float(v) for v in box] for box in boxes]
  confidences = [float(c) for c in confidences]
  while len(boxes) > 1:
    pairs = [
      (plain_score(boxes[i], boxes[j]), i, j)
      for i in range(len(boxes))
      for j in range(i + 1, len(boxes))
    ]
    # Equal to rounding counts as equal.
    least = min(score for score, _, _ in pairs)
    score, i, j = next(p for p in pairs if p[0] <= least + 1e-12)
    if score > threshold:
      break
    boxes[i] = [(a + b) / 2 for a, b in zip(boxes[i], boxes[j], strict=True)]
    confidences[i] += confidences[j]
    del boxes[j], confidences[j]
  return boxes, confidences


corner = st.tuples(*[st.floats(0, 100, width=32)] * 2)
side = st.tuples(*[st.floats(1, 60, width=32)] * 2)
random_boxes = st.lists(
  st.tuples(corner, side).map(
    lambda b: (*b[0], b[0][0] + b[1][0], b[0][1] + b[1][1])
  ),
  min_size=1,
  max_size=12,
)


@given(random_boxes, st.sampled_from([0.0, 0.3, 0.6, 1.0, 3.0]), st.data())
@settings(max_examples=150)
def test_equal_to_a_plain_loop(boxes, threshold, data):
  confidences = data.draw(
    st.lists(st.floats(0, 1), min_size=len(boxes), max_size=len(boxes))
  )
  wanted, sums = plain_merge(boxes, confidences, threshold)
  found, total = greedy_merge(np.array(boxes), np.array(confidences), threshold)
  np.testing.assert_allclose(found, wanted, rtol=1e-9)
  np.testing.assert_allclose(total, sums, atol=1e-9)


def test_many_boxes_equal_a_plain_loop():
  random = np.random.default_rng(0)
  corners = random.uniform(0, 200, (60, 2))
  boxes = np.concatenate(
    [corners, corners + random.uniform(20, 90, (60, 2))], 1
  )
  wanted, sums = plain_merge(boxes, np.ones(60), 0.7)
  found, total = greedy_merge(boxes, np.ones(60), 0.7)
  assert 1 < len(wanted) < 60
  np.testing.assert_allclose(found, wanted)
  np.testing.assert_array_equal(total, sums)


def test_by_hand():
  # The first and the last are alike, the second is far away.
  boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [2, 0, 12, 10.0]])
  overlap = 80 / 120
  score = 2 / 10 + 1 - overlap
  assert match_score(boxes[0], boxes[2]) == pytest.approx(score)
  assert match_score(boxes[0], boxes[1]) == pytest.approx(50 * 2**0.5 / 10 + 1)
  found, sums = greedy_merge(boxes, np.array([0.1, 0.5, 0.3]), score + 1e-9)
  np.testing.assert_allclose(found, [[1, 0, 11, 10], [50, 50, 60, 60]])
  np.testing.assert_allclose(sums, [0.4, 0.5])
  found, sums = greedy_merge(boxes, np.array([0.1, 0.5, 0.3]), score - 1e-9)
  np.testing.assert_array_equal(found, boxes)


def test_equal_boxes_become_one_and_its_confidence_their_sum():
  boxes = np.tile([3.0, 4, 9, 8], (20, 1))
  found, sums = greedy_merge(boxes, np.full(20, 0.25), 0.0)
  np.testing.assert_array_equal(found, [[3, 4, 9, 8]])
  np.testing.assert_array_equal(sums, [5.0])


def test_one_box_stays_and_the_arguments_are_not_changed():
  boxes, confidences = np.array([[1.0, 2, 3, 4]] * 2), np.array([0.5, 0.5])
  greedy_merge(boxes, confidences, 9.0)
  np.testing.assert_array_equal(boxes, [[1, 2, 3, 4]] * 2)
  np.testing.assert_array_equal(confidences, [0.5, 0.5])
  found, sums = greedy_merge(boxes[:1], confidences[:1], 9.0)
  np.testing.assert_array_equal(found, boxes[:1])
  np.testing.assert_array_equal(sums, [0.5])


@given(random_boxes, st.sampled_from([0.2, 0.6, 2.0]))
@settings(max_examples=50)
def test_nothing_left_matches_and_confidence_is_kept(boxes, threshold):
  confidences = np.linspace(0.1, 1, len(boxes))
  found, sums = greedy_merge(np.array(boxes), confidences, threshold)
  assert sums.sum() == pytest.approx(confidences.sum())
  for i in range(len(found)):
    for j in range(i):
      assert plain_score(found[i], found[j]) > threshold

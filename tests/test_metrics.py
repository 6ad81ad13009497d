"""Top-k errors against a sorting loop and hand cases (Sect. 4)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggjax.metrics import localization_wrong, topk_error, topk_wrong


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
@settings(max_examples=200)
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


def a_box(left, top, width, height):
  return np.array([left, top, left + width, top + height], float)


def test_localization_by_hand():
  labels = np.array([3, 3, 3, 3, 3, 7])
  true = [a_box(0, 0, 10, 10)] * 6
  far = a_box(50, 50, 10, 10)
  answers = [
    ([3, 1], [true[0], far]),  # Right.
    ([1, 3], [far, true[0]]),  # Right: the second answer counts as much.
    ([3, 1], [far, true[0]]),  # The box of another class.
    ([1, 2], [true[0], true[0]]),  # No such class.
    ([3, 3], [a_box(5, 0, 10, 10), far]),  # A third overlaps.
    ([7, 1], [a_box(0, 0, 10, 6), far]),  # 0.6.
  ]
  classes = np.array([c for c, _ in answers])
  boxes = np.array([b for _, b in answers])
  wrong = localization_wrong(classes, boxes, labels, [t[None] for t in true])
  assert wrong.tolist() == [False, False, True, True, True, False]


def test_an_overlap_of_half_is_wrong():
  true = [a_box(0, 0, 4, 4)[None]]
  for height, wanted in ((2, True), (2.01, False)):
    boxes = a_box(0, 0, 4, height)[None, None]
    found = localization_wrong(np.array([[0]]), boxes, np.array([0]), true)
    assert found.tolist() == [wanted]


def test_any_of_several_true_boxes_counts():
  true = [np.array([a_box(0, 0, 5, 5), a_box(20, 20, 5, 5)])]
  boxes = a_box(20, 20, 5, 4)[None, None]
  classes = labels = np.zeros((1, 1), int)
  assert not localization_wrong(classes, boxes, labels[0], true)[0]
  assert localization_wrong(classes, boxes, labels[0], [true[0][:1]])[0]


def test_localization_arrays_that_do_not_belong_together():
  one = np.zeros((1, 1), int), np.zeros((1, 1, 4)), np.zeros(1, int)
  for true in ([], [np.ones((1, 4))] * 2):
    with pytest.raises(ValueError, match="do not belong together"):
      localization_wrong(*one, true)


def devkit_iou(a, b):
  """Of inclusive pixels, xmin ymin xmax ymax, as the kit's MATLAB counts."""
  width = min(a[2], b[2]) - max(a[0], b[0]) + 1
  height = min(a[3], b[3]) - max(a[1], b[1]) + 1
  if width <= 0 or height <= 0:
    return 0.0
  areas = [(x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b)]
  return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_the_boxes_of_real_images(imagenet_images, share):
  """True boxes are right; shifted ones as the kit's own arithmetic says."""
  rows = (imagenet_images / "LOC_val_solution.csv").read_text().splitlines()
  true = []
  for row in rows[1:]:
    words = row.split(",")[1].split()
    true.append(np.array(words).reshape(-1, 5)[:, 1:].astype(int))
  # Each image's answer is its first box, moved to the right and downwards.
  moved = []
  for boxes in true:
    left, top, right, bottom = boxes[0]
    x, y = round(share * (right - left)), round(share * (bottom - top))
    moved.append([left + x, top + y, right + x, bottom + y])
  wanted = [
    not any(devkit_iou(m, t) > 0.5 for t in boxes)
    for m, boxes in zip(moved, true, strict=True)
  ]
  edges = [np.add(boxes, [0, 0, 1, 1]) for boxes in true]
  answers = np.add(moved, [0, 0, 1, 1])[:, None]
  labels = np.arange(len(true))
  wrong = localization_wrong(labels[:, None], answers, labels, edges)
  assert len(wrong) == 128
  assert wrong.tolist() == wanted
  # IoU of a shift by 0.2 and 0.4 of both sides: 0.47 and 0.22.
  assert (sum(wanted) == 0) == (share == 0)
  assert share == 0 or sum(wanted) > 100

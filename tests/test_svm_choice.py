"""How C is chosen on held-out images, against trying each (App. B)."""

import numpy as np
import pytest
from planted_descriptors import MULTI, multi_targets, plain, planted

from vggjax import metrics
from vggjax.errors import InputError
from vggjax.features import svm


def brute_force(x, targets, is_held_out, measure, grid):
  """scikit-learn for each C."""
  values = {}
  for C in grid:
    found = plain(x[~is_held_out], targets[~is_held_out], C, dual=False)
    scores = found.decision_function(x[is_held_out])
    values[C] = measure(scores, targets[is_held_out])
  return values


@pytest.mark.parametrize("seed", range(4))
def test_chooses_what_brute_force_chooses(seed):
  x, labels = planted(80, 150, 4, signal=0.25, seed=seed)
  is_held_out = svm.hold_out(labels, 0.4, seed)
  grid = (100.0, 0.1, 3.16, 0.001)
  C, values = svm.choose_C(
    x, labels, is_held_out, metrics.mean_class_recall, grid, num_classes=4
  )
  wanted = brute_force(x, labels, is_held_out, metrics.mean_class_recall, grid)
  assert list(values) == sorted(grid)[: len(values)]
  assert values == pytest.approx({c: wanted[c] for c in values})
  assert len(set(wanted.values())) > 1
  best = [c for c in values if wanted[c] == max(values.values())]
  assert min(best) == C


def test_climbs_the_grid_until_two_values_are_worse():
  x, labels = planted(60, 150, 3)
  is_held_out = svm.hold_out(labels)
  for given, tried in (
    ([5, 6, 4, 6, 5, 5, 9], 6),  # A value as good as the best goes on.
    ([5, 4, 6, 5, 7, 6, 6], 7),
    ([5, 4, 3, 9, 9, 9, 9], 3),
    ([1, 2, 3, 4, 5, 6, 7], 7),
  ):
    values = iter(given)
    C, found = svm.choose_C(
      x,
      labels,
      is_held_out,
      lambda scores, held, values=values: next(values),
      np.arange(1.0, 8),
      num_classes=3,
    )
    assert list(found.values()) == given[:tried]
    assert 1 + given.index(max(given[:tried])) == C


def test_chooses_the_smallest_of_equals():
  x, labels = planted(60, 150, 3, signal=2)  # Easy.
  is_held_out = svm.hold_out(labels)
  found = svm.choose_C(
    x, labels, is_held_out, lambda scores, held: 7, (9.0, 1, 4), num_classes=3
  )
  assert found == (1.0, {1.0: 7.0, 4.0: 7.0, 9.0: 7.0})


def test_chooses_for_several_labels():
  x, _ = planted(80, 150, 3)
  targets = multi_targets(80, 3)
  is_held_out = svm.hold_out(targets)
  seen = []

  def measure(scores, held):
    seen.append((scores, held))
    return metrics.mean_average_precision(scores, held)

  C, values = svm.choose_C(x, targets, is_held_out, measure, (1.0, 10.0))
  assert values[C] == max(values.values())
  classifier = svm.fit(x[~is_held_out], targets[~is_held_out], 1.0)
  scores, held = seen[0]
  np.testing.assert_array_equal(scores, classifier.scores(x[is_held_out]))
  np.testing.assert_array_equal(held, targets[is_held_out])


def test_the_grid():
  np.testing.assert_allclose(svm.C_GRID, 10 ** np.arange(-1, 3, 0.5), rtol=2e-3)


def test_holds_out_a_share_of_each_class():
  counts = [1, 2, 3, 10, 33, 100]
  labels = np.random.default_rng(0).permutation(
    np.repeat(np.arange(len(counts)), counts)
  )
  found = svm.hold_out(labels)
  assert found.dtype == bool
  assert np.bincount(labels[found], minlength=6).tolist() == [0, 1, 1, 2, 7, 20]
  np.testing.assert_array_equal(found, svm.hold_out(labels.copy()))
  assert (found != svm.hold_out(labels, seed=1)).any()
  # Training keeps one of each.
  most = svm.hold_out(labels, 0.9)
  assert np.bincount(labels[most]).tolist() == [0, 1, 2, 9, 30, 90]


def test_each_image_is_held_out_as_often():
  labels = np.arange(20) % 2
  often = sum(svm.hold_out(labels, seed=s).astype(int) for s in range(1000))
  # 200 each; five standard deviations.
  assert np.abs(often - 200).max() < 5 * np.sqrt(1000 * 0.2 * 0.8)


def test_holds_out_a_share_of_the_images_of_the_rarest_class():
  # 40 images have class 0, 10 of these class 1 too, 2 class 2 too; 8 have none.
  targets = np.full((48, 3), -1, np.int8)
  targets[:40, 0] = targets[:10, 1] = targets[9:11, 2] = 1
  targets[11, 1] = 0
  found = svm.hold_out(targets)
  assert found.shape == (48,)
  assert found[:9].sum() == 2
  assert found[9:11].sum() == 1
  # Images without a class are the first's.
  assert found[11:].sum() == round(0.2 * 37)
  assert svm.hold_out(targets, 0.5, 3)[:9].sum() == 4
  assert svm.hold_out(MULTI[:1]).tolist() == [False]


@pytest.mark.parametrize(
  ("targets", "share"),
  [([], 0.2), (3, 0.2), (np.zeros((2, 2, 2)), 0.2), ([0], 0.0), ([0], 1.0)],
)
def test_hold_out_refuses(targets, share):
  with pytest.raises(ValueError, match="must be"):
    svm.hold_out(targets, share)


def test_choose_c_refuses():
  x, labels = planted(30, 50, 2)
  held = svm.hold_out(labels)

  def choose(held, measure=metrics.mean_class_recall, grid=(1.0,)):
    svm.choose_C(x, labels, held, measure, grid, num_classes=2)

  for wrong in (held[1:], held.astype(int), np.flatnonzero(held)):
    with pytest.raises(ValueError, match="is_held_out must be bool"):
      choose(wrong)
  with pytest.raises(ValueError, match="grid of C is empty"):
    choose(held, grid=())
  with pytest.raises(InputError, match="0 of 30 images are held out"):
    choose(np.zeros(30, bool))
  with pytest.raises(InputError, match="30 of 30 images are held out"):
    choose(np.ones(30, bool))
  with pytest.raises(InputError, match="measure at C = 1 is NaN"):
    choose(held, lambda scores, targets: np.nan)
  with pytest.raises(InputError, match="no training image has class 1"):
    choose(labels == 1)

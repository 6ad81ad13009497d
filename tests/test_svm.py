"""Linear SVMs against scikit-learn's own, on small planted classes (App. B)."""

import sys
import warnings

import numpy as np
import pytest
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from vggjax import metrics
from vggjax.errors import InputError
from vggjax.features import liblinear, svm

# Fewer images than features, solved on coordinates; and more.
SHAPES = {
  "fewer images": (60, 150),
  "a few more images": (60, 50),
  "more images": (150, 20),
}
MULTI = np.array([[1, -1], [-1, 1], [1, 0], [-1, 1], [1, -1]], np.int8)


def planted(images, features, classes, *, signal=0.5, seed=0):
  """Non-negative descriptors of norm 1, and labels."""
  random = np.random.default_rng(seed)
  labels = random.permutation(np.arange(images) % classes)
  centers = signal * random.normal(size=(classes, features))
  x = np.maximum(centers[labels] + random.normal(size=(images, features)), 0)
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  return x.astype(np.float32), labels


def multi_targets(images, classes, seed=0):
  """-1, 0 and 1, all of them in each class."""
  random = np.random.default_rng(seed)
  return random.choice([-1, 0, 1], (images, classes), p=[0.6, 0.15, 0.25])


def plain(features, labels, C, dual, **options):
  """scikit-learn's, on the features themselves."""
  options = {"max_iter": 10_000, "random_state": 0, "tol": 1e-9, **options}
  return LinearSVC(C=C, dual=dual, **options).fit(features, labels)


@pytest.mark.parametrize("C", [0.1, 10.0, 316.0])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_equals_linear_svc(kind, C, classes):
  x, labels = planted(*SHAPES[kind], classes)
  found = svm.fit(x, labels, C, num_classes=classes)
  assert found.converged
  assert found.weights.shape == (x.shape[1], classes)
  assert found.weights.dtype == found.biases.dtype == np.float32
  wanted = plain(x, labels, C, dual=False)
  # Of two classes it has the second's column only.
  weights, biases = found.weights, found.biases
  if classes == 2:
    np.testing.assert_array_equal(weights[:, 0], -weights[:, 1])
    assert biases[0] == -biases[1]
    weights, biases = weights[:, 1:], biases[1:]
  atol = 2e-3 * np.abs(wanted.coef_).max()
  np.testing.assert_allclose(weights, wanted.coef_.T, rtol=0, atol=atol)
  np.testing.assert_allclose(biases, wanted.intercept_, rtol=0, atol=atol)
  np.testing.assert_array_equal(
    np.argmax(found.scores(x), axis=1), wanted.predict(x)
  )
  other = svm.fit(x, labels, 3 * C, num_classes=classes)
  assert not np.allclose(other.weights, found.weights, rtol=1e-3)


@pytest.mark.parametrize("kind", SHAPES)
def test_equals_the_minimum_of_each_class_alone(kind):
  """Each class against the rest, to the end."""
  x, labels = planted(*SHAPES[kind], 4)
  found = svm.fit(x, labels, 10.0, num_classes=4)
  other = LinearSVC(C=10.0, dual=False, tol=1e-9, max_iter=10_000)
  wanted = OneVsRestClassifier(other).fit(x, labels)
  for k, estimator in enumerate(wanted.estimators_):
    weights = estimator.coef_[0]
    scale = np.abs(weights).max()
    np.testing.assert_allclose(
      found.weights[:, k], weights, rtol=0, atol=2e-3 * scale
    )
    assert found.biases[k] == pytest.approx(estimator.intercept_[0], abs=2e-3)
    assert not np.allclose(
      found.weights[:, k - 1], weights, rtol=0, atol=0.1 * scale
    )


def test_the_coordinates_have_the_inner_products(monkeypatch):
  x, _ = planted(40, 300, 2)
  monkeypatch.setattr(liblinear, "BLOCK", 128)  # Two whole blocks and a part.
  found, shift = liblinear._coordinates(x)
  assert found.shape == (40, 40)
  assert found.flags.c_contiguous
  assert not np.triu(found, 1).any()
  assert 1e-13 < shift < 1e-11
  exact = x.astype(float) @ x.astype(float).T
  shifted = exact + shift * np.eye(40)
  np.testing.assert_allclose(found @ found.T, shifted, rtol=0, atol=1e-14)


def hostile():
  """Descriptors that have no plain Cholesky factor or almost none."""
  x, labels = planted(60, 150, 3)
  twins, no_rank = x.copy(), x.copy()
  twins[30:] = twins[:30]  # Also of different labels.
  no_rank[:, 5:] = 0
  common = 5 + x
  common /= np.linalg.norm(common, axis=1, keepdims=True)
  one_zero = x.copy()
  one_zero[7] = 0
  return {
    "twins": (twins, labels),
    "of rank 5": (no_rank, labels),
    "of cosines near 1": (common, labels),
    "one of zeros": (one_zero, labels),
    "long": (20 * x, labels),
  }


@pytest.mark.parametrize("case", hostile())
def test_hostile_features_equal_linear_svc(case):
  x, labels = hostile()[case]
  found = svm.fit(x, labels, 3.0, num_classes=3)
  wanted = plain(x, labels, 3.0, dual=False)
  scale = np.abs(wanted.coef_).max()
  atol = 2e-3 * scale
  np.testing.assert_allclose(found.weights, wanted.coef_.T, rtol=0, atol=atol)
  np.testing.assert_allclose(found.biases, wanted.intercept_, atol=atol)


def test_features_of_zeros_have_zero_weights():
  _, labels = planted(60, 150, 3)
  found = svm.fit(np.zeros((60, 150)), labels, 1.0, num_classes=3)
  assert not found.weights.any()
  wanted = plain(np.zeros((60, 150)), labels, 1.0, dual=False).intercept_
  np.testing.assert_allclose(found.biases, wanted, rtol=1e-6)


def test_the_shift_is_undone_by_C(monkeypatch):  # noqa: N802
  """Even one a billion times as large, which matters else."""
  x, labels = planted(60, 150, 3)
  wanted = svm.fit(x, labels, 10.0, num_classes=3).weights

  def coordinates(features, large=1e-2):
    exact = features.astype(float) @ features.astype(float).T
    return np.linalg.cholesky(exact + large * np.eye(len(exact))), large

  monkeypatch.setattr(liblinear, "_coordinates", coordinates)
  found = svm.fit(x, labels, 10.0, num_classes=3).weights
  np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)
  slipped = svm.fit(x, labels, 10 / (1 + 20e-2), num_classes=3).weights
  assert np.abs(slipped - wanted).max() > 1e-2
  monkeypatch.setattr(liblinear, "_coordinates", lambda f: coordinates(f, 0.1))
  with pytest.raises(InputError, match=r"C = 10 is too large.*L2-normalize"):
    svm.fit(x, labels, 10.0, num_classes=3)


@pytest.mark.parametrize("kind", SHAPES)
def test_unknown_targets_are_left_out(kind):
  """Each class is scikit-learn's, trained on its known images alone."""
  x, _ = planted(*SHAPES[kind], 4)
  targets = multi_targets(len(x), 4)
  found = svm.fit(x, targets, 3.0)
  for k in range(4):
    is_known = targets[:, k] != 0
    wanted = plain(x[is_known], targets[is_known, k], 3.0, dual=False)
    np.testing.assert_allclose(
      found.weights[:, k], wanted.coef_[0], rtol=0, atol=1e-4
    )
    assert found.biases[k] == pytest.approx(wanted.intercept_[0], abs=1e-4)
    # As negatives they would count.
    slipped = plain(x, targets[:, k] == 1, 3.0, dual=False)
    assert np.abs(slipped.coef_[0] - found.weights[:, k]).max() > 0.05


@pytest.mark.parametrize("kind", SHAPES)
def test_labels_as_targets_are_the_same_problem(kind):
  x, labels = planted(*SHAPES[kind], 3)
  single = svm.fit(x, labels, 3.0, num_classes=3)
  multi = svm.fit(x, np.where(labels[:, None] == np.arange(3), 1, -1), 3.0)
  # One by one and together they stop at other steps.
  np.testing.assert_allclose(single.weights, multi.weights, atol=2e-3)
  np.testing.assert_allclose(single.biases, multi.biases, atol=2e-3)


def test_scores_are_those_of_the_planes():
  x, labels = planted(60, 150, 3)
  found = svm.fit(x, labels, 3.0, num_classes=3)
  others, _ = planted(9, 150, 3, seed=1)
  scores = found.scores(others)
  assert scores.dtype == np.float32
  wanted = plain(x, labels, 3.0, dual=False).decision_function(others)
  np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", SHAPES)
def test_two_calls_give_the_same_bits(kind):
  x, labels = planted(*SHAPES[kind], 4)
  for targets, options in (
    (labels, {"num_classes": 4}),
    (multi_targets(len(x), 4), {}),
  ):
    first, second = (svm.fit(x, targets, 31.6, **options) for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(first.biases, second.biases)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_solver_cut_short_says_so_once(monkeypatch, kind):
  x, labels = planted(*SHAPES[kind], 3)
  monkeypatch.setattr(liblinear, "MAX_ITER", 2)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    for targets in (labels, np.where(labels[:, None] == np.arange(3), 1, -1)):
      assert not svm.fit(x, targets, 316.0, num_classes=3).converged


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


ONES = np.ones((5, 3), np.float32)


@pytest.mark.parametrize(
  ("features", "targets", "num_classes", "words"),
  [
    (ONES, [0, 1, 0, 1, 0], None, "num_classes of 2 or more"),
    (ONES, [0, 0, 0, 0, 0], 1, "num_classes of 2 or more"),
    (ONES, [0, 1, 2, 1, 0], 2, r"integers in \[0, 2\)"),
    (ONES, [0, 1, -1, 1, 0], 2, r"integers in \[0, 2\)"),
    (ONES, [0.0, 1, 0, 1, 0], 2, "integers"),
    (ONES, [0, 1], 2, r"\(5, 3\).*\(2,\)"),
    (ONES[0], [0, 1, 0], 2, r"\(3,\)"),
    (ONES[:, :0], [0, 1, 0, 1, 0], 2, r"\(5, 0\)"),
    (ONES, MULTI[..., None], None, r"\(5, 2, 1\)"),
    (ONES, MULTI[:, :0], None, r"\(5, 0\)"),
    (ONES, 2 * MULTI, None, "-1, 0 or 1"),
    (ONES, MULTI, 3, "num_classes 3"),
  ],
)
def test_refuses_what_does_not_belong_together(
  features, targets, num_classes, words
):
  with pytest.raises(ValueError, match=words):
    svm.fit(features, targets, 1.0, num_classes=num_classes)


@pytest.mark.parametrize(
  ("targets", "num_classes", "words"),
  [
    ([0, 2, 0, 2, 3], 4, "has class 1 "),
    ([0, 1, 0, 1, 2], 4, "has class 3 "),
    ([1, 1, 1, 1, 1], 2, "has class 0 "),
    (np.array([[1, 1, -1, -1, 1], [-1, 0, -1, 0, -1]]).T, None, "has class 1 "),
    (np.array([[1, 0, 1, 0, 1], [-1, 0, 1, 0, -1]]).T, None, "lacks class 0 "),
  ],
)
def test_names_a_class_without_images(targets, num_classes, words):
  for features in (ONES, np.ones((5, 9))):
    with pytest.raises(InputError, match=f"no training image {words}"):
      svm.fit(features, targets, 1.0, num_classes=num_classes)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [3, 9])
def test_refuses_features_that_are_no_numbers(value, size):
  features = np.ones((5, size))
  features[3, 1] = value
  with pytest.raises(InputError, match="NaN or infinite"):
    svm.fit(features, MULTI, 1.0)
  # The largest float32 are numbers.
  svm._checked(np.full((5, 3), 3e38), MULTI, None)


@pytest.mark.parametrize("C", [0, -1.0, np.nan, np.inf])
def test_refuses_a_wrong_c(C):
  with pytest.raises(InputError, match="C must be a number above 0"):
    svm.fit(ONES, MULTI, C)


def test_refuses_more_than_liblinear_counts(monkeypatch):
  x, labels = planted(30, 20, 2)
  # Its entries, and each image's intercept and end.
  entries = np.count_nonzero(x) + 60
  monkeypatch.setattr(liblinear, "MAX_ENTRIES", entries)
  svm.fit(x, labels, 1.0, num_classes=2)
  monkeypatch.setattr(liblinear, "MAX_ENTRIES", entries - 1)
  with pytest.raises(InputError, match="30 images of 20 features"):
    svm.fit(x, labels, 1.0, num_classes=2)


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


def test_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "sklearn", None)
  with pytest.raises(InputError, match=r"pip install 'vggjax\[transfer\]'"):
    svm.fit(ONES, MULTI, 1.0)

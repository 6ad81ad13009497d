"""Linear SVMs against scikit-learn's own, on small planted classes (App. B)."""

import warnings

import numpy as np
import pytest
from planted_descriptors import multi_targets, plain, planted
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from vggjax.errors import InputError
from vggjax.features import liblinear, svm

# Fewer images than features, solved on coordinates; and more.
SHAPES = {
  "fewer images": (60, 150),
  "a few more images": (60, 50),
  "more images": (150, 20),
}


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

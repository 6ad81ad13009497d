"""The problems that LinearSVC solves, posed so that they need little memory."""

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import ModuleType

import numpy as np
from scipy import linalg

from vggjax.errors import InputError

# Ten times scikit-learn's, which similar images need from C = 100 on.
MAX_ITER = 10_000
# Of the gradient. With scikit-learn's, 1e-4, weights at a large C are off by
# five percent.
TOLERANCE = 1e-6
# liblinear counts the entries of a matrix in 32 bits.
MAX_ENTRIES = 2**31 - 1
# Columns of features in float64 at once.
BLOCK = 1024


@dataclasses.dataclass(frozen=True)
class LinearClassifier:
  """One linear score a class.

  Attributes:
    weights: float32 [F, K].
    biases: float32 [K].
    converged: whether each class's solver ended before MAX_ITER.
  """

  weights: np.ndarray
  biases: np.ndarray
  converged: bool

  def scores(self, features: np.ndarray) -> np.ndarray:
    """The classes' scores of features [N, F], float32 [N, K]."""
    return np.asarray(features, np.float32) @ self.weights + self.biases


class Problem:
  """Training images and targets, ready to be solved for several C."""

  def __init__(
    self, features: np.ndarray, targets: np.ndarray, num_classes: int | None
  ):
    self.svm = _sklearn_svm()
    self.features = features
    self.num_classes = num_classes or targets.shape[1]
    _check_classes(targets, self.num_classes)
    # Labels of more than two classes are one call: [(labels, None)].
    self.targets, self.masks = [targets], [None]
    if targets.ndim == 2:
      # A weight of 0 is left out of the problem, and nothing is copied.
      self.targets = list(targets.T > 0)
      self.masks = list((targets.T != 0).astype(float))
    # Up to here the coordinates are smaller than the features.
    self.is_rotated = 2 * len(features) < 3 * features.shape[1]
    self.matrix, self.shift = features, 0.0
    if self.is_rotated:
      self.matrix, self.shift = _coordinates(features)
    entries = np.count_nonzero(self.matrix) + 2 * len(features)
    if entries > MAX_ENTRIES:
      raise InputError(
        f"{len(features)} images of {features.shape[1]} features are more than "
        f"liblinear's {MAX_ENTRIES:,} entries; take fewer of either"
      )

  def solve(self, C: float) -> LinearClassifier:
    if not (np.isfinite(C) and C > 0):
      raise InputError(f"C must be a number above 0, not {C}")
    if 2 * C * self.shift > 0.5:
      raise InputError(
        f"C = {C:g} is too large for features of such norms; L2-normalize them"
      )
    # See `_coordinates`.
    C /= 1 - 2 * C * self.shift
    parts = [
      self._solve(C, targets, mask)
      for targets, mask in zip(self.targets, self.masks, strict=True)
    ]
    weights = np.concatenate([part.coef_.T for part in parts], axis=1)
    biases = np.concatenate([part.intercept_ for part in parts])
    if len(biases) < self.num_classes:
      # Of two labels LinearSVC gives the second's scores.
      weights = np.concatenate([-weights, weights], axis=1)
      biases = np.concatenate([-biases, biases])
    return LinearClassifier(
      (self._weights(weights) if self.is_rotated else weights).astype(
        np.float32
      ),
      biases.astype(np.float32),
      converged=max(part.n_iter_ for part in parts) < MAX_ITER,
    )

  def _solve(self, C: float, targets: np.ndarray, mask: np.ndarray | None):
    # Coordinate descent on the dual problem takes five times as long at
    # C = 100 on classes that cannot be separated, and more above.
    solver = self.svm.LinearSVC(
      C=C, dual=False, tol=TOLERANCE, max_iter=MAX_ITER, random_state=0
    )
    with warnings.catch_warnings():
      # It becomes LinearClassifier.converged.
      warnings.filterwarnings("ignore", "Liblinear failed to converge")
      return solver.fit(self.matrix, targets, mask)

  def _weights(self, weights: np.ndarray) -> np.ndarray:
    """Those of the features [F, K], from those of the coordinates [N, K]."""
    with _one_thread():
      shares = linalg.solve_triangular(
        self.matrix, weights, trans="T", lower=True
      )
    found = np.empty((self.features.shape[1], weights.shape[1]), np.float32)
    for columns, part in _blocks(self.features):
      found[columns] = part.T @ shares
    return found


def _coordinates(features: np.ndarray) -> tuple[np.ndarray, float]:
  """Coordinates Z of images in other axes.

  A linear SVM's weights are a sum of training images, w = X^T a, so only the
  inner products G = X X^T of the images matter. With G = Z Z^T, Z the lower
  triangle of Cholesky's decomposition, Z is X in other orthogonal axes, and
  liblinear takes the same steps from either; it skips zeros, so Z has N^2 / 2
  entries in place of N F. The intercept, a constant feature, is the same for
  both.

  So that equal images do no harm, `shift` is added to G's diagonal. The dual
  problem of the squared hinge loss has G + I / (2 C), so the shift is exactly
  undone by C' with 1 / (2 C') = 1 / (2 C) - shift.

  Returns:
    Z float64 [N, N], lower triangular, in C order, and the shift.
  """
  gram = np.zeros((len(features), len(features)), order="F")
  for _, part in _blocks(features):
    for begin in range(0, len(part), BLOCK):
      rows = part[begin : begin + BLOCK]
      end = begin + len(rows)
      gram[:end, begin:end] += part[:end] @ rows.T
  # Above the rounding errors of G and its decomposition.
  shift = np.finfo(float).eps * len(features) * (np.trace(gram) or 1)
  gram[np.diag_indices(len(gram))] += shift
  with _one_thread():
    return linalg.cholesky(gram, overwrite_a=True).T, shift


def _one_thread() -> AbstractContextManager:
  """For LAPACK: OpenBLAS 0.3.31 crashes with two from 20,000 images on."""
  from threadpoolctl import threadpool_limits  # It comes with scikit-learn.

  return threadpool_limits(1, user_api="blas")


def _blocks(features: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
  """The features in float64, some columns at a time."""
  for begin in range(0, features.shape[1], BLOCK):
    columns = slice(begin, begin + BLOCK)
    yield columns, features[:, columns].astype(np.float64, order="C")


def _check_classes(targets: np.ndarray, num_classes: int) -> None:
  if targets.ndim == 1:
    has = np.bincount(targets, minlength=num_classes)
    has_not = len(targets) - has
  else:
    has, has_not = np.sum(targets == 1, axis=0), np.sum(targets == -1, axis=0)
  for counts, word in ((has, "has"), (has_not, "lacks")):
    if not counts.all():
      raise InputError(
        f"no training image {word} class {counts.argmin()} (of 0 to "
        f"{num_classes - 1}), so it cannot be learned; add one"
      )


def _sklearn_svm() -> ModuleType:
  try:
    from sklearn import svm
  except ImportError as error:
    raise InputError(
      f"training an SVM needs scikit-learn ({error}): pip install "
      "'vggjax[transfer]'"
    ) from error
  return svm

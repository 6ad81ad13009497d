"""Linear SVMs on image descriptors, by scikit-learn's LinearSVC (App. B)."""

from collections.abc import Callable, Sequence

import numpy as np

from vggjax.errors import InputError
from vggjax.features.liblinear import LinearClassifier, Problem

# Not in the paper: half decades of C. Descriptors of norm 1 whose cosines are
# mostly above 0.3 need a ||w|| of several units, so values below 0.1 underfit;
# above 300 the few images of a class are separated and little changes.
C_GRID = (0.1, 0.316, 1.0, 3.16, 10.0, 31.6, 100.0, 316.0)
PATIENCE = 2


def fit(
  features: np.ndarray,
  targets: np.ndarray,
  C: float,
  *,
  num_classes: int | None = None,
) -> LinearClassifier:
  """Trains one SVM a class, it against the rest, of squared hinge loss.

  The same arguments give the same bits on the same machine. With N < 1.5 F the
  problem is solved in coordinates [N, N] of the images in place of the features
  (see `liblinear`). Peak memory, which benchmarks/svm.py measures, for each
  byte of the features, themselves included: 1 + 4 N / F where N < 1.5 F, else
  up to 7, since LinearSVC copies them to float64 and liblinear takes 16 bytes
  for each that is not 0.

  Args:
    features: float32 [N, F], L2-normalized.
    targets: int [N], labels in [0, K); or int8 [N, K], of any number of
      classes an image: 1 it has the class, -1 it has not, 0 unknown, left out
      for that class.
    C: the weight of the losses, above 0.
    num_classes: K, for labels.

  Raises:
    InputError: if a class has no training image (or all have it), a feature is
      not finite, the problem is too large or scikit-learn is missing.
    ValueError: if the arrays do not belong together.
  """
  features, targets = _checked(features, targets, num_classes)
  return Problem(features, targets, num_classes).solve(C)


def choose_C(  # noqa: N802
  features: np.ndarray,
  targets: np.ndarray,
  is_held_out: np.ndarray,
  measure: Callable[[np.ndarray, np.ndarray], float],
  grid: Sequence[float] = C_GRID,
  *,
  num_classes: int | None = None,
) -> tuple[float, dict[float, float]]:
  """Chooses C by what it gives on images held out of training.

  Args:
    features: see `fit`; they are copied once.
    targets: see `fit`.
    is_held_out: bool [N], see `hold_out`.
    measure: of the held-out images' scores [n, K] and targets; higher is
      better.
    grid: the values to try, from the smallest.
    num_classes: K, for labels.

  Returns:
    The smallest C among the best, and the value of each C tried.

  Raises:
    InputError: see `fit`; also if a measure is not a number.
    ValueError: if the arrays do not belong together, or the grid is empty.
  """
  features, targets = _checked(features, targets, num_classes)
  is_held_out = np.asarray(is_held_out)
  if is_held_out.dtype != bool or is_held_out.shape != features.shape[:1]:
    raise ValueError(
      f"is_held_out must be bool [{len(features)}], not {is_held_out.dtype} "
      f"{is_held_out.shape}"
    )
  if not len(grid):
    raise ValueError("the grid of C is empty")
  if is_held_out.all() or not is_held_out.any():
    raise InputError(
      f"{is_held_out.sum()} of {len(features)} images are held out to choose "
      "C; hold out some, not all"
    )
  held, held_targets = features[is_held_out], targets[is_held_out]
  problem = Problem(features[~is_held_out], targets[~is_held_out], num_classes)
  values = {}
  for C in sorted({float(C) for C in grid}):
    values[C] = float(measure(problem.solve(C).scores(held), held_targets))
    if np.isnan(values[C]):
      raise InputError(f"the held-out images' measure at C = {C:g} is NaN")
    if max(list(values.values())[-PATIENCE:]) < max(values.values()):
      break
  # The first of equals.
  return max(values, key=values.get), values


def hold_out(
  targets: np.ndarray, share: float = 0.2, seed: int = 0
) -> np.ndarray:
  """Draws images to choose C on.

  Args:
    targets: labels [N]: of n images of a class round(share * n) are held out,
      at least one and not all where n is 2 or more, none where n is 1; or
      [N, K], as for `fit`: likewise, an image counting for the rarest of its
      classes.
    share: above 0, below 1.
    seed: of the draw.

  Returns:
    bool [N].
  """
  targets = np.asarray(targets)
  if targets.ndim not in (1, 2) or not len(targets):
    raise ValueError(f"targets {targets.shape} must be [N] or [N, K], N > 0")
  if not 0 < share < 1:
    raise ValueError(f"share must be above 0 and below 1, not {share}")
  groups = targets
  if targets.ndim == 2:
    has = targets == 1
    groups = np.where(has, has.sum(axis=0), len(targets) + 1).argmin(axis=1)
  random = np.random.default_rng(seed)
  is_held_out = np.zeros(len(targets), bool)
  for group in np.unique(groups):
    members = np.flatnonzero(groups == group)
    count = min(max(round(share * len(members)), 1), len(members) - 1)
    is_held_out[random.permutation(members)[:count]] = True
  return is_held_out


def _checked(
  features: np.ndarray, targets: np.ndarray, num_classes: int | None
) -> tuple[np.ndarray, np.ndarray]:
  """Both as arrays that belong together."""
  features = np.asarray(features, np.float32)
  targets = np.asarray(targets)
  is_shaped = features.ndim == 2 and targets.ndim in (1, 2)
  if not (is_shaped and features.size and targets.size) or (
    len(targets) != len(features)
  ):
    raise ValueError(
      f"features {features.shape} and targets {targets.shape} must be [N, F] "
      "and [N] or [N, K], of the same images, at least one"
    )
  if targets.ndim == 2:
    if not np.isin(targets, (-1, 0, 1)).all():
      raise ValueError("targets [N, K] must be -1, 0 or 1")
    if num_classes not in (None, targets.shape[1]):
      raise ValueError(f"num_classes {num_classes}, targets {targets.shape}")
  elif num_classes is None or num_classes < 2:
    raise ValueError(f"labels need num_classes of 2 or more, not {num_classes}")
  elif targets.dtype.kind not in "iu" or (
    targets.min() < 0 or targets.max() >= num_classes
  ):
    raise ValueError(f"labels must be integers in [0, {num_classes})")
  # No float32 overflows a sum in float64.
  if not np.isfinite(np.sum(features, dtype=np.float64)):
    raise InputError("a feature is NaN or infinite; extract them again")
  return features, targets

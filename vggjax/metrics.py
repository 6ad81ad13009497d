"""Measures of answers, in percent: errors (Sect. 4, App. A), average precision
and recall (App. B)."""

from collections.abc import Sequence

import numpy as np

from vggjax import geometry

# A box is right if its overlap with a true one is above it (App. A.2).
MIN_IOU = 0.5


def topk_error(posteriors: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
  """The share of images whose class is not among the k best (Sect. 4).

  An image is wrong when k or more other classes score at least as high as its
  own, so ties never help, nor does a NaN.

  Args:
    posteriors: float [N, K], any monotone scores.
    labels: int [N], in [0, K).
    k: 1 for top-1, 5 for top-5.

  Returns:
    Percent.

  Raises:
    ValueError: if the arrays do not belong together, or N is 0.
  """
  return float(100.0 * np.mean(topk_wrong(posteriors, labels, k)))


def topk_wrong(
  posteriors: np.ndarray, labels: np.ndarray, k: int = 1
) -> np.ndarray:
  """Whether each image is wrong in the sense of `topk_error`, bool [N]."""
  posteriors, labels = np.asarray(posteriors), np.asarray(labels)
  if posteriors.ndim != 2 or labels.shape != posteriors.shape[:1]:
    raise ValueError(
      f"posteriors {posteriors.shape} and labels {labels.shape} must be "
      "[N, K] and [N]"
    )
  if not labels.size:
    raise ValueError("there are no images to measure an error of")
  if labels.min() < 0 or labels.max() >= posteriors.shape[1]:
    raise ValueError(
      f"labels must be in [0, {posteriors.shape[1]}); they are in "
      f"[{labels.min()}, {labels.max()}]"
    )
  own = posteriors[np.arange(len(labels)), labels][:, None]
  below = np.sum(posteriors < own, axis=1)
  return below < posteriors.shape[1] - k


def localization_wrong(
  classes: np.ndarray,
  boxes: np.ndarray,
  labels: np.ndarray,
  true_boxes: Sequence[np.ndarray],
) -> np.ndarray:
  """Whether no answer to an image is right, bool [N] (App. A).

  An answer, a class and a box, is right if the class is the image's and the
  box overlaps any of its true boxes by more than half (IoU).

  Args:
    classes: int [N, k], the classes answered.
    boxes: float [N, k, 4], their boxes, edges.
    labels: int [N].
    true_boxes: N arrays [n, 4] in the units of `boxes`, n at least 1.

  Raises:
    ValueError: if the arrays do not belong together, or N is 0.
  """
  if not len(labels) == len(classes) == len(boxes) == len(true_boxes) > 0:
    raise ValueError(
      f"classes {classes.shape}, boxes {boxes.shape}, {len(labels)} labels and "
      f"{len(true_boxes)} images' true boxes do not belong together"
    )
  wrong = []
  for answer, found, label, true in zip(
    classes, boxes, labels, true_boxes, strict=True
  ):
    overlaps = geometry.iou(found[:, None], true[None]).max(axis=1)
    wrong.append(not np.any((answer == label) & (overlaps > MIN_IOU)))
  return np.array(wrong)


def average_precision(
  scores: np.ndarray, targets: np.ndarray, *, points: int = 0
) -> float:
  """The average precision of one class, as PASCAL VOC measures it (App. B).

  Precision and recall are taken only between distinct scores, so images of
  equal score enter together and no order of ties helps. NaN ranks last.

  Args:
    scores: float [N].
    targets: int8 [N]; 1: the image has the class, -1: it has not, 0: unknown
      or "difficult", left out.
    points: 11: the mean, over the recalls 0, 0.1, ..., 1, of the highest
      precision at that recall or above (VOC-2007); 0: the area below the
      highest precision at each recall or above (from VOC-2010 on).

  Returns:
    Percent.

  Raises:
    ValueError: if the arrays do not belong together, or no target is 1.
  """
  targets = np.asarray(targets)
  found = resampled_average_precision(
    scores, targets, np.ones((1, targets.size), int), points=points
  )
  if np.isnan(found[0]):
    raise ValueError("there is no positive image to measure a recall of")
  return float(found[0])


def resampled_average_precision(
  scores: np.ndarray,
  targets: np.ndarray,
  counts: np.ndarray,
  *,
  points: int = 0,
) -> np.ndarray:
  """`average_precision` of images that are drawn with replacement, float [R].

  Images are put in order once, however many resamples there are.

  Args:
    scores: float [N].
    targets: int8 [N], in {-1, 0, 1}.
    counts: int [R, N], how often each resample has each image.
    points: see `average_precision`.

  Returns:
    Percent; NaN for a resample without a positive image.

  Raises:
    ValueError: if the arrays do not belong together.
  """
  scores, targets = np.asarray(scores, float), np.asarray(targets)
  if scores.ndim != 1 or targets.shape != scores.shape:
    raise ValueError(
      f"scores {scores.shape} and targets {targets.shape} must both be [N]"
    )
  if counts.ndim != 2 or counts.shape[1:] != scores.shape:
    raise ValueError(f"counts {counts.shape} must be [R, {scores.size}]")
  if not np.isin(targets, (-1, 0, 1)).all():
    raise ValueError("targets must be -1, 0 or 1")
  if points not in (0, 11):
    raise ValueError(f"points must be 0 or 11, not {points}")
  if not np.any(targets == 1):
    return np.full(len(counts), np.nan)
  known = np.flatnonzero(targets)
  # unique() sorts, puts NaN last and makes all NaN one.
  _, ranks = np.unique(-scores[known], return_inverse=True)
  order = np.argsort(ranks, kind="stable")
  drawn = counts[:, known[order]]
  is_hit = targets[known[order]] == 1
  # At the ranks that have a hit: below one, precision only falls.
  images = np.cumsum(np.bincount(ranks))
  ties = np.bincount(ranks[order][is_hit], minlength=len(images))
  found = np.cumsum(drawn, axis=1)[:, images[ties > 0] - 1]
  hits = np.cumsum(drawn[:, is_hit], axis=1)[:, np.cumsum(ties[ties > 0]) - 1]
  precision = hits / np.maximum(found, 1)
  precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
  if points:
    # In integers: 3 of 10 hits are a recall of 0.3, whatever 3 * 0.1 is.
    first = [
      np.argmax(10 * hits >= tenths * hits[:, -1:], axis=1)
      for tenths in range(11)
    ]
    values = np.mean(np.take_along_axis(precision, np.stack(first, 1), 1), 1)
  else:
    gained = np.diff(hits, axis=1, prepend=0)
    values = np.sum(gained * precision, 1) / np.maximum(hits[:, -1], 1)
  return np.where(hits[:, -1], 100 * values, np.nan)


def mean_average_precision(
  scores: np.ndarray, targets: np.ndarray, *, points: int = 0
) -> float:
  """The mean over the classes of `average_precision` (App. B).

  Args:
    scores: float [N, K].
    targets: int8 [N, K], in {-1, 0, 1}.
    points: see `average_precision`.

  Returns:
    Percent.

  Raises:
    ValueError: if the arrays do not belong together, or a class has no
      positive image.
  """
  scores, targets = np.asarray(scores), np.asarray(targets)
  if scores.ndim != 2 or targets.shape != scores.shape or not scores.shape[1]:
    raise ValueError(
      f"scores {scores.shape} and targets {targets.shape} must both be "
      "[N, K], K at least 1"
    )
  values = []
  for k in range(scores.shape[1]):
    try:
      values.append(
        average_precision(scores[:, k], targets[:, k], points=points)
      )
    except ValueError as error:
      raise ValueError(f"class {k}: {error}") from error
  return float(np.mean(values))


def mean_class_recall(scores: np.ndarray, labels: np.ndarray) -> float:
  """The share of right images in each class, averaged over classes (App. B).

  An image is right in the sense of `topk_wrong` with k = 1. Classes without
  images do not count.

  Args:
    scores: float [N, K], any monotone scores.
    labels: int [N], in [0, K).

  Returns:
    Percent.

  Raises:
    ValueError: if the arrays do not belong together, or N is 0.
  """
  is_right = ~topk_wrong(scores, labels)
  counts = np.bincount(labels)
  hits = np.bincount(labels, weights=is_right)
  return float(100 * np.mean(hits[counts > 0] / counts[counts > 0]))


def recall_values(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Values of images whose mean is `mean_class_recall`, float [N].

  For intervals of it by `evaluate.bootstrap`: the mean of a resample is its
  recall to first order, with the resample's own number of images a class. An
  image counts the more, the fewer its class has.
  """
  is_right = ~topk_wrong(scores, labels)
  counts = np.bincount(labels)
  recalls = np.bincount(labels, is_right) / np.maximum(counts, 1)
  weights = len(is_right) / (np.count_nonzero(counts) * counts[labels])
  overall = recalls[counts > 0].mean()
  return 100.0 * (overall + weights * (is_right - recalls[labels]))

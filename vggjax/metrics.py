"""Errors of classification and localization, in percent (Sect. 4, App. A)."""

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

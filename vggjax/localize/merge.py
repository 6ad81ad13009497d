"""The greedy merge of a class's boxes (App. A.1; Sermanet et al., 2014)."""

import numpy as np

from vggjax import geometry


def greedy_merge(
  boxes: np.ndarray, confidences: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
  """Merges the best-matching pair of boxes until none matches well (App. A.1).

  A pair is replaced by the mean of its coordinates, its confidences are added.
  Of pairs that match equally well the one of the lowest positions is merged;
  the merged box takes the lower position.

  Args:
    boxes: float [P, 4], edges, of one class, P at least 1.
    confidences: float [P].
    threshold: pairs are merged while the least `match_score` is at most this.

  Returns:
    Float64 [M, 4] and [M], 1 <= M <= P, in the order of their positions.
  """
  confidences = np.array(confidences, float)
  # A coordinate after the other, which is faster.
  boxes = np.array(boxes, float, order="F")
  alive = np.ones(len(boxes), bool)
  # Some rows at a time, which stay in the processor's cache.
  parts = [boxes[i : i + 32, None] for i in range(0, len(boxes), 32)]
  scores = np.concatenate([match_score(part, boxes) for part in parts])
  np.fill_diagonal(scores, np.inf)
  # Each box's best partner.
  partner = scores.argmin(axis=1)
  least = scores[np.arange(len(boxes)), partner]
  while True:
    kept = least.argmin()
    if not least[kept] <= threshold:
      return boxes[alive], confidences[alive]
    gone = partner[kept]
    boxes[kept] = (boxes[kept] + boxes[gone]) / 2
    confidences[kept] += confidences[gone]
    alive[gone] = False
    new = match_score(boxes[kept], boxes)
    new[~alive] = new[kept] = np.inf
    scores[gone] = scores[:, gone] = np.inf
    scores[kept] = scores[:, kept] = new
    # Those whose best partner is no longer what it was.
    stale = (partner == kept) | (partner == gone)
    stale[[kept, gone]] = True
    nearer = (new < least) | ((new == least) & (kept < partner))
    partner[nearer], least[nearer] = kept, new[nearer]
    stale = np.flatnonzero(stale)
    partner[stale] = scores[stale].argmin(axis=1)
    least[stale] = scores[stale, partner[stale]]


def match_score(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
  """How badly boxes match, 0 where they are equal (Not in the paper).

  The distance of their centers over their mean side, plus 1 - IoU. OverFeat's
  own, distance plus intersection, is least where boxes overlap least.

  Args:
    boxes: float [..., 4], edges.
    others: the same, broadcast against `boxes`.
  """
  # In brackets, so that a pair's score is the same either way.
  across, down = (
    (boxes[..., i] + boxes[..., i + 2]) - (others[..., i] + others[..., i + 2])
    for i in (0, 1)
  )
  sides = half_perimeter(boxes) + half_perimeter(others)
  distance = 2 * np.sqrt(across * across + down * down) / sides
  return distance + 1 - geometry.iou(boxes, others)


def half_perimeter(boxes: np.ndarray) -> np.ndarray:
  """Width plus height [...] of boxes [..., 4]."""
  return boxes[..., 2] - boxes[..., 0] + (boxes[..., 3] - boxes[..., 1])

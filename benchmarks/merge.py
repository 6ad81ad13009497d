"""The greedy merge of 1,000 boxes of a class (App. A.1).

  python -m benchmarks.merge

Compared with the same merge looking at all pairs each time, on 100 boxes, where
that ends in seconds. The last line is the limit of 100 ms over the median time
of 1,000 boxes.
"""

import statistics
import time

import numpy as np

from vggjax.localize.merge import greedy_merge, match_score

LIMIT = 0.1
THRESHOLD = 0.6


def make_boxes(count, spread):
  """Boxes about as large as an object, around one or several places."""
  random = np.random.default_rng(0)
  centers = random.normal(250, spread, (count, 2))
  sides = random.normal(150, 20, (count, 2))
  return np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)


def plain_merge(boxes, confidences, threshold):
  """All pairs, each time."""
  while len(boxes) > 1:
    scores = match_score(boxes[:, None], boxes[None])
    scores[np.tril_indices(len(boxes))] = np.inf
    kept, gone = np.unravel_index(scores.argmin(), scores.shape)
    if scores[kept, gone] > threshold:
      break
    boxes[kept] = (boxes[kept] + boxes[gone]) / 2
    confidences[kept] += confidences[gone]
    boxes = np.delete(boxes, gone, axis=0)
    confidences = np.delete(confidences, gone)
  return boxes, confidences


def timed(function, boxes):
  """The result, and the seconds it took."""
  begin = time.perf_counter()
  result = function(boxes.copy(), np.ones(len(boxes)), THRESHOLD)
  return result, time.perf_counter() - begin


def main():
  """Prints a line a case, then the ratio."""
  slowest = 0.0
  for name, spread in (("one object", 20), ("several", 200)):
    few = make_boxes(100, spread)
    times = {"ours": [], "all pairs": []}
    for _ in range(5):
      ours, seconds = timed(greedy_merge, few)
      times["ours"].append(seconds)
      theirs, seconds = timed(plain_merge, few)
      times["all pairs"].append(seconds)
    np.testing.assert_allclose(ours[0], theirs[0])
    medians = {key: statistics.median(values) for key, values in times.items()}
    many = make_boxes(1000, spread)
    median = statistics.median(timed(greedy_merge, many)[1] for _ in range(9))
    slowest = max(slowest, median)
    print(
      f"{name}: 100 boxes {1e3 * medians['ours']:.1f} ms, all pairs "
      f"{1e3 * medians['all pairs']:.1f} ms; 1,000 boxes {1e3 * median:.1f} ms"
    )
  print(f"limit {1e3 * LIMIT:.0f} ms over the slower median of 1,000 boxes")
  print(f"ratio {LIMIT / slowest:.2f}")


if __name__ == "__main__":
  main()

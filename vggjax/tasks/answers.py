"""What is said of images: classes with a box each, right or wrong (App. A)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from vggjax import metrics
from vggjax.evaluate import store
from vggjax.localize.protocol import best_boxes
from vggjax.tasks.boxes import Found

# Classes that are answered, each with a box.
NUM_ANSWERS = 5


@dataclasses.dataclass(frozen=True)
class Answers:
  """What is said of each image: classes, the best first, each with a box.

  Attributes:
    classes: int [N, k].
    boxes: float [N, k, 4], edges as fractions of the image.
  """

  classes: np.ndarray
  boxes: np.ndarray


def classes_of(item: store.Posteriors, source: Any) -> np.ndarray:
  """The five most probable classes int32 [N, k] of a source's images.

  Args:
    item: posteriors of all images of the split.
    source: those that have boxes.
  """
  row_of = {name: row for row, name in enumerate(item.ids.tolist())}
  rows = [row_of[name] for name in source.ids()]
  return top_classes(item.posteriors[rows])


def top_classes(values: np.ndarray, count: int = NUM_ANSWERS) -> np.ndarray:
  """The most probable classes int32 [N, count] of posteriors [N, K]."""
  order = np.argsort(-values, axis=1, kind="stable")
  return order[:, :count].astype(np.int32)


def merged(
  sizes: np.ndarray,
  classes: np.ndarray,
  found: Sequence[list[np.ndarray]],
  ratings: Sequence[list[np.ndarray]],
  threshold: float,
) -> Answers:
  """The boxes of several networks and scales as one for each class (App. A.1).

  Args:
    sizes: int [N, 2], heights and widths of the images.
    classes: int [N, k].
    found: for each network and scale, for each image, boxes [P, k, 4].
    ratings: likewise, posteriors [P, k]; none: all positions count as much.
    threshold: of `greedy_merge`.
  """
  result = []
  for i, size in enumerate(sizes):
    of_image = np.concatenate([values[i] for values in found])
    rates = np.ones(of_image.shape[:2])
    if ratings:
      rates = np.concatenate([values[i] for values in ratings])
    result.append(best_boxes(of_image, rates, size, threshold)[0])
  return Answers(classes, np.array(result))


def mean_ratings(by_network: Sequence[Found]) -> Found:
  """The mean over classification networks of what `get_ratings` gives."""
  return [
    [np.mean(values, axis=0) for values in zip(*scale, strict=True)]
    for scale in zip(*by_network, strict=True)
  ]


def mean_box(source: Any) -> np.ndarray:
  """The mean box of a split in the center of an image, [4], fractions."""
  first = np.array([of_image[0] for of_image in source.true_boxes()])
  half = (first[:, 2:] - first[:, :2]).mean(axis=0) / 2
  return np.concatenate([0.5 - half, 0.5 + half])


def wrong(answers: Answers, source: Any) -> dict[str, np.ndarray]:
  """Which images are wrong: 100 or 0, float [N], by measure (App. A.2).

  Args:
    answers: of N images.
    source: these images, with boxes.

  Returns:
    "box": no answer is right in class and box; "class": none in class.
  """
  labels = source.labels()
  boxes_wrong = metrics.localization_wrong(
    answers.classes, answers.boxes, labels, source.true_boxes()
  )
  missed = np.all(answers.classes != labels[:, None], axis=1)
  return {"box": 100.0 * boxes_wrong, "class": 100.0 * missed}

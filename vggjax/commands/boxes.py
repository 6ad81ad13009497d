"""The boxes of `vggjax predict --boxes`: found, told, drawn (App. A)."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vggjax import geometry, images
from vggjax.annotations import read_xml
from vggjax.commands import options as common
from vggjax.commands.pictures import Pictures
from vggjax.errors import InputError
from vggjax.evaluate.rows import RaggedRows
from vggjax.localize import protocol
from vggjax.tasks import answers
from vggjax.tasks.run import picture_module
from vggjax.weights.load import load_weights
from vggjax.weights.weights import Weights

# The smallest side of a picture under its boxes, pixels, at most.
SHOWN_SIDE = 400
# Answers less probable are told but not drawn, except for the first.
DRAWN_FROM = 0.1


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds --boxes, --merge_threshold and --draw."""
  parser.add_argument(
    "--boxes",
    metavar="FILE|RUN",
    help="a localization network: tell each class's box, too",
  )
  parser.add_argument(
    "--merge_threshold",
    type=float,
    default=0.7,
    metavar="T",
    help="boxes that match at most this badly are merged; default 0.7",
  )
  parser.add_argument(
    "--draw",
    metavar="DIR",
    type=Path,
    help="with --boxes: write each picture with the boxes on it, and those of "
    "an annotation PICTURE.xml beside it",
  )


def load_localizer(name: str, classifier: Weights) -> Weights:
  """The localization network of --boxes.

  Raises:
    InputError: if it predicts no boxes, or not of the classifier's classes at
      its positions.
  """
  weights = load_weights(name)
  if weights.objective == "classes":
    raise InputError(f"--boxes {name}: predicts classes, not boxes")
  for key in ("class_names", "crop_size", "pool"):
    if getattr(weights, key) != getattr(classifier, key):
      raise InputError(
        f"--boxes {name}: its {key.replace('_', ' ')} differ from those of "
        "--weights; both must be trained alike"
      )
  return weights


def find_boxes(
  options: argparse.Namespace,
  pictures: Pictures,
  paths: Sequence[Path],
  posteriors: np.ndarray,
  classifier: Weights,
  scales: Sequence[int],
  sizes: Sequence[tuple[int, int]],
) -> answers.Answers:
  """The boxes of each picture's most probable classes.

  Args:
    options: of the command line.
    pictures: all of them.
    paths: of those that can be read, N.
    posteriors: float [N, K].
    classifier: what they are of.
    scales: Q, pixels.
    sizes: N heights and widths.
  """
  localizer = load_localizer(options.boxes, classifier)
  classes = answers.top_classes(posteriors, options.top)
  index = {path: i for i, path in enumerate(pictures.paths)}
  of_all = np.zeros((len(index), classes.shape[1]), np.int32)
  of_all[[index[path] for path in paths]] = classes

  def compute(make, weights, **keywords):
    buckets = make(
      weights.create_model(),
      weights.params,
      mean=weights.mean,
      mirror=options.mirror,
      **keywords,
    )
    _, found = pictures.compute(
      buckets,
      scales,
      extras={"classes": of_all},
      rows=RaggedRows,
      progress=common.shows_bar(pictures.paths),
    )
    return found

  regression = localizer.objective
  found = compute(protocol.dense_boxes, localizer, regression=regression)
  ratings = compute(protocol.dense_ratings, classifier)
  found = [
    [geometry.uncap(b, *size, q) for b, size in zip(values, sizes, strict=True)]
    for q, values in zip(scales, found, strict=True)
  ]
  threshold = options.merge_threshold
  return answers.merged(sizes, classes, found, ratings, threshold)


def tell(
  described: Sequence[dict[str, Any]],
  boxes: np.ndarray,
  sizes: Sequence[tuple[int, int]],
) -> None:
  """Adds "box" to each class that was answered: its edges in pixels.

  Args:
    described: of `predict.describe`, N pictures.
    boxes: float [N, k, 4], fractions.
    sizes: N heights and widths.
  """
  for picture, rows, (height, width) in zip(
    described, boxes, sizes, strict=True
  ):
    edges = np.round(rows * [width, height, width, height], 1).tolist()
    for answer, box in zip(picture["classes"], edges, strict=True):
      answer["box"] = box


def draw(
  pictures: Pictures,
  files: dict[Path, Path],
  located: answers.Answers,
  posteriors: np.ndarray,
  names: Sequence[str],
) -> None:
  """Writes each picture with its boxes.

  Args:
    pictures: what decodes them.
    files: of the PNGs by picture, N.
    located: of `find_boxes`.
    posteriors: float [N, K].
    names: of the classes.
  """
  visualize = picture_module()
  if visualize is None:
    return
  for i, (path, file) in enumerate(files.items()):
    image = pictures.decode(path)
    values = posteriors[i, located.classes[i]]
    drawn = max(1, int(np.sum(values >= DRAWN_FROM)))
    texts = [
      f"{visualize.short_name(names[k])} {100 * value:.0f} %"
      for k, value in zip(located.classes[i, :drawn], values, strict=False)
    ]
    example = visualize.Located(
      images.rescale(image, min(SHOWN_SIDE, *image.shape[:2])),
      located.boxes[i, :drawn],
      texts,
      annotated_boxes(path, image.shape[:2]),
    )
    visualize.picture_with_boxes(example, file)


def annotated_boxes(path: Path, size: tuple[int, int]) -> np.ndarray:
  """The boxes of an annotation beside a picture, float [n, 4], fractions.

  Args:
    path: of the picture.
    size: its height and width.

  Raises:
    InputError: if the annotation is not as it should be.
  """
  annotation = path.with_suffix(".xml")
  if not annotation.is_file():
    return np.zeros((0, 4))
  edges = [edges for _, edges in read_xml(annotation, is_ilsvrc=False)]
  unit = np.array([size[1], size[0]] * 2)
  return np.reshape(edges, (-1, 4)) / unit

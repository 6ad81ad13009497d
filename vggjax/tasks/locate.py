"""Evaluation of a localization network on a split (App. A)."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vggjax import checkpoint, imagenet, metrics
from vggjax import config as configuration
from vggjax.errors import InputError
from vggjax.evaluate import fusion, store, submission
from vggjax.files import written_whole
from vggjax.localize.protocol import best_boxes
from vggjax.tasks import boxes, posteriors, run
from vggjax.tasks.posteriors import Network

# Classes that are answered, each with a box.
NUM_ANSWERS = 5


@dataclasses.dataclass(frozen=True)
class Answers:
  """What is said of each image: classes, the best first, each with a box.

  Attributes:
    classes: int [N, k].
    boxes: float [N, k, 4], edges as fractions of the image.
    confidences: float [N, k], see `protocol.best_boxes`.
  """

  classes: np.ndarray
  boxes: np.ndarray
  confidences: np.ndarray


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
    result.append(best_boxes(of_image, rates, size, threshold))
  return Answers(classes, *map(np.array, zip(*result, strict=True)))


def mean_ratings(by_network: Sequence[boxes.Found]) -> boxes.Found:
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


def evaluate_boxes(config: ConfigDict, workdir: Path) -> None:
  """Measures the localization errors of the workdir's network."""
  if config.protocol not in ("dense", "center"):
    raise InputError(
      f"protocol {config.protocol!r} is for classes; boxes are predicted with "
      "dense or center"
    )
  network = posteriors.load_network(config, workdir)
  images = source = run.open_split(config, config.split)
  has_labels = bool(np.all(source.labels() >= 0))
  if has_labels:
    source = run.open_split(config, config.split, with_boxes=True)
  elif not config.classifier:
    raise InputError(
      f"split {config.split} has no labels; give classifier=RUN to find the "
      "classes"
    )
  scales = configuration.default_test_scales(config)
  classifiers = [
    open_classifier(config, name, network)
    for name in config.classifier.split(",")
    if name
  ]
  classes = source.labels()[:, None]
  if classifiers:
    classes = find_classes(config, classifiers, images, source, scales)
  answers = locate(config, network, classifiers, source, classes, scales)
  if config.pictures:
    draw_boxes(config, network, source, answers)
  if not has_labels:
    path = file_of(config, workdir, scales, "-submission.txt")
    write_submission(path, source, answers)
    run.note(f"for the ILSVRC localization server: {path}")
    return
  report(config, workdir, scales, source, answers)


def find_classes(
  config: ConfigDict,
  classifiers: Sequence[Network],
  images: Any,
  source: Any,
  scales: Sequence[int],
) -> np.ndarray:
  """The five most probable classes int32 [N, k] of images, dense (Sect. 3.2).

  Args:
    config: of the localization network's evaluation.
    classifiers: whose posteriors are averaged.
    images: the split.
    source: those of its N images that have boxes.
    scales: Q, pixels.
  """
  # As these networks are evaluated by themselves, so that what is stored of
  # them serves both.
  config = config.copy_and_resolve_references()
  config.test_mirror = True
  items = []
  for network in classifiers:
    model = network.model.clone(pool5_offsets=1)
    network = dataclasses.replace(network, model=model)
    items += posteriors.get_posteriors(config, network, images, "dense", scales)
  return classes_of(fusion.fuse(items), source)


def open_classifier(
  config: ConfigDict, name: str, localizer: Network
) -> Network:
  """A classification network; its posteriors are stored where it is.

  Args:
    config: of the localization network's evaluation.
    name: see `config.classifier`.
    localizer: the localization network.

  Raises:
    InputError: if it cannot be loaded, predicts boxes, or its positions are not
      those of the localization network.
  """
  weights, place = run.load_source(name, localizer.workdir)
  folder = localizer.workdir / "weights"
  network = posteriors.network_of_weights(config, weights, folder)
  check_classifier(network, localizer, place)
  if checkpoint.has_checkpoints(place):
    network = dataclasses.replace(network, workdir=Path(place))
  return network


def check_classifier(network: Network, localizer: Network, name: str) -> None:
  """Raises InputError unless a network can rate the boxes of another."""
  if network.card.get("objective", "classes") != "classes":
    raise InputError(f"classifier {name} predicts boxes, not classes")
  for key in ("crop_size", "pool"):
    own, other = (getattr(net.model, key) for net in (network, localizer))
    if own != other:
      raise InputError(
        f"classifier {name} has {key} {own!r}, the localization network "
        f"{other!r}; it rates boxes position by position, so both must be equal"
      )


def locate(
  config: ConfigDict,
  network: Network,
  classifiers: Sequence[Network],
  source: Any,
  classes: np.ndarray,
  scales: Sequence[int],
) -> Answers:
  """Finds the boxes of classes in each image.

  Args:
    config: its evaluation keys count.
    network: of boxes.
    classifiers: what rates the boxes; none: all positions count as much.
    source: the split, N images.
    classes: int32 [N, k].
    scales: Q, pixels, of both.
  """
  part = config.protocol
  found = boxes.get_boxes(config, network, source, classes, part, scales)
  ratings = []
  if part == "dense":
    ratings = [
      boxes.get_ratings(config, net, source, classes, scales)
      for net in classifiers
    ]
  return merged(
    source.sizes(),
    classes,
    found,
    mean_ratings(ratings),
    config.merge_threshold,
  )


def file_of(
  config: ConfigDict, workdir: Path, scales: Sequence[int], suffix: str
) -> Path:
  """A file about a localization."""
  which = "top5" if config.classifier else "true-class"
  stem = [config.split, "boxes", config.protocol, which, *map(str, scales)]
  return workdir / checkpoint.EVALUATION_FOLDER / f"{'-'.join(stem)}{suffix}"


def report(
  config: ConfigDict,
  workdir: Path,
  scales: Sequence[int],
  source: Any,
  answers: Answers,
) -> None:
  """Prints and writes the errors (App. A.2)."""
  labels = source.labels()
  wrong = metrics.localization_wrong(
    answers.classes, answers.boxes, labels, source.true_boxes()
  )
  missed = ~np.any(answers.classes == labels[:, None], axis=1)
  result = {
    "test_scales": ",".join(map(str, scales)),
    "localization_error": 100 * float(wrong.mean()),
    "class_error": 100 * float(missed.mean()),
  }
  path = file_of(config, workdir, scales, ".json")
  with written_whole(path) as temporary:
    temporary.write_text(json.dumps([result], indent=2) + "\n")
  answered = "the true class"
  if config.classifier:
    answered = f"{answers.classes.shape[1]} classes of {config.classifier}"
  print(
    f"{config.run} on {config.split}: {len(labels)} images, boxes of "
    f"{answered}, {config.protocol}, Q {result['test_scales']}\n"
    f"localization error {result['localization_error']:.2f} %, "
    f"class-only error {result['class_error']:.2f} %"
  )


def write_submission(path: Path, source: Any, answers: Answers) -> None:
  """Writes the answers for the test server, see `submission`."""
  if not imagenet.are_imagenet(source.class_names):
    raise InputError(
      f"split {source.split} has no labels, and only ImageNet has a test server"
    )
  submission.write_box_submission(
    path,
    answers.classes,
    answers.boxes * np.tile(source.sizes()[:, None, ::-1], 2),
    source.ids(),
    source.class_names,
  )


def draw_boxes(
  config: ConfigDict,
  network: Network,
  source: Any,
  answers: Answers,
  count: int = 8,
) -> None:
  """Writes boxes.png: images, the first answer's box, and the true ones."""
  visualize = run.picture_module()
  if visualize is None:
    return
  from vggjax.data import pipeline

  wanted = np.zeros(len(answers.classes), bool)
  wanted[np.linspace(0, len(wanted) - 1, count).astype(int)] = True
  true_boxes = source.true_boxes() if source.with_boxes else None
  examples = []
  for index, _, label, [image] in pipeline.rescaled_images(
    source, [2 * network.model.crop_size], wanted=wanted
  ):
    answer = answers.classes[index, 0]
    name = visualize.short_name(source.class_names[answer])
    is_wrong = label not in (-1, answer)
    if is_wrong:
      name += f"\n(true: {visualize.short_name(source.class_names[label])})"
    examples.append(
      visualize.Located(
        image,
        answers.boxes[index, :1],
        [""],
        () if true_boxes is None else true_boxes[index],
        name,
        is_wrong,
      )
    )
  path = network.workdir / "boxes.png"
  visualize.located(examples, path, title=config.run)
  run.note(f"boxes are in {path}")

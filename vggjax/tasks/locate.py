"""Evaluation of a localization network on a split (App. A)."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vggjax import checkpoint, imagenet
from vggjax import config as configuration
from vggjax.errors import InputError
from vggjax.evaluate import fusion, submission
from vggjax.files import written_whole
from vggjax.tasks import boxes, posteriors, processes, run
from vggjax.tasks.answers import (
  Answers,
  classes_of,
  mean_ratings,
  merged,
  wrong,
)
from vggjax.tasks.networks import Network, load_network, open_network


def evaluate_boxes(config: ConfigDict, workdir: Path) -> None:
  """Measures the localization errors of the workdir's network."""
  processes.refuse_several("evaluation of localization")
  if config.protocol not in ("dense", "center"):
    raise InputError(
      f"protocol {config.protocol!r} is for classes; boxes are predicted with "
      "dense or center"
    )
  network = load_network(config, workdir)
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
  network = open_network(config, name, localizer.workdir)
  check_classifier(network, localizer, name)
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
  errors = wrong(answers, source)
  result = {
    "test_scales": ",".join(map(str, scales)),
    "localization_error": float(errors["box"].mean()),
    "class_error": float(errors["class"].mean()),
  }
  path = file_of(config, workdir, scales, ".json")
  with written_whole(path) as temporary:
    temporary.write_text(json.dumps([result], indent=2) + "\n")
  answered = "the true class"
  if config.classifier:
    answered = f"{answers.classes.shape[1]} classes of {config.classifier}"
  print(
    f"{config.run} on {config.split}: {len(answers.classes)} images, boxes of "
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

"""The built-in data set `shapes`: generated offline, as a tfds builder."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import BinaryIO, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from vggjax.cores import core_count
from vggjax.data.datasets import drawing

SEED = 2014
# So many images to each process at least: one takes 0.3 s to start, and draws
# about 200 images a second.
_IMAGES_PER_WORKER = 200


@dataclasses.dataclass(eq=False)
class ShapesConfig(tfds.core.BuilderConfig):
  """How many images, and how hard they are.

  Attributes:
    num_train, num_validation, num_test: images in each split; a smaller one is
      the beginning of a larger of the same difficulty.
    difficulty: a key of drawing.DIFFICULTIES.
    num_workers: processes that draw; None: one a core.
  """

  num_train: int = 12_000
  num_validation: int = 1_000
  num_test: int = 5_000
  difficulty: str = "hard"
  num_workers: int | None = None


class Shapes(tfds.core.GeneratorBasedBuilder):
  """Textured shapes on cluttered backgrounds, ten classes, with boxes.

  An image's label is the class of its largest object. Features:
    image: uint8 [H, W, 3] RGB, stored as JPEG; 80 to 144 pixels on the short
      side, aspect ratio up to 2.
    label: class of the largest object, by area.
    labels: the classes present, ascending, each once.
    objects: one to three, the largest first: bbox (fractions of the image),
      label, is_largest.
    id: "train-000000", split and index.
  """

  VERSION = tfds.core.Version("2.0.0")
  RELEASE_NOTES: ClassVar = {
    "1.0.0": "First release.",
    "2.0.0": "Harder: smaller objects, less contrast, more clutter.",
  }
  BUILDER_CONFIGS: ClassVar = [
    ShapesConfig(name="full", description="12,000 training images."),
    ShapesConfig(
      name="easy",
      description=(
        "1,500 training images, for a first try: larger objects, more "
        "contrast, less clutter."
      ),
      difficulty="easy",
      num_train=1_500,
      num_validation=300,
      num_test=500,
    ),
  ]

  def _info(self):
    label = tfds.features.ClassLabel(names=drawing.CLASSES)
    objects = {
      "bbox": tfds.features.BBoxFeature(),
      "label": label,
      "is_largest": np.bool_,
    }
    features = {
      "image": tfds.features.Image(
        shape=(None, None, 3), encoding_format="jpeg"
      ),
      "label": label,
      "labels": tfds.features.Sequence(label),
      "objects": tfds.features.Sequence(objects),
      "id": tfds.features.Text(),
    }
    return self.dataset_info_from_configs(
      description=self.__doc__,
      features=tfds.features.FeaturesDict(features),
      supervised_keys=("image", "label"),
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing to download.
    config = self.builder_config
    counts = (config.num_train, config.num_validation, config.num_test)
    return {
      split: self._generate_examples(split, count)
      for split, count in zip(drawing.SPLITS, counts, strict=True)
    }

  def _generate_examples(self, split, count):
    config = self.builder_config
    examples = draw_examples(
      SEED,
      split,
      count,
      difficulty=config.difficulty,
      num_workers=config.num_workers,
    )
    for index, example in enumerate(examples):
      key = f"{split}-{index:06d}"
      yield key, _features(key, example)


def _features(key, example):
  """The tfds features of a drawing.Example."""
  height, width = example.size
  objects = [
    {
      "bbox": tfds.features.BBox(
        ymin=ymin / height,
        xmin=xmin / width,
        ymax=ymax / height,
        xmax=xmax / width,
      ),
      "label": label,
      "is_largest": position == 0,
    }
    for position, (label, (ymin, xmin, ymax, xmax)) in enumerate(
      zip(example.labels, example.boxes, strict=True)
    )
  ]
  return {
    "image": example.jpeg,
    "label": example.labels[0],
    "labels": sorted(set(example.labels)),
    "objects": objects,
    "id": key,
  }


def draw_examples(
  seed: int,
  split: str,
  count: int,
  *,
  difficulty: str = "hard",
  num_workers: int | None = None,
) -> Iterator[drawing.Example]:
  """Draws the first examples of a split, in order, in several processes.

  Worker w of n draws the indices w, w + n, ... and waits while its pipe is
  full, so few images are held. The processes are fresh Pythons that import
  only `drawing`: safe beside TensorFlow's threads, and in a caller's script
  without a __main__ guard. The result does not depend on the number of them.

  Args:
    seed: int in [0, 2^32).
    split: one of drawing.SPLITS.
    count: number of examples.
    difficulty: a key of drawing.DIFFICULTIES.
    num_workers: number of processes; None takes one a core, but none for
      fewer than a few hundred images; 0 draws in this process.

  Yields:
    drawing.Example, for the indices 0 ... count - 1.

  Raises:
    RuntimeError: a process ended early; its message is on stderr.
  """
  if num_workers is None:
    num_workers = min(core_count(), count // _IMAGES_PER_WORKER)
  if num_workers == 0:
    for index in range(count):
      yield drawing.draw_example(seed, split, index, difficulty)
    return
  with contextlib.ExitStack() as stack:
    workers = [
      stack.enter_context(
        _worker(seed, split, difficulty, range(w, count, num_workers))
      )
      for w in range(num_workers)
    ]
    for index in range(count):
      try:
        yield _read_example(workers[index % num_workers].stdout)
      except ValueError as error:
        raise RuntimeError(f"drawing {split} image {index} failed") from error


def _read_example(stream: BinaryIO) -> drawing.Example:
  """What `drawing.__main__` wrote; ValueError where it ends too early."""
  length, size, labels, boxes = json.loads(stream.readline())
  jpeg = stream.read(length)
  if len(jpeg) < length:
    raise ValueError("the stream ends within an image")
  boxes = tuple(map(tuple, boxes))
  return drawing.Example(jpeg, tuple(size), tuple(labels), boxes)


@contextlib.contextmanager
def _worker(seed, split, difficulty, indices):
  """A running `python -m drawing` for these indices, ended on exit."""
  bounds = (indices.start, indices.stop, indices.step)
  environment = dict(os.environ)
  # With it, Python would not look for modules in cwd.
  environment.pop("PYTHONSAFEPATH", None)
  process = subprocess.Popen(
    [
      sys.executable,
      "-m",
      "drawing",
      *map(str, (seed, split, difficulty, *bounds)),
    ],
    cwd=pathlib.Path(__file__).parent,
    env=environment,
    stdout=subprocess.PIPE,
  )
  try:
    with process.stdout:
      yield process
  finally:
    process.kill()
    process.wait()

"""What the benchmarks of the input pipeline share: images, windows, races.

The workers of a DataLoader import this, so TensorFlow is imported where it is
needed.
"""

import argparse
import dataclasses
import itertools
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

IMAGES = Path(__file__).parents[1] / "../shared/data/ilsvrc2012_val128"
CROP = 224
TRAIN_SCALE = (256, 512)
SEED = 0
# More batches than any side holds ready, and seconds to make them.
WARM = 8
SETTLE = 1.0


class Window(NamedTuple):
  """A training crop: which one of which image.

  Attributes:
    path: of the image file.
    full: height and width of the rescaled image, pixels.
    offset: top and left of the crop in it.
    mirrored: whether it is mirrored.
  """

  path: str
  full: tuple[int, int]
  offset: tuple[int, int]
  mirrored: bool


def positive(text):
  """The type of an option."""
  number = int(text)
  if number < 1:
    raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
  return number


def parser(description):
  """The options that both benchmarks have."""
  found = argparse.ArgumentParser(description=description)
  found.add_argument(
    "--images", type=Path, default=IMAGES, help="a folder of ImageNet images"
  )
  found.add_argument("--split", default="validation")
  found.add_argument("--count", type=positive, help="of its images")
  found.add_argument(
    "--batches",
    type=positive,
    default=20,
    help="batches that are timed a round",
  )
  found.add_argument("--repeats", type=positive, default=7, help="rounds")
  return found


def open_images(folder, split, count=None):
  """A source of a folder's images, whose labels are their indices."""
  from vggjax.data.sources import open_source
  from vggjax.errors import InputError

  if not folder.is_dir():
    sys.exit(f"{folder}: no such folder: give one of images by --images=FOLDER")
  try:
    source = open_source(f"folder:{folder.resolve()}", split)
  except InputError as error:
    sys.exit(str(error))
  if count is not None:
    source = source.without(range(count, source.num_examples))
  return dataclasses.replace(
    source, label_array=np.arange(source.num_examples, dtype=np.int32)
  )


def draw_windows(source, train_scale, epochs):
  """The windows that `ours` draws: of epoch 0 in index order, of 1, ..."""
  import tensorflow as tf

  from vggjax.data import preprocess
  from vggjax.data.reading import parallel_map

  number = source.num_examples

  def place(position):
    epoch, index = position // number, position % number
    crop = preprocess.random_crop(
      source.read(index)["bytes"],
      preprocess.example_key(SEED, epoch, index),
      train_scale=train_scale,
      crop_size=CROP,
    )
    return crop.full, crop.offset, crop.mirrored

  places = parallel_map(tf.data.Dataset.range(epochs * number), place)
  return [
    Window(
      str(source.root / path),
      tuple(full.tolist()),
      tuple(offset.tolist()),
      bool(mirrored),
    )
    for path, (full, offset, mirrored) in zip(
      source.paths * epochs, places.as_numpy_iterator(), strict=True
    )
  ]


def ours(source, train_scale, batch_size):
  """vggjax's batches: dicts of numpy arrays, mirrored and shifted."""
  from vggjax.data.pipeline import train_batches
  from vggjax.data.statistics import IMAGENET

  return train_batches(
    source,
    batch_size=batch_size,
    crop_size=CROP,
    train_scale=train_scale,
    seed=SEED,
    color=IMAGENET.color_shift(),
  )


def compare(our_batches, their_batches, number, tolerance):
  """Ends the process unless both give the same crops of the first epoch.

  Args:
    our_batches: those of `ours`.
    their_batches: uint8 [B, CROP, CROP, 3] each, in the order of the windows.
    number: N, images of an epoch.
    tolerance: the most levels of 255 that a value may differ by.
  """
  batch = next(our_batches)
  batch_size = len(batch["label"])
  steps = number // batch_size
  found = [batch, *itertools.islice(our_batches, steps - 1)]
  labels = np.concatenate([batch["label"] for batch in found])
  found = np.concatenate([batch["image"] for batch in found])
  theirs = np.concatenate(
    list(itertools.islice(their_batches, -(-number // batch_size)))
  )
  apart = np.abs(found.astype(int) - theirs[labels].astype(int))
  line = (
    f"{len(labels)} windows, the same for both: at most {apart.max()} of 255 "
    f"apart, {apart.mean():.4f} on average"
  )
  if apart.max() > tolerance:
    sys.exit(f"{line}: more than {tolerance}")
  print(line)


def race(sides, batch_size, batches, repeats):
  """Images a second, alternating: medians.

  Args:
    sides: endless iterators of batches, by name.
    batch_size: of all of them.
    batches: how many are timed at once.
    repeats: how often each one is.

  Returns:
    A dict by name.
  """
  rates = {name: [] for name in sides}
  for _ in range(repeats):
    for name, iterator in sides.items():
      time.sleep(SETTLE)
      for _ in range(WARM):
        next(iterator)
      begin = time.perf_counter()
      for _ in range(batches):
        next(iterator)
      seconds = time.perf_counter() - begin
      rates[name].append(batches * batch_size / seconds)
  return {name: statistics.median(values) for name, values in rates.items()}

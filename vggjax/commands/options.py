"""Options that several commands share."""

import argparse
from collections.abc import Sequence
from typing import Any

from vggjax.errors import InputError
from vggjax.evaluate.dense import check_test_scales
from vggjax.geometry import scale_for_crop
from vggjax.weights.weights import Weights

# The exit status when some images could not be read.
PARTLY = 1
WEIGHTS_HELP = (
  "a file of weights, the folder of a training run, or a name such as "
  "torchvision:vgg16, oxford:vgg19, keras:vgg16, hf:OWNER/NAME, https://..."
)


def add_images(parser: argparse.ArgumentParser) -> None:
  """Adds the pictures themselves."""
  parser.add_argument(
    "images", nargs="+", metavar="IMAGE|FOLDER", help="image files or folders"
  )


def add_weights(parser: argparse.ArgumentParser) -> None:
  """Adds --weights."""
  parser.add_argument(
    "--weights",
    required=True,
    metavar="FILE|RUN|NAME",
    help=WEIGHTS_HELP,
  )


def add_scales(parser: argparse.ArgumentParser) -> None:
  """Adds --scales and --no_mirror."""
  parser.add_argument(
    "--scales",
    type=whole_numbers,
    metavar="Q,...",
    help="smallest side of the rescaled image, pixels; several are averaged; "
    "default 256 (for another crop than 224 in proportion)",
  )
  parser.add_argument(
    "--no_mirror",
    dest="mirror",
    action="store_false",
    help="leave out the mirror image",
  )


def add_pictures(parser: argparse.ArgumentParser) -> None:
  """Adds --as_stored."""
  parser.add_argument(
    "--as_stored",
    dest="upright",
    action="store_false",
    help="do not turn pictures by their EXIF orientation, as in the paper's "
    "evaluation",
  )


def whole_numbers(text: str) -> tuple[int, ...]:
  """Of "256,384"."""
  return tuple(int(word) for word in text.split(","))


def scales_of(
  scales: Sequence[int] | None, weights: Weights, smallest: int = 0
) -> Sequence[int]:
  """The scales asked for, or the usual one.

  Args:
    scales: of the command line.
    weights: of the network.
    smallest: the least scale there can be; 0: the crop size.

  Raises:
    InputError: if one is too small.
  """
  scales = scales or (scale_for_crop(256, weights.crop_size),)
  try:
    check_test_scales(scales, smallest or weights.crop_size)
  except InputError as error:
    raise InputError(f"--scales: {error}") from error
  return scales


def shows_bar(items: Sequence[Any]) -> bool:
  """Whether a progress bar is worth showing."""
  return len(items) > 1

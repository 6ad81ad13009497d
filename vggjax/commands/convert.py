"""`vggjax convert`: weights from one format to another."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from vggjax.commands import options as common
from vggjax.errors import InputError
from vggjax.weights.load import load_weights
from vggjax.weights.save import FORMATS, save_weights

# What the end of a name says of the format.
SUFFIXES = {
  ".safetensors": "vggjax",
  ".pth": "torchvision",
  ".pt": "torchvision",
  ".h5": "keras",
  ".stablehlo": "stablehlo",
}
EXAMPLES = """\
examples:
  vggjax convert VGG_ILSVRC_16_layers.caffemodel vgg16.safetensors
  vggjax convert runs/A-256 mine.safetensors --license=CC-BY-4.0
  vggjax convert mine.safetensors mine.pth
  vggjax convert keras:vgg19 vgg19.safetensors --format=torchvision
"""


def add_parser(commands: Any) -> None:
  """Adds the command to those of a parser."""
  parser = commands.add_parser(
    "convert",
    help="write weights in another format",
    description="Reads weights of any format and writes them in another.",
    epilog=EXAMPLES,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("source", metavar="IN", help=common.WEIGHTS_HELP)
  parser.add_argument("target", metavar="OUT", type=Path, help="a file")
  parser.add_argument(
    "--format",
    choices=FORMATS,
    help="default: by the name's end: "
    + ", ".join(f"{end} {name}" for end, name in SUFFIXES.items()),
  )
  parser.add_argument(
    "--license", help="noted in the file's model card, e.g. CC-BY-4.0"
  )
  parser.add_argument(
    "--force", action="store_true", help="replace OUT if it exists"
  )
  parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
  """Converts; returns the exit status."""
  form = options.format or SUFFIXES.get(options.target.suffix)
  if form is None:
    raise InputError(
      f"{options.target}: its name ends in none of {', '.join(SUFFIXES)}; give "
      f"--format, one of {', '.join(FORMATS)}"
    )
  if options.target.exists() and not options.force:
    raise InputError(f"{options.target} exists; --force replaces it")
  weights = load_weights(options.source)
  if options.license:
    card = {**weights.card, "license": options.license}
    weights = dataclasses.replace(weights, card=card)
  save_weights(options.target, weights, format=form)
  size = options.target.stat().st_size
  print(
    f"{options.target}: network {weights.network}, format {form}, "
    f"{size / 1e6:.1f} MB"
  )
  return 0

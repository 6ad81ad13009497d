"""`vggjax features`: descriptors of pictures for other programs."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from vggjax.commands import options as common
from vggjax.commands.pictures import Pictures, find_images
from vggjax.errors import InputError
from vggjax.features import extract
from vggjax.files import written_whole
from vggjax.weights.load import load_weights

EXAMPLES = """\
examples:
  vggjax features photos/ --weights=oxford:vgg16 --out=photos.npz
  vggjax features photos/ --weights=runs/A-256 --layer=pool5 --scales=64,73 \\
    --aggregate=stack --out=photos.parquet

Read them back with np.load(...)["features"], or pandas.read_parquet(...).
"""


def add_parser(commands: Any) -> None:
  """Adds the command to those of a parser."""
  parser = commands.add_parser(
    "features",
    help="write descriptors of pictures",
    description="Writes an L2-normalized descriptor of each picture (App. B).",
    epilog=EXAMPLES,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  common.add_images(parser)
  common.add_weights(parser)
  parser.add_argument(
    "--out",
    required=True,
    type=Path,
    metavar="FILE",
    help=f"ends in {' or '.join(WRITERS)}",
  )
  parser.add_argument(
    "--layer",
    default="",
    help="conv1_1 ... pool5, fc6 or fc7; default fc7 (pool5 without FC layers)",
  )
  common.add_scales(parser)
  parser.add_argument(
    "--aggregate",
    choices=extract.AGGREGATES,
    default="average",
    help="how several scales are combined; default average",
  )
  common.add_pictures(parser)
  parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
  """Computes and writes; returns the exit status."""
  write = WRITERS.get(options.out.suffix)
  if write is None:
    raise InputError(f"--out {options.out} must end in {' or '.join(WRITERS)}")
  pictures = Pictures(find_images(options.images), upright=options.upright)
  weights = load_weights(options.weights)
  model = weights.create_model()
  layer = options.layer or extract.layer_names(model)[-1]
  buckets = extract.feature_buckets(
    model,
    weights.params,
    mean=weights.mean,
    layer=layer,
    mirror=options.mirror,
  )
  scales = common.scales_of(
    options.scales, weights, extract.smallest_scale(model, layer)
  )
  progress = common.shows_bar(pictures.paths)
  paths, values = pictures.compute(buckets, scales, progress=progress)
  features = extract.aggregate_scales(values, options.aggregate)
  try:
    with written_whole(options.out) as temporary:
      write(temporary, [str(path) for path in paths], features)
  except OSError as error:
    raise InputError(
      f"{options.out}: cannot be written: {error.strerror}"
    ) from error
  print(f"{options.out}: {len(features)} images, {features.shape[1]} features")
  return common.PARTLY if pictures.failed else 0


def write_npz(path: Path, images: list[str], features: np.ndarray) -> None:
  """`images` and `features`, float32 [N, F]."""
  with path.open("wb") as file:
    np.savez(file, images=np.array(images), features=features)


def write_parquet(path: Path, images: list[str], features: np.ndarray) -> None:
  """The same as columns."""
  try:
    import pyarrow
    from pyarrow import parquet
  except ImportError as error:
    raise InputError(
      f"writing Parquet needs pyarrow ({error}): pip install pyarrow, or write "
      ".npz"
    ) from error
  rows = pyarrow.FixedSizeListArray.from_arrays(
    pyarrow.array(features.reshape(-1)), features.shape[1]
  )
  table = pyarrow.table({"image": pyarrow.array(images), "features": rows})
  parquet.write_table(table, path)


WRITERS = {".npz": write_npz, ".parquet": write_parquet}

"""`vggjax predict`: what pictures show, and where the network sees it."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vggjax import images
from vggjax.commands import boxes
from vggjax.commands import options as common
from vggjax.commands.pictures import Pictures, find_images
from vggjax.errors import InputError
from vggjax.evaluate import dense, multicrop
from vggjax.evaluate.buckets import Buckets
from vggjax.evaluate.store import PROTOCOLS
from vggjax.imagenet import readable
from vggjax.tasks.run import note, picture_module
from vggjax.weights.load import ASSUMED, load_weights
from vggjax.weights.weights import Weights

# The smallest side of a picture under its heat map, pixels, at most.
SHOWN_SIDE = 400
EXAMPLES = """\
examples:
  vggjax predict cat.jpg --weights=torchvision:vgg16
  vggjax predict photos/ --weights=vgg16.caffemodel --scales=256,384,512 --csv
  vggjax predict dress.jpg --weights=runs/A-256 --heatmap=maps
  vggjax predict photos/ --weights=runs/D-256 --boxes=runs/D-256-pcr --draw=out

exit status: 0; 1 if some pictures could not be read; 2 on bad input
"""


def add_parser(commands: Any) -> None:
  """Adds the command to those of a parser."""
  parser = commands.add_parser(
    "predict",
    help="say what is in pictures",
    description="Prints the most probable classes of each picture.",
    epilog=EXAMPLES,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  common.add_images(parser)
  common.add_weights(parser)
  common.add_scales(parser)
  parser.add_argument(
    "--protocol",
    choices=PROTOCOLS,
    default="dense",
    help="dense: over the whole image (default); multicrop: 5x5 crops a "
    "scale; both: their mean; center: one crop",
  )
  common.add_pictures(parser)
  parser.add_argument(
    "--top", type=int, default=5, metavar="K", help="classes told; default 5"
  )
  parser.add_argument(
    "--heatmap",
    metavar="DIR",
    type=Path,
    help="write, for each picture, a PNG of where its most probable class is "
    "seen",
  )
  parser.add_argument(
    "--heatmap_class",
    metavar="NAME",
    help="this class in place of the most probable one",
  )
  boxes.add_options(parser)
  form = parser.add_mutually_exclusive_group()
  form.add_argument("--json", action="store_true", help="print JSON")
  form.add_argument("--csv", action="store_true", help="print CSV")
  parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
  """Predicts and prints; returns the exit status."""
  if options.top < 1:
    raise InputError(f"--top is {options.top}; it must be at least 1")
  if options.draw and not options.boxes:
    raise InputError("--draw needs --boxes=RUN, a localization network")
  if options.heatmap_class and not options.heatmap:
    raise InputError("--heatmap_class needs --heatmap=DIR")
  pictures = Pictures(find_images(options.images), upright=options.upright)
  weights = load_weights(options.weights)
  if weights.objective != "classes":
    raise InputError(
      f"--weights {options.weights}: predicts boxes, not classes; give it as "
      "--boxes, and a classification network as --weights"
    )
  scales = common.scales_of(options.scales, weights)
  names = class_names(weights)
  chosen = find_class(options.heatmap_class, names)
  arrays = []
  for part in PROTOCOLS[options.protocol]:
    buckets = make_buckets(part, weights, mirror=options.mirror)
    progress = common.shows_bar(pictures.paths)
    paths, found = pictures.compute(buckets, scales, progress=progress)
    arrays += found
  posteriors = np.mean(arrays, axis=0)
  answers = describe(paths, posteriors, names, options.top)
  if options.boxes:
    sizes = [pictures.decode(path).shape[:2] for path in paths]
    what = paths, posteriors, weights, scales, sizes
    located = boxes.find_boxes(options, pictures, *what)
    boxes.tell(answers, located.boxes, sizes)
  print_answers(answers, options)
  if options.draw:
    files = picture_files(paths, options.draw)
    boxes.draw(pictures, files, located, posteriors, names)
    note(f"pictures with boxes are in {options.draw}")
  if options.heatmap:
    classes = posteriors.argmax(axis=1)
    if chosen is not None:
      classes[:] = chosen
    classes = dict(zip(paths, classes.tolist(), strict=True))
    # Two crops across, so that the map has several positions.
    scale = max(*scales, 2 * weights.crop_size)
    draw_heatmaps(options.heatmap, pictures, weights, classes, names, scale)
  return common.PARTLY if pictures.failed else 0


def make_buckets(part: str, weights: Weights, *, mirror: bool) -> Buckets:
  """What computes posteriors by "dense", "multicrop" or "center"."""
  model, params = weights.create_model(), weights.params
  options = {"mean": weights.mean, "mirror": mirror}
  if part == "dense":
    return dense.dense_buckets(model, params, **options)
  grid = 1 if part == "center" else multicrop.GRID
  return multicrop.multicrop_buckets(model, params, grid=grid, **options)


def class_names(weights: Weights) -> list[str]:
  """Names for people, in the order of the outputs; says what is not known."""
  if not weights.class_names:
    if weights.num_outputs:
      note(
        f"the weights do not name their {weights.num_outputs} classes, nor "
        "say in which order they are; they are numbered from 0"
      )
    return [f"class {i}" for i in range(weights.num_outputs)]
  if ASSUMED in weights.card:
    note(
      "the weights do not name their 1000 classes; the names are ImageNet's, "
      "in the order of its synsets, as all publishers of this format have them"
    )
  return [readable(name) for name in weights.class_names]


def find_class(name: str | None, names: Sequence[str]) -> int | None:
  """The output of a class, by its name or one of its synonyms.

  Raises:
    InputError: if there is none, or several.
  """
  if name is None:
    return None
  exact = [i for i, n in enumerate(names) if n == name]
  found = exact or [
    i for i, n in enumerate(names) if name.lower() in n.lower().split(", ")
  ]
  if len(found) == 1:
    return found[0]
  similar = found or [
    i for i, n in enumerate(names) if name.lower() in n.lower()
  ]
  hint = "; ".join(names[i] for i in similar[:5]) or "; ".join(names[:5])
  what = "several classes" if found else "no class"
  raise InputError(f"--heatmap_class {name!r} is {what}; there are {hint}")


def describe(
  paths: Sequence[Path],
  posteriors: np.ndarray,
  names: Sequence[str],
  top: int,
) -> list[dict[str, Any]]:
  """The best classes of each picture, JSON values."""
  best = np.argsort(-posteriors, axis=1, kind="stable")[:, :top]
  return [
    {
      "image": str(path),
      "classes": [
        {"class": names[k], "index": int(k), "probability": float(row[k])}
        for k in order
      ],
    }
    for path, row, order in zip(paths, posteriors, best, strict=True)
  ]


def print_answers(
  answers: Sequence[dict[str, Any]], options: argparse.Namespace
) -> None:
  """Prints them as JSON, CSV or text."""
  if options.json:
    print(json.dumps(answers, indent=2, ensure_ascii=False))
    return
  if options.csv:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    edges = ["left", "top", "right", "bottom"] if options.boxes else []
    writer.writerow(["image", "rank", "class", "index", "probability", *edges])
    for answer in answers:
      for rank, found in enumerate(answer["classes"], start=1):
        cells = [answer["image"], rank, found["class"], found["index"]]
        cells.append(f"{found['probability']:.6f}")
        writer.writerow(cells + found.get("box", []))
    return
  for answer in answers:
    print(answer["image"])
    for found in answer["classes"]:
      box = f"  {found['box']}" if "box" in found else ""
      print(f"  {100 * found['probability']:5.1f} %  {found['class']}{box}")


def draw_heatmaps(
  folder: Path,
  pictures: Pictures,
  weights: Weights,
  classes: dict[Path, int],
  names: Sequence[str],
  scale: int,
) -> None:
  """Writes folder/PICTURE.png for each picture, under its class's map."""
  visualize = picture_module()
  if visualize is None:
    return
  model = weights.create_model()
  for path, file in picture_files(classes, folder).items():
    decoded = pictures.decode(path)
    image = images.rescale(decoded, scale)
    found = dense.posterior_map(model, weights.params, image, mean=weights.mean)
    name = names[classes[path]]
    shown = images.rescale(decoded, min(SHOWN_SIDE, *decoded.shape[:2]))
    visualize.heatmap(shown, file, found[..., classes[path]], title=name)
  note(f"heat maps are in {folder}")


def picture_files(paths: Collection[Path], folder: Path) -> dict[Path, Path]:
  """A PNG for each picture, in the folders that the pictures do not share."""
  parents = [os.path.abspath(path.parent) for path in paths]
  shared = os.path.commonpath(parents)
  return {
    path: folder / os.path.relpath(parent, shared) / f"{path.name}.png"
    for path, parent in zip(paths, parents, strict=True)
  }

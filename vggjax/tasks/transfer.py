"""Features of trained networks and a linear SVM on other data (App. B)."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from vggjax import checkpoint, voc
from vggjax import config as configuration
from vggjax.errors import InputError
from vggjax.features import extract
from vggjax.files import written_whole
from vggjax.tasks import processes, run
from vggjax.tasks.descriptors import get_descriptors, place_of
from vggjax.tasks.networks import Network, open_network
from vggjax.tasks.outcomes import (
  MEASURES,
  Outcome,
  interval_of,
  stored_outcomes,
  value_of,
  values_by_class,
)
from vggjax.tasks.transfer_data import TransferData, open_data

# Images whose descriptors are computed at once from stored ones.
_BLOCK = 4096
_MAP_IMAGES = 400


def transfer(config: ConfigDict, workdir: Path) -> None:
  """Runs a transfer protocol; prints and writes what it measures."""
  processes.refuse_several("transfer")
  names = [name for name in config.transfer.networks.split(",") if name]
  if not names:
    raise InputError(
      "transfer.networks is empty; give weights or runs, joined by commas, "
      "e.g. --config.transfer.networks=oxford:vgg16,oxford:vgg19"
    )
  networks = [open_network(config, name, workdir) for name in names]
  data = open_data(config)
  outcomes = get_outcomes(config, networks, data, workdir)
  if not data.is_labeled():
    leave_to_server(config, workdir, data, outcomes)
    return
  report(config, workdir, data, outcomes)
  if config.pictures:
    path = workdir / "features.png"
    draw_map(config, networks, data, path, title=config.run)


def describe(
  config: ConfigDict, networks: Sequence[Network], data: TransferData
) -> np.ndarray:
  """The descriptors float32 [N, F] of all images, of unit length (App. B).

  Those of the scales are combined, then those of the regions and networks are
  stacked.
  """
  scales = configuration.default_test_scales(config)
  found, done = None, 0
  for source in data.sources:
    stored = [
      get_descriptors(config, network, source, region, scales)
      for network in networks
      for region in regions_of(config)
    ]
    for block in _combined(stored, config.transfer.aggregate):
      if found is None:
        found = np.empty((len(data.targets), block.shape[1]), np.float32)
      found[done : done + len(block)] = block
      done += len(block)
  return found


def regions_of(config: ConfigDict) -> tuple[str, ...]:
  """What of an image is described."""
  region = config.transfer.region
  return extract.REGIONS if region == "both" else (region,)


def _combined(
  stored: Sequence[Sequence[np.ndarray]], aggregate: str
) -> Iterator[np.ndarray]:
  """Blocks of rows, from descriptors [n, C] by network, region and scale."""
  for start in range(0, len(stored[0][0]), _BLOCK):
    rows = slice(start, start + _BLOCK)
    combined = [
      extract.aggregate_scales([values[rows] for values in scales], aggregate)
      for scales in stored
    ]
    yield extract.stack(combined)


def get_outcomes(
  config: ConfigDict,
  networks: Sequence[Network],
  data: TransferData,
  folder: Path,
  *,
  compute: bool = True,
) -> list[Outcome] | None:
  """What is measured of the networks' features, see `stored_outcomes`.

  Args:
    config: its `transfer`, `test_scales` and evaluation keys count.
    networks: whose features are stacked.
    data: the images.
    folder: below which the outcomes are stored.
    compute: whether what is not stored is computed.
  """
  scales = configuration.default_test_scales(config)
  about = {
    "descriptors": [
      place_of(config, network, source, region, q)[1]
      for network in networks
      for source in data.sources
      for region in regions_of(config)
      for q in scales
    ]
  }

  def features():
    return describe(config, networks, data)

  make = features if compute else None
  return stored_outcomes(config, data, folder, about, make)


def report(
  config: ConfigDict,
  workdir: Path,
  data: TransferData,
  outcomes: Sequence[Outcome],
) -> None:
  """Prints and writes what was measured, also of each class."""
  measure = config.transfer.measure
  values = [value_of(outcome, measure) for outcome in outcomes]
  found = [values_by_class(outcome, measure) for outcome in outcomes]
  by_class = {
    name: float(np.mean([some[k] for some in found if k in some]))
    for k, name in enumerate(data.class_names)
    if any(k in some for some in found)
  }
  width = max(map(len, by_class))
  for name, value in by_class.items():
    print(f"{name:{width}}  {value:6.2f} %")
  text = f"{np.mean(values):.2f} %"
  if len(values) > 1:
    text += f" ± {np.std(values, ddof=1):.2f} over {len(values)} random splits"
  else:
    low, high = interval_of(outcomes, measure)
    text += f" [{low:.1f}, {high:.1f}]"
  if data.class_names == voc.ACTIONS:
    ten = [v for name, v in by_class.items() if name != voc.DISTRACTORS]
    text += f"; without {voc.DISTRACTORS}: {np.mean(ten):.2f} %"
  Cs = ", ".join(f"{outcome.C:g}" for outcome in outcomes)
  print(
    f"{config.run} on {config.split} of {config.dataset.source}: "
    f"{', '.join(str(len(o.scores)) for o in outcomes)} images, C = {Cs}\n"
    f"{MEASURES[measure]} {text}"
  )
  result = {
    "networks": config.transfer.networks,
    "measure": measure,
    "values": values,
    "C": [outcome.C for outcome in outcomes],
    "by_class": by_class,
  }
  path = workdir / checkpoint.EVALUATION_FOLDER / f"{config.run}.json"
  with written_whole(path) as temporary:
    temporary.write_text(json.dumps(result, indent=2) + "\n")


def leave_to_server(
  config: ConfigDict,
  workdir: Path,
  data: TransferData,
  outcomes: Sequence[Outcome],
) -> None:
  """Writes the scores of images without labels."""
  [outcome], [division] = outcomes, data.divisions
  ids = np.concatenate([source.ids() for source in data.sources])
  ids = ids[division.test].tolist()
  if data.class_names in (voc.CLASSES, voc.ACTIONS):
    folder = workdir / "results"
    voc.write_submission(folder, outcome.scores, ids, data.class_names)
    run.note(f"for PASCAL VOC's server: {folder}")
    return
  path = workdir / checkpoint.EVALUATION_FOLDER / f"{config.run}-scores.csv"
  lines = [",".join(["id", *data.class_names])]
  for name, row in zip(ids, outcome.scores, strict=True):
    lines.append(",".join([name, *map(str, row)]))
  with written_whole(path) as temporary:
    temporary.write_text("\n".join(lines) + "\n")
  run.note(f"split {config.split} has no labels; scores are in {path}")


def draw_map(
  config: ConfigDict,
  networks: Sequence[Network],
  data: TransferData,
  path: Path,
  *,
  title: str,
) -> None:
  """Writes a PNG: a map of some test images by their descriptors.

  Args:
    config: see `get_outcomes`.
    networks: likewise.
    data: likewise; its last split is drawn.
    path: of the file.
    title: over the map.
  """
  visualize = run.picture_module()
  if visualize is None:
    return
  from vggjax.data import pipeline

  source = data.sources[-1]
  targets = data.targets[-source.num_examples :]
  labels, candidates = targets, np.arange(len(targets))
  if targets.ndim > 1:
    labels = np.argmax(targets, axis=1)
    candidates = np.flatnonzero(np.any(targets == 1, axis=1))
  count = min(_MAP_IMAGES, len(candidates))
  wanted = np.zeros(len(targets), bool)
  wanted[candidates[np.linspace(0, len(candidates) - 1, count).astype(int)]] = 1
  thumbnails = [
    image
    for _, _, _, [image] in pipeline.rescaled_images(
      source, [48], wanted=wanted
    )
  ]
  last = dataclasses.replace(data, sources=(source,), targets=targets)
  visualize.feature_map(
    describe(config, networks, last)[wanted],
    thumbnails,
    labels[wanted],
    data.class_names,
    path,
    title=title,
  )
  run.note(f"a map of the features is in {path}")

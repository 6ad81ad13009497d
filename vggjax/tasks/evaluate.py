"""Evaluation of a trained network on a split (Sect. 3.2)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vggjax import checkpoint, distributed, imagenet, metrics
from vggjax import config as configuration
from vggjax.evaluate import dense, store, submission
from vggjax.files import written_whole
from vggjax.tasks import processes, run
from vggjax.tasks.locate import evaluate_boxes
from vggjax.tasks.networks import Network, load_network
from vggjax.tasks.posteriors import get_posteriors


def evaluate(config: ConfigDict, workdir: Path) -> None:
  """Measures the errors of the workdir's network; prints and writes them."""
  processes.check_workdir(workdir)
  if config.objective != "classes":
    evaluate_boxes(config, workdir)
    return
  network = load_network(config, workdir)
  source = run.open_split(config, config.split)
  scales = configuration.default_test_scales(config)
  items = get_posteriors(config, network, source, config.protocol, scales)
  if not distributed.is_chief():
    return
  arrays = [item.posteriors for item in items]
  if config.pictures:
    draw_predictions(config, network, source, np.mean(arrays, axis=0))
  if np.any(items[0].labels < 0):
    leave_to_server(config, workdir, source, scales, items)
    return
  report(config, workdir, scales, arrays, items[0].labels)


def leave_to_server(
  config: ConfigDict,
  workdir: Path,
  source: Any,
  scales: Sequence[int],
  items: Sequence[store.Posteriors],
) -> None:
  """Says where the posteriors of a split without labels are."""
  folder = store.path_of(workdir, config.split, "dense", scales[0]).parent
  run.note(f"split {config.split} has no labels; posteriors are in {folder}")
  if not imagenet.are_imagenet(source.class_names):
    return
  path = file_of(config, workdir, scales, "-submission.txt")
  submission.write_submission(
    path,
    np.mean([item.posteriors for item in items], axis=0),
    items[0].ids,
    source.class_names,
  )
  run.note(f"for the ILSVRC test server: {path}")


def file_of(
  config: ConfigDict, workdir: Path, scales: Sequence[int], suffix: str
) -> Path:
  """A file about an evaluation."""
  stem = "-".join([config.split, config.protocol, *map(str, scales)])
  return workdir / checkpoint.EVALUATION_FOLDER / f"{stem}{suffix}"


def report(
  config: ConfigDict,
  workdir: Path,
  scales: Sequence[int],
  arrays: Sequence[np.ndarray],
  labels: np.ndarray,
) -> None:
  """Prints and writes the errors of each scale and of all combined."""
  rows = [(str(q), a) for q, a in zip(scales, arrays, strict=True)]
  if len(rows) > 1:
    rows.append((",".join(map(str, scales)), np.mean(arrays, axis=0)))
  width = max(len(name) for name, _ in rows)
  print(
    f"{config.run} on {config.split}: {len(labels)} images, {config.protocol}"
  )
  print(f"{'Q':>{width}}  top-1 error  top-5 error")
  results = []
  for name, array in rows:
    top1, top5 = (metrics.topk_error(array, labels, k) for k in (1, 5))
    results.append(
      {"test_scales": name, "top1_error": top1, "top5_error": top5}
    )
    print(f"{name:>{width}}  {top1:9.2f} %  {top5:9.2f} %")
  path = file_of(config, workdir, scales, ".json")
  with written_whole(path) as temporary:
    temporary.write_text(json.dumps(results, indent=2) + "\n")
  last = results[-1]
  print(
    f"top-1 error {last['top1_error']:.2f} %, "
    f"top-5 error {last['top5_error']:.2f} %"
  )


def draw_predictions(
  config: ConfigDict,
  network: Network,
  source: Any,
  combined: np.ndarray,
  count: int = 8,
) -> None:
  """Writes predictions.png: images, what the net says, and where it says so."""
  visualize = run.picture_module()
  if visualize is None:
    return
  from vggjax.data import pipeline

  model, params, mean = network.model, network.params, network.card["mean"]
  # Two crops across, so that the map has several positions.
  scale = 2 * model.crop_size
  wanted = np.zeros(len(combined), bool)
  wanted[np.linspace(0, len(combined) - 1, count).astype(int)] = True
  examples = []
  for index, _, label, [image] in pipeline.rescaled_images(
    source, [scale], wanted=wanted
  ):
    scores = dense.posterior_map(model, params, image, mean=mean)
    examples.append((image, label, combined[index], scores))
  path = network.workdir / "predictions.png"
  visualize.predictions(
    examples, path, class_names=source.class_names, title=config.run
  )
  run.note(f"predictions are in {path}")

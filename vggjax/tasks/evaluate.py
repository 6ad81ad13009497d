"""Dense evaluation of a trained network on a split (Sect. 3.2)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vggjax import checkpoint, metrics, parallel
from vggjax import config as configuration
from vggjax.evaluate import dense, store
from vggjax.models import vgg
from vggjax.tasks import run


def evaluate(config: ConfigDict, workdir: Path) -> None:
  """Measures the errors of the workdir's network; prints and writes them."""
  params, card, _ = checkpoint.load_run(workdir, config.checkpoint)
  model = run.model_of_card(card, config)
  source = run.open_split(config, config.split)
  run.check_classes(source.class_names, card)
  scales = configuration.default_test_scales(config)
  dense.check_test_scales(scales, model.crop_size)
  items = posteriors(config, workdir, model, params, card, source, scales)
  labels = items[0].labels
  if np.any(labels < 0):
    folder = store.path_of(workdir, config.split, "dense", scales[0]).parent
    run.note(f"split {config.split} has no labels; posteriors are in {folder}")
    return
  arrays = [item.posteriors for item in items]
  if config.pictures:
    draw_predictions(
      config, workdir, model, params, card, source, np.mean(arrays, axis=0)
    )
  report(config, workdir, scales, arrays, labels)


def posteriors(
  config: ConfigDict,
  workdir: Path,
  model: vgg.VGG,
  params: dict,
  card: dict[str, Any],
  source: Any,
  scales: Sequence[int],
) -> list[store.Posteriors]:
  """The stored posteriors of each scale; the missing ones are computed."""
  shared = {
    "protocol": "dense",
    "params": checkpoint.params_hash(params),
    "data": source.fingerprint,
    "split": config.split,
    "mirror": config.test_mirror,
    "spatial": config.spatial,
    "dtype": config.dtype,
    "precision": config.test_precision,
    "mean": card["mean"],
  }
  about = {q: {**shared, "test_scale": q} for q in scales}
  path = {q: store.path_of(workdir, config.split, "dense", q) for q in scales}
  found = {q: store.load(path[q], about[q]) for q in scales}
  missing = [q for q in found if found[q] is None]
  if missing:
    computed = compute(config, model, params, card, source, missing)
    arrays, ids, labels = computed
    for q, array in zip(missing, arrays, strict=True):
      found[q] = store.Posteriors(array, labels, ids, about[q])
      store.save(path[q], found[q])
  return [found[q] for q in scales]


def compute(
  config: ConfigDict,
  model: vgg.VGG,
  params: dict,
  card: dict[str, Any],
  source: Any,
  scales: Sequence[int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Posteriors [scales, N, K], ids and labels; each image is decoded once."""
  from vggjax.data import pipeline

  buckets = dense.dense_buckets(
    model,
    params,
    mean=card["mean"],
    mirror=config.test_mirror,
    spatial=config.spatial,
    batch_size=config.test_batch_size,
    devices=parallel.select_devices(config.num_devices),
    precision=config.test_precision,
  )
  ids, labels = [], []
  examples = pipeline.rescaled_images(source, scales)

  def stream():
    for index, name, label, versions in examples:
      ids.append(name)
      labels.append(label)
      yield index, versions

  arrays = buckets.map(
    stream(), source.num_examples, len(scales), progress=config.progress
  )
  work = buckets.work
  run.note(
    f"{work.images} images in {work.slots} slots of "
    f"{len(work.shapes)} batch shapes; padding was "
    f"{100 * (1 - work.pixels / work.slot_pixels):.0f} % of the pixels"
  )
  run.note_capped(examples.capped)
  return arrays, np.array(ids), np.array(labels, np.int32)


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
  print(f"{config.run} on {config.split}: {len(labels)} images, dense")
  print(f"{'Q':>{width}}  top-1 error  top-5 error")
  results = []
  for name, array in rows:
    top1, top5 = (metrics.topk_error(array, labels, k) for k in (1, 5))
    results.append(
      {"test_scales": name, "top1_error": top1, "top5_error": top5}
    )
    print(f"{name:>{width}}  {top1:9.2f} %  {top5:9.2f} %")
  stem = "-".join([config.split, "dense", *map(str, scales)])
  path = workdir / "evaluation" / f"{stem}.json"
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(results, indent=2) + "\n")
  last = results[-1]
  print(
    f"top-1 error {last['top1_error']:.2f} %, "
    f"top-5 error {last['top5_error']:.2f} %"
  )


def draw_predictions(
  config: ConfigDict,
  workdir: Path,
  model: vgg.VGG,
  params: dict,
  card: dict[str, Any],
  source: Any,
  combined: np.ndarray,
  count: int = 8,
) -> None:
  """Writes predictions.png: images, what the net says, and where it says so."""
  visualize = run.picture_module()
  if visualize is None:
    return
  from vggjax.data import pipeline

  # Two crops across, so that the map has several positions.
  scale = 2 * model.crop_size
  wanted = set(np.linspace(0, len(combined) - 1, count).astype(int))
  examples = []
  for index, _, label, [image] in pipeline.rescaled_images(source, [scale]):
    if index in wanted:
      scores = dense.posterior_map(model, params, image, mean=card["mean"])
      examples.append((image, label, combined[index], scores))
    if len(examples) == len(wanted):
      break
  path = workdir / "predictions.png"
  visualize.predictions(
    examples, path, class_names=source.class_names, title=config.run
  )
  run.note(f"predictions are in {path}")

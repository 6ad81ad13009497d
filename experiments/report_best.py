"""The best system of a report: its errors by class, mistakes, score maps."""

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments import table3, table4, table5, table6
from experiments.output import short_paths
from experiments.systems import MissingRunError, System, Systems
from vggjax import metrics
from vggjax.errors import InputError
from vggjax.evaluate import dense
from vggjax.evaluate.store import Posteriors
from vggjax.tasks import run as task_run

TABLES = {
  module.TABLE.name: module.TABLE for module in (table3, table4, table5, table6)
}
MAX_MISTAKES = 12
NUM_MAPS = 6


@dataclasses.dataclass(frozen=True)
class Best:
  """The system with the lowest top-1 error.

  Attributes:
    table: the name of its table.
    labels: of its row.
    error: top-1, percent, of the table.
    system: what was measured.
  """

  table: str
  labels: tuple[str, ...]
  error: float
  system: System


def find_best(results: dict[str, dict]) -> Best | None:
  """The measured row of Tables 3 to 6 with the lowest top-1 error.

  Args:
    results: table name -> its JSON.

  Returns:
    None where nothing was measured; the first of equals.
  """
  found = []
  for name, table in TABLES.items():
    system_of = {row.labels: row.system for row in table.rows}
    for row in results.get(name, {"rows": ()})["rows"]:
      labels = tuple(row["labels"])
      if row["ours"] and system_of.get(labels):
        error = row["ours"][0]["value"]
        found.append(Best(name, labels, error, system_of[labels]))
  return min(found, key=lambda best: best.error, default=None)


def name_of(best: Best) -> str:
  """The labels of a row, with their columns where there are several."""
  if len(best.labels) == 1:
    return best.labels[0]
  columns = TABLES[best.table].columns
  pairs = zip(columns, best.labels, strict=True)
  return ", ".join(f"{column} {label}" for column, label in pairs)


def collect(systems: Systems, results: dict[str, dict]) -> dict[str, Any]:
  """What a report shows of the best system, as plain data.

  Returns:
    missing: why there is nothing; or else table, name, seed, class_names,
    error: top-1 of this seed; confusion; mistakes and maps: of `describe`.
  """
  best = find_best(results)
  if best is None:
    return {"missing": "No row of Tables 3 to 6 is measured."}
  try:
    return _collect(systems, best)
  except (MissingRunError, InputError) as error:
    missing = f"{name_of(best)}, of {best.table}, needs {error}"
    return {"missing": short_paths(missing)}


def _collect(systems, best):
  seed, item = first_posteriors(systems, best.system)
  if np.any(item.labels < 0):
    return {"missing": "The split has no labels."}
  mistakes = worst_mistakes(item)
  spread = np.linspace(0, len(item.labels) - 1, NUM_MAPS).astype(int)
  spread = sorted({int(i) for i in spread})
  pictures = draw(systems, best.system, seed, item, mistakes, spread)
  return {
    "table": best.table,
    "name": name_of(best),
    "seed": seed,
    "class_names": systems.any_source().class_names,
    "error": metrics.topk_error(item.posteriors, item.labels),
    "confusion": confusion(item),
    "mistakes": [describe(item, i, pictures.get((i, False))) for i in mistakes],
    "maps": [describe(item, i, pictures.get((i, True))) for i in spread],
  }


def first_posteriors(
  systems: Systems, system: System
) -> tuple[int, Posteriors]:
  """The first seed that has all runs of a system, and its posteriors.

  Raises:
    MissingRunError: if there is none; it names what the first seed lacks.
  """
  missing = None
  for seed in systems.seeds() or [0]:
    try:
      return seed, systems.posteriors(system, seed)
    except MissingRunError as error:
      missing = missing or error
  raise missing


def confusion(item: Posteriors) -> np.ndarray:
  """How many images of each class got each answer: int [K, K], true by said."""
  num_classes = item.posteriors.shape[1]
  matrix = np.zeros((num_classes, num_classes), int)
  np.add.at(matrix, (item.labels, item.posteriors.argmax(axis=1)), 1)
  return matrix


def worst_mistakes(item: Posteriors, count: int = MAX_MISTAKES) -> list[int]:
  """The images with the highest posterior of a wrong answer, worst first."""
  wrong = np.flatnonzero(item.posteriors.argmax(axis=1) != item.labels)
  order = np.argsort(-item.posteriors.max(axis=1)[wrong], kind="stable")
  return wrong[order][:count].tolist()


def draw(
  systems: Systems,
  system: System,
  seed: int,
  item: Posteriors,
  plain: Sequence[int],
  mapped: Sequence[int],
) -> dict[tuple[int, bool], bytes]:
  """Pictures of images of the split, at a scale of two crops.

  Args:
    systems: of the report.
    system: its first member's score maps are shown.
    seed: of its run.
    item: the system's posteriors; the map is of its answer.
    plain: indices of the images to show as they are.
    mapped: of those to show under their posterior map.

  Returns:
    (index, whether with its map) -> PNG; empty without matplotlib.
  """
  visualize = task_run.picture_module()
  if visualize is None:
    return {}
  from vggjax.data import pipeline

  place = systems.place(system[0].run, seed)
  config, network = systems.config(place), systems.network(place)
  model, mean = network.model, network.card["mean"]
  wanted = np.zeros(len(item.labels), bool)
  wanted[[*plain, *mapped]] = True
  pngs = {}
  for index, _, _, [image] in pipeline.rescaled_images(
    systems.source(config), [2 * model.crop_size], wanted=wanted
  ):
    if index in plain:
      pngs[index, False] = drawn(visualize, image)
    if index in mapped:
      scores = dense.posterior_map(model, network.params, image, mean=mean)
      answer = item.posteriors[index].argmax()
      pngs[index, True] = drawn(visualize, image, scores[..., answer])
  return pngs


def drawn(visualize, image, scores=None) -> bytes:
  """The PNG of an image; see `visualize.picture`."""
  file = io.BytesIO()
  visualize.picture(image, file, scores)
  return file.getvalue()


def describe(item: Posteriors, index: int, png: bytes | None) -> dict[str, Any]:
  """An image's id, classes as numbers, the answer's posterior, its picture."""
  answer = int(item.posteriors[index].argmax())
  return {
    "id": str(item.ids[index]),
    "true": int(item.labels[index]),
    "said": answer,
    "posterior": float(item.posteriors[index, answer]),
    "png": png,
  }

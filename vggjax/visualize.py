"""Every picture the program makes (matplotlib, drawn without a screen)."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

TRAIN_COLOR, VALIDATION_COLOR, RATE_COLOR = "#4477aa", "#cc3311", "#777777"
# Clear where the posterior is 0, so that the image stays visible.
OVERLAY = LinearSegmentedColormap.from_list(
  "overlay", [(1.0, 0.35, 0.0, 0.0), (1.0, 0.35, 0.0, 0.75)]
)


def learning_curves(
  records: Sequence[dict[str, Any]], path: str | Path, *, title: str
) -> None:
  """Draws loss, top-1 error and learning rate over the steps of a run.

  Args:
    records: of `train.log.read_metrics`.
    path: of the PNG.
    title: the run's name.
  """
  lines = {
    kind: [r for r in records if r["kind"] == kind]
    for kind in ("train", "validation")
  }
  figure = Figure(figsize=(10, 4), layout="constrained")
  loss, error = figure.subplots(1, 2)
  figure.suptitle(title)
  for axes, key, label in (
    (loss, "loss", "loss"),
    (error, "top1_error", "top-1 error, %"),
  ):
    for kind, color in (
      ("train", TRAIN_COLOR),
      ("validation", VALIDATION_COLOR),
    ):
      steps = [r["step"] for r in lines[kind]]
      values = [r[key] for r in lines[kind]]
      axes.plot(steps, values, color=color, label=kind, linewidth=1.4)
    axes.set(xlabel="step", ylabel=label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    for step in rate_drops(lines["train"]):
      axes.axvline(step, color=RATE_COLOR, linestyle=":", linewidth=1)
  if rate_drops(lines["train"]):
    loss.plot([], [], ":", color=RATE_COLOR, label="learning rate dropped")
  loss.legend(frameon=False)
  save(figure, path)


def rate_drops(records: Sequence[dict[str, Any]]) -> list[int]:
  """The steps of the records at which the learning rate had just changed."""
  pairs = itertools.pairwise(records)
  return [
    after["step"]
    for before, after in pairs
    if after["learning_rate"] < 0.99 * before["learning_rate"]
  ]


def predictions(
  examples: Sequence[tuple[np.ndarray, int, np.ndarray, np.ndarray]],
  path: str | Path,
  *,
  class_names: Sequence[str],
  title: str,
) -> None:
  """Draws images with their class, the answer and its dense posterior map.

  Args:
    examples: (image uint8 [H, W, 3], label, -1 where unknown; posteriors [K];
      posterior map [h, w, K]).
    path: of the PNG.
    class_names: [K].
    title: the run's name.
  """
  columns = min(4, len(examples))
  rows = -(-len(examples) // columns)
  size = max(4.2, 3.1 * columns), 3.4 * rows
  figure = Figure(figsize=size, layout="constrained")
  grid = figure.subplots(rows, columns, squeeze=False)
  figure.suptitle(
    f"{title}\nposterior of the answer over the image", fontsize=11
  )
  for axes in grid.flat:
    axes.axis("off")
  shown = None
  for axes, example in zip(grid.flat, examples, strict=False):
    image, label, posteriors, posterior_map = example
    answer = int(np.argmax(posteriors))
    height, width = image.shape[:2]
    axes.imshow(image)
    shown = axes.imshow(
      posterior_map[..., answer],
      extent=(0, width, height, 0),
      cmap=OVERLAY,
      vmin=0,
      vmax=1,
      interpolation="bilinear",
    )
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    text = f"{short_name(class_names[answer])} {100 * posteriors[answer]:.0f} %"
    is_wrong = label >= 0 and label != answer
    if is_wrong:
      text += f"\n(true: {short_name(class_names[label])})"
    axes.set_title(
      text, fontsize=10, color=VALIDATION_COLOR if is_wrong else "black"
    )
  if shown is not None:
    figure.colorbar(shown, ax=grid, shrink=0.6, label="posterior")
    for axes in grid.flat:  # The color bar has moved them to the right.
      axes.set_anchor("C")
  save(figure, path)


def short_name(name: str, longest: int = 26) -> str:
  """A class's first synonym, cut to fit over a picture."""
  first = name.split(",")[0]
  return first if len(first) <= longest else first[: longest - 1] + "…"


def save(figure: Figure, path: str | Path) -> None:
  """Writes a PNG; a killed write leaves the older file."""
  path = Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  figure.savefig(temporary, format="png", dpi=120)
  os.replace(temporary, path)

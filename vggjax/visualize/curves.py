"""Learning curves of a run, and of a network's stages."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from vggjax.train.log import watched
from vggjax.visualize.figure import save

TRAIN_COLOR, VALIDATION_COLOR, RATE_COLOR = "#4477aa", "#cc3311", "#777777"
KINDS = {"train": TRAIN_COLOR, "validation": VALIDATION_COLOR}
ERROR_LABELS = {
  "top1_error": "top-1 error, %",
  "localization_error": "localization error, %",
}
# Of the charts of a network's stages.
CURVES = {"loss": "loss", "top1_error": ERROR_LABELS["top1_error"]}


def learning_curves(
  records: Sequence[dict[str, Any]], path: str | Path, *, title: str
) -> None:
  """Draws loss, watched error and learning rate over the steps of a run.

  Args:
    records: of `train.log.read_metrics`.
    path: of the PNG.
    title: the run's name.
  """
  lines = {kind: [r for r in records if r["kind"] == kind] for kind in KINDS}
  figure = Figure(figsize=(10, 4), layout="constrained")
  loss, error = figure.subplots(1, 2)
  figure.suptitle(title)
  name = watched(records[0]) if records else "top1_error"
  curves = {"loss": "loss", name: ERROR_LABELS[name]}
  for axes, (key, label) in zip((loss, error), curves.items(), strict=True):
    for kind, color in KINDS.items():
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


class CurveLimits(NamedTuple):
  """Axes that several networks' charts share.

  Attributes:
    steps: of the longest chain of stages.
    ranges: the lowest and highest loss, and top-1 error.
  """

  steps: int
  ranges: dict[str, tuple[float, float]]


# A stage: its run, and the records of each seed.
Stage = tuple[str, Sequence[Sequence[dict[str, Any]]]]


def curve_limits(networks: Sequence[Sequence[Stage]]) -> CurveLimits:
  """The axes that suit the charts of all networks."""
  records = [
    r for stages in networks for _, seeds in stages for rs in seeds for r in rs
  ]
  ranges = {}
  for key in CURVES:
    # 0 has no place on a logarithmic axis.
    values = [r[key] for r in records if r[key] > 0] or [1.0]
    ranges[key] = 0.8 * min(values), 1.25 * max(values)
  ends = [begin + n for s in networks for _, _, begin, n in _chained(s)]
  return CurveLimits(max(1, *ends), ranges)


def network_curves(
  stages: Sequence[Stage],
  file: str | Path | BinaryIO,
  *,
  title: str,
  limits: CurveLimits,
) -> None:
  """Draws loss and error over the stages of a network, one after the other.

  Args:
    stages: in the order of training.
    file: of the PNG, clear where nothing is drawn.
    title: the network's name.
    limits: of all networks' charts.
  """
  figure = Figure(figsize=(4.4, 3.7), layout="constrained")
  figure.suptitle(title, fontsize=10, fontweight="bold")
  panels = figure.subplots(2, 1, sharex=True)
  for axes, (key, label) in zip(panels, CURVES.items(), strict=True):
    axes.set_yscale("log")
    axes.set(ylabel=label, xlim=(0, limits.steps), ylim=limits.ranges[key])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    for number, (_, seeds, begin, _) in enumerate(_chained(stages)):
      if number:
        axes.axvline(begin, color=RATE_COLOR, linewidth=0.8)
      for kind, color in KINDS.items():
        _draw_seeds(axes, seeds, kind, key, begin, color)
  top, bottom = panels
  for name, _, begin, steps in _chained(stages):
    top.text(
      begin + steps / 2,
      1.02,
      name,
      transform=top.get_xaxis_transform(),
      ha="center",
      va="bottom",
      fontsize=7,
    )
  bottom.set_xlabel("step")
  bottom.xaxis.set_major_locator(MaxNLocator(5))
  bottom.xaxis.set_major_formatter("{x:,.0f}")
  for kind, color in KINDS.items():
    top.plot([], [], color=color, label=kind)
  top.legend(frameon=False, fontsize=8, loc="upper right")
  save(figure, file, transparent=True)


def _chained(stages: Sequence[Stage]) -> Iterator[tuple[str, Any, int, int]]:
  """Each stage's run, seeds, the steps before it and its own."""
  begin = 0
  for name, seeds in stages:
    steps = max((r["step"] for records in seeds for r in records), default=0)
    yield name, seeds, begin, steps
    begin += steps


def _draw_seeds(axes, seeds, kind, key, begin, color):
  """Each seed's curve, faintly where there are several, and their mean."""
  curves = [
    {r["step"]: r[key] for r in records if r["kind"] == kind}
    for records in seeds
  ]
  curves = [curve for curve in curves if curve]
  if len(curves) > 1:
    for curve in curves:
      steps = [begin + step for step in curve]
      values = list(curve.values())
      axes.plot(steps, values, color=color, alpha=0.35, linewidth=0.8)
  shared = [s for s in (curves or [{}])[0] if all(s in c for c in curves)]
  means = [np.mean([curve[step] for curve in curves]) for step in shared]
  axes.plot([begin + s for s in shared], means, color=color, linewidth=1.3)

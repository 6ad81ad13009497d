"""Images with answers, score maps and boxes on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from vggjax.visualize.figure import DPI, save, short_name

WRONG_COLOR = "#cc3311"
BOX_COLOR, TRUE_BOX_COLOR = "#ff8800", "#33ccff"
# Clear where the posterior is 0, so that the image stays visible.
OVERLAY = LinearSegmentedColormap.from_list(
  "overlay", [(1.0, 0.35, 0.0, 0.0), (1.0, 0.35, 0.0, 0.75)]
)


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
    shown = overlay(axes, image, posterior_map[..., answer])
    text = f"{short_name(class_names[answer])} {100 * posteriors[answer]:.0f} %"
    is_wrong = label >= 0 and label != answer
    if is_wrong:
      text += f"\n(true: {short_name(class_names[label])})"
    axes.set_title(
      text, fontsize=10, color=WRONG_COLOR if is_wrong else "black"
    )
  if shown is not None:
    figure.colorbar(shown, ax=grid, shrink=0.6, label="posterior")
    for axes in grid.flat:  # The color bar has moved them to the right.
      axes.set_anchor("C")
  save(figure, path)


def overlay(
  axes: Axes, image: np.ndarray, posterior_map: np.ndarray
) -> AxesImage:
  """Draws an image under one class's posterior map [h, w]."""
  height, width = image.shape[:2]
  axes.imshow(image)
  shown = axes.imshow(
    posterior_map,
    extent=(0, width, height, 0),
    cmap=OVERLAY,
    vmin=0,
    vmax=1,
    interpolation="bilinear",
  )
  axes.set_xlim(0, width)
  axes.set_ylim(height, 0)
  return shown


def picture(
  image: np.ndarray,
  file: str | Path | BinaryIO,
  posterior_map: np.ndarray | None = None,
  *,
  area: int = 40_000,
) -> None:
  """Draws an image alone, or under one class's posterior map.

  Args:
    image: uint8 [H, W, 3].
    file: of the PNG.
    posterior_map: [h, w].
    area: of the PNG, pixels.
  """
  height, width = image.shape[:2]
  size = np.array([width, height]) * (area / (height * width)) ** 0.5 / DPI
  figure = Figure(figsize=size)
  axes = figure.add_axes((0, 0, 1, 1))
  axes.axis("off")
  if posterior_map is None:
    axes.imshow(image, aspect="auto", interpolation="bilinear")
  else:
    overlay(axes, image, posterior_map)
    axes.set_aspect("auto")
  save(figure, file)


def heatmap(
  image: np.ndarray,
  path: str | Path,
  posterior_map: np.ndarray,
  *,
  title: str,
) -> None:
  """Draws an image under the posterior map of the class in the title.

  Args:
    image: uint8 [H, W, 3].
    path: of the PNG.
    posterior_map: [h, w].
    title: the class.
  """
  height, width = image.shape[:2]
  # Wide panoramas and towers keep their shape within this square, inches.
  scale = 5.5 / max(height, width)
  size = max(3.0, width * scale + 1.2), max(2.0, height * scale + 0.6)
  figure = Figure(figsize=size, layout="constrained")
  axes = figure.subplots()
  axes.axis("off")
  axes.set_title(short_name(title, 40), fontsize=10)
  shown = overlay(axes, image, posterior_map)
  figure.colorbar(shown, ax=axes, shrink=0.8, label="posterior")
  save(figure, path)


class Located(NamedTuple):
  """An image with boxes, edges as fractions of its sides.

  Attributes:
    image: uint8 [H, W, 3].
    boxes: float [k, 4], predicted.
    texts: [k], what stands at them.
    true_boxes: float [n, 4].
    title: over the image.
    is_wrong: whether the title is in red.
  """

  image: np.ndarray
  boxes: np.ndarray
  texts: Sequence[str]
  true_boxes: Sequence[np.ndarray] = ()
  title: str = ""
  is_wrong: bool = False


def located(
  examples: Sequence[Located], path: str | Path, *, title: str
) -> None:
  """Draws images with their predicted and true boxes.

  Args:
    examples: at least one.
    path: of the PNG.
    title: the run's name.
  """
  columns = min(4, len(examples))
  rows = -(-len(examples) // columns)
  size = max(4.2, 3.1 * columns), 3.3 * rows + 0.4
  figure = Figure(figsize=size, layout="constrained")
  figure.suptitle(title, fontsize=11)
  grid = figure.subplots(rows, columns, squeeze=False)
  for axes in grid.flat:
    axes.axis("off")
  for axes, example in zip(grid.flat, examples, strict=False):
    draw_boxes(axes, example)
  handles = [
    Rectangle((0, 0), 1, 1, fill=False, edgecolor=color, linewidth=2)
    for color in (BOX_COLOR, TRUE_BOX_COLOR)
  ]
  figure.legend(
    handles,
    ["predicted", "true"],
    loc="outside lower center",
    ncols=2,
    frameon=False,
  )
  save(figure, path)


def picture_with_boxes(example: Located, path: str | Path) -> None:
  """Draws an image alone with its boxes."""
  height, width = example.image.shape[:2]
  scale = 5.5 / max(height, width)
  size = max(3.0, width * scale), max(2.0, height * scale + 0.4)
  figure = Figure(figsize=size, layout="constrained")
  axes = figure.subplots()
  axes.axis("off")
  draw_boxes(axes, example)
  save(figure, path)


def draw_boxes(axes: Axes, example: Located) -> None:
  """Draws an image with its true and predicted boxes."""
  height, width = example.image.shape[:2]
  axes.imshow(example.image)
  axes.set_title(
    example.title,
    fontsize=10,
    color=WRONG_COLOR if example.is_wrong else "black",
  )
  unit = np.array([width, height, width, height])
  for box in example.true_boxes:
    _rectangle(axes, box * unit, TRUE_BOX_COLOR)
  named = enumerate(zip(example.boxes, example.texts, strict=True))
  # The best one last, above the others.
  for number, (box, text) in reversed(list(named)):
    left, top, _, bottom = _rectangle(axes, box * unit, BOX_COLOR)
    if text:
      # Inside, where the box touches the upper edge; by turns above and below,
      # as boxes of one object begin at nearly the same place.
      at_top = number % 2 == 0
      axes.annotate(
        text,
        (left, top if at_top else bottom),
        xytext=(2, -2 if at_top else 2),
        textcoords="offset points",
        va="top" if at_top else "bottom",
        fontsize=8,
        bbox={"facecolor": BOX_COLOR, "edgecolor": "none", "pad": 1.5},
      )
  axes.set_xlim(0, width)
  axes.set_ylim(height, 0)


def _rectangle(axes: Axes, box: np.ndarray, color: str) -> np.ndarray:
  left, top, right, bottom = box
  for edge, line in (("white", 3.5), (color, 2)):
    axes.add_patch(
      Rectangle(
        (left, top),
        right - left,
        bottom - top,
        fill=False,
        edgecolor=edge,
        linewidth=line,
      )
    )
  return box

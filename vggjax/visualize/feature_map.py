"""Descriptors as a map of their pictures (App. B)."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Rectangle

from vggjax.errors import InputError
from vggjax.features.extract import normalize
from vggjax.visualize.figure import save, short_name

METHODS = {"tsne": "t-SNE", "pca": "PCA"}
# Of classes; more colors could not be told apart.
MAX_LEGEND = 20
# Cells along the map's longer side, and its shorter one's least share of them.
FEWEST, MOST, LEAST_SHARE = 10, 22, 0.4
# Of a cell: inches, and the largest thumbnail's width and height, so that dots
# have room below it.
CELL, BOX = 0.45, np.array([0.88, 0.8])


def feature_map(
  features: np.ndarray,
  thumbnails: Sequence[np.ndarray],
  labels: Sequence[int],
  class_names: Sequence[str],
  path: str | Path,
  *,
  title: str,
  method: str = "tsne",
  seed: int = 0,
) -> None:
  """Draws pictures where their descriptors lie, in frames of their class.

  They are moved to the centers of a grid's cells. Of those in a cell the one
  nearest to its center is drawn; the others are dots below it.

  Args:
    features: float [N, F], N at least 3.
    thumbnails: N arrays, uint8 [H, W, 3].
    labels: [N], of the classes, in [0, K).
    class_names: [K]; the legend has those that occur, if they are at most
      MAX_LEGEND.
    path: of the PNG.
    title: over the map.
    method: "tsne" or "pca", see `map_positions`.
    seed: likewise.

  Raises:
    InputError: on a value outside its range.
  """
  labels = np.asarray(labels)
  thumbnails = [np.asarray(image) for image in thumbnails]
  check_pictures(features, thumbnails, labels, class_names)
  cells = grid_cells(map_positions(features, method=method, seed=seed))
  colors = class_colors(labels)
  figure = Figure(layout="constrained")
  figure.suptitle(title)
  axes = figure.subplots()
  draw_map(axes, cells, thumbnails, labels, colors)
  axes.set_xlabel(caption(cells, method), fontsize=9, color="#555555")
  legend = None
  if len(colors) <= MAX_LEGEND:
    legend = add_legend(figure, colors, class_names)
  set_size(figure, axes, legend)
  save(figure, path)


def map_positions(
  features: np.ndarray, *, method: str = "tsne", seed: int = 0
) -> np.ndarray:
  """Places in the plane where near ones have similar descriptors.

  Args:
    features: float [N, F], N at least 3; their rows are normalized.
    method: "tsne", with the PCA as its start and a perplexity of 30, or
      (N - 1) / 3 where that is less; or "pca".
    seed: of the PCA, which draws random numbers where features are many.

  Returns:
    float [N, 2], the same at each call.

  Raises:
    InputError: on a value outside its range, or without scikit-learn.
  """
  try:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits
  except ImportError as error:
    raise InputError(
      "a map of features needs scikit-learn: pip install 'vggjax[transfer]'"
    ) from error
  if method not in METHODS:
    raise InputError(f"method {method!r} is not one of {', '.join(METHODS)}")
  features = check_features(features)
  if method == "pca":
    model = PCA(2, random_state=seed)
  else:
    perplexity = min(30.0, (len(features) - 1) / 3)
    model = TSNE(perplexity=perplexity, init="pca", random_state=seed)
  # Threads would add up in an order of their own.
  with threadpool_limits(1):
    return model.fit_transform(features)


def check_features(features: np.ndarray) -> np.ndarray:
  """The features as normalized rows; raises InputError if they give no map."""
  features = np.asarray(features, np.float32)
  if features.ndim != 2 or len(features) < 3 or features.shape[1] < 2:
    raise InputError(
      f"features is {list(features.shape)}; it must be [N, F] of at least 3 "
      "pictures and 2 features"
    )
  if not np.isfinite(features).all():
    raise InputError("features has a value that is not finite")
  features = normalize(features)
  if np.ptp(features, axis=0).max() == 0:
    raise InputError("features are the same for all pictures: there is no map")
  return features


def check_pictures(
  features: np.ndarray,
  thumbnails: Sequence[np.ndarray],
  labels: np.ndarray,
  class_names: Sequence[str],
) -> None:
  """Raises InputError if these do not go together."""
  counts = {"thumbnails": len(thumbnails), "labels": len(labels)}
  for name, count in counts.items():
    if count != len(features):
      raise InputError(f"{len(features)} rows of features and {count} {name}")
  if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
    raise InputError(
      f"labels is {labels.dtype} {list(labels.shape)}, which must be whole "
      "numbers [N]"
    )
  wrong = labels[(labels < 0) | (labels >= len(class_names))]
  if wrong.size:
    raise InputError(
      f"label {wrong[0]} is not one of {len(class_names)} classes"
    )
  for i, image in enumerate(thumbnails):
    if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
      raise InputError(
        f"thumbnail {i} is {image.dtype} {list(image.shape)}; it must be uint8 "
        "[H, W, 3]"
      )


def grid_cells(places: np.ndarray) -> np.ndarray:
  """Places [N, 2] in units of cells, from 0; a cell's corner is the floor."""
  count = int(np.clip(3 * len(places) ** 0.5, FEWEST, MOST))
  cells = places - places.min(axis=0)
  # The farthest lies within the last cell.
  return cells.astype(float) / np.ptp(places, axis=0).max() * (count - 1e-6)


def nearest_to_center(cells: np.ndarray) -> np.ndarray:
  """Which of the places of `grid_cells` is the one of its cell, bool [N]."""
  corners = np.floor(cells)
  distances = np.linalg.norm(cells - corners - 0.5, axis=1)
  order = np.argsort(distances, kind="stable")
  _, first = np.unique(corners[order], axis=0, return_index=True)
  nearest = np.zeros(len(cells), bool)
  nearest[order[first]] = True
  return nearest


def class_colors(labels: np.ndarray) -> dict[int, tuple[float, ...]]:
  """A color for each class that occurs, in their order."""
  classes = np.unique(labels).tolist()
  if len(classes) > MAX_LEGEND:
    wheel = matplotlib.colormaps["hsv"](np.arange(len(classes)) / len(classes))
  else:
    name = "tab10" if len(classes) <= 10 else "tab20"
    wheel = matplotlib.colormaps[name].colors
  return {c: tuple(color) for c, color in zip(classes, wheel, strict=False)}


def draw_map(
  axes: Axes,
  cells: np.ndarray,
  thumbnails: Sequence[np.ndarray],
  labels: np.ndarray,
  colors: dict[int, tuple[float, ...]],
) -> None:
  """Draws each cell's thumbnail, and dots for its other pictures."""
  corners = np.floor(cells)
  for i in np.flatnonzero(nearest_to_center(cells)):
    bottom = draw_thumbnail(axes, thumbnails[i], corners[i], colors[labels[i]])
    others = np.all(corners == corners[i], axis=1)
    others[i] = False
    if others.any():
      draw_dots(axes, bottom, [colors[x] for x in np.sort(labels[others])])
  axes.set(aspect="equal", xticks=[], yticks=[])
  axes.spines[:].set_color("#cccccc")
  sides = corners.max(axis=0) + 1
  shares = np.maximum(sides, np.ceil(LEAST_SHARE * sides.max()))
  low, high = (sides - shares) / 2 - 0.2, (sides + shares) / 2 + 0.2
  axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def draw_thumbnail(
  axes: Axes,
  image: np.ndarray,
  corner: np.ndarray,
  color: tuple[float, ...],
) -> np.ndarray:
  """Draws an image in a cell; returns the middle of its lower edge, x, y."""
  size = np.array(image.shape[1::-1], float)
  size *= np.min(BOX / size)
  middle = corner + np.array([0.5, 1 - BOX[1] / 2])
  (left, bottom), (right, top) = middle - size / 2, middle + size / 2
  axes.imshow(image, extent=(left, right, bottom, top))
  axes.add_patch(
    Rectangle((left, bottom), *size, fill=False, edgecolor=color, linewidth=1.8)
  )
  return np.array([middle[0], bottom])


def draw_dots(
  axes: Axes, bottom: np.ndarray, colors: Sequence[tuple[float, ...]]
) -> None:
  """Draws a row of dots under a thumbnail; very many become a band."""
  steps = np.arange(len(colors)) - (len(colors) - 1) / 2
  x = bottom[0] + steps * min(0.13, BOX[0] / len(colors))
  y = np.full(len(x), bottom[1] - 0.11)
  axes.scatter(x, y, s=11, c=colors, linewidths=0)


def caption(cells: np.ndarray, method: str) -> str:
  """What the map shows."""
  text = f"{METHODS[method]} of {len(cells)} pictures' features"
  if nearest_to_center(cells).all():
    return text
  return f"{text}\ndots: further pictures at the same place"


def add_legend(
  figure: Figure,
  colors: dict[int, tuple[float, ...]],
  class_names: Sequence[str],
) -> Legend:
  """Names the classes to the right of the map."""
  return figure.legend(
    [
      Rectangle((0, 0), 1, 1, fill=False, edgecolor=color, linewidth=2)
      for color in colors.values()
    ],
    [short_name(class_names[label]) for label in colors],
    loc="outside right center",
    frameon=False,
    handlelength=1,
    handleheight=1,
  )


def set_size(figure: Figure, axes: Axes, legend: Legend | None) -> None:
  """Gives the cells their size, and all texts room."""

  def inches(artist):
    return artist.get_window_extent().size / figure.dpi if artist else (0, 0)

  text, beside = inches(axes.xaxis.label), inches(legend)
  width = max(CELL * np.ptp(axes.get_xlim()), text[0]) + beside[0] + 0.2
  height = CELL * np.ptp(axes.get_ylim()) + text[1] + 0.45
  title = inches(figure.texts[0])
  figure.set_size_inches(
    max(width, title[0] + 0.2), max(height, beside[1] + 0.2) + title[1]
  )

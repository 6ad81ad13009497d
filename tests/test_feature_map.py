"""The map of features: scikit-learn's places, and what is drawn at them."""

import itertools
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from vggjax import visualize
from vggjax.errors import InputError
from vggjax.visualize.feature_map import (
  MAX_LEGEND,
  MOST,
  class_colors,
  grid_cells,
  map_positions,
  nearest_to_center,
)


def make_features(count=40, width=12, seed=3):
  """Two clusters, of rows of unequal lengths."""
  random = np.random.default_rng(seed)
  x = random.normal(size=(count, width)) + 3 * (np.arange(count) % 2)[:, None]
  return (x * random.uniform(0.5, 4, (count, 1))).astype(np.float32)


def make_thumbnails(count=40):
  shapes = ((16, 20), (24, 12), (18, 18))
  return [
    np.full((*shapes[i % 3], 3), (250, 200, i % 200), np.uint8)
    for i in range(count)
  ]


def unit(x):
  return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def figures(monkeypatch):
  """The figures that were saved."""
  saved = []
  savefig = Figure.savefig

  def watched(figure, *arguments, **options):
    saved.append(figure)
    savefig(figure, *arguments, **options)

  monkeypatch.setattr(Figure, "savefig", watched)
  return saved


def draw(path, count=40, names=("hen", "cock", "an owl"), **changes):
  given = {
    "features": make_features(count),
    "thumbnails": make_thumbnails(count),
    "labels": np.arange(count) % len(names),
    "class_names": names,
    "title": "VGG-16, fc7",
    "method": "pca",
    **changes,
  }
  visualize.feature_map(path=path, **given)


class TestPositions:
  @pytest.mark.parametrize(
    ("count", "width", "perplexity"), [(40, 12, 13.0), (100, 600, 30.0)]
  )
  def test_are_scikit_learns_tsne(self, count, width, perplexity):
    x = make_features(count, width)

    def wanted(x, seed=5):
      model = TSNE(perplexity=perplexity, init="pca", random_state=seed)
      with threadpool_limits(1):
        return model.fit_transform(x)

    found = map_positions(x, seed=5)
    assert found.shape == (count, 2)
    np.testing.assert_allclose(found, wanted(unit(x)), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(map_positions(4 * x, seed=5), found)
    # Normalization counts, and of many features the seed.
    assert np.abs(wanted(x) - found).max() > 1
    changed = np.abs(map_positions(x, seed=6) - found).max()
    assert (changed > 0.01) == (width == 600)

  def test_are_scikit_learns_pca(self):
    x = make_features()
    found = map_positions(x, method="pca")
    wanted = PCA(2).fit_transform(unit(x))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(PCA(2).fit_transform(x) - found).max() > 0.1

  @pytest.mark.parametrize("method", ["tsne", "pca"])
  def test_of_the_fewest(self, method):
    found = map_positions(make_features(3, 2), method=method)
    assert found.shape == (3, 2)
    assert np.isfinite(found).all()


class TestGrid:
  def test_cells_by_hand(self):
    # 4 places: 10 cells along x, and as large ones along y.
    places = np.array([[-1.0, 5.0], [3.0, 5.0], [1.1, 6.9], [1.0, 5.0]])
    cells = grid_cells(places)
    corners = [[0, 0], [9, 0], [5, 4], [4, 0]]
    np.testing.assert_array_equal(np.floor(cells), corners)
    np.testing.assert_allclose(cells[2], [5.25, 4.75], atol=1e-5)

  def test_there_are_at_most_a_few_hundred(self):
    cells = np.floor(grid_cells(np.random.default_rng(0).random((9000, 2))))
    assert cells.min() == 0
    assert cells.max() == MOST - 1
    assert nearest_to_center(cells).sum() <= MOST**2 < 500

  def test_the_nearest_to_the_center_is_shown(self):
    cells = np.array(
      [[2.1, 3.5], [2.6, 3.5], [2.5, 3.9], [7.0, 0.0], [2.4, 3.5]]
    )
    # Of two as near, the first.
    assert nearest_to_center(cells).tolist() == [
      False,
      True,
      False,
      True,
      False,
    ]


class TestFeatureMap:
  def test_is_written_the_same_again(self, tmp_path):
    for method in ("tsne", "pca"):
      for name in ("a.png", "b.png"):
        draw(tmp_path / method / name, method=method)
      first, second = sorted((tmp_path / method).iterdir())
      assert first.read_bytes() == second.read_bytes()
      with Image.open(first) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB"))
      assert 0.3 < np.mean(np.all(pixels == 255, axis=2)) < 0.97

  def test_each_picture_is_a_thumbnail_or_a_dot(self, tmp_path, figures):
    draw(tmp_path / "x.png", count=60)
    axes = figures[0].axes[0]
    cells = grid_cells(map_positions(make_features(60), method="pca"))
    shown = np.flatnonzero(nearest_to_center(cells))
    assert 10 < len(shown) < 60
    colors = list(class_colors(np.arange(3)).values())
    for i, image, frame in zip(shown, axes.images, axes.patches, strict=True):
      np.testing.assert_array_equal(image.get_array(), make_thumbnails(60)[i])
      left, right, bottom, top = image.get_extent()
      corner = np.floor(cells[i])
      # Inside its cell, in its shape, and in its class's color.
      assert corner[0] < left < right < corner[0] + 1
      assert corner[1] < bottom < top <= corner[1] + 1
      height, width = make_thumbnails(60)[i].shape[:2]
      assert (right - left) / (top - bottom) == pytest.approx(width / height)
      assert frame.get_edgecolor()[:3] == colors[i % 3]
      np.testing.assert_allclose(
        frame.get_bbox().extents, [left, bottom, right, top]
      )
    dots = np.concatenate([np.zeros((0, 3)), *dot_colors(axes)])
    hidden = np.setdiff1d(np.arange(60), shown)
    wanted = np.array([colors[i % 3] for i in hidden])
    np.testing.assert_allclose(np.sort(dots, 0), np.sort(wanted, 0))
    assert axes.get_xlabel().startswith("PCA of 60 pictures' features\ndots: ")

  def test_dots_stand_below_their_thumbnail(self, tmp_path, figures):
    features = np.repeat(np.eye(3, dtype=np.float32), (30, 4, 1), axis=0)
    labels = [2, 0, 1] * 11 + [2, 1]
    draw(tmp_path / "x.png", 35, features=features, labels=labels)
    axes = figures[0].axes[0]
    assert len(axes.images) == 3
    groups = [c for c in axes.collections if isinstance(c, PathCollection)]
    assert [len(c.get_offsets()) for c in groups] == [29, 3]
    # The third cell has one picture alone.
    for image, group in zip(axes.images, groups, strict=False):
      left, right, bottom, _ = image.get_extent()
      for x, y in group.get_offsets():
        assert np.floor(left) < x < np.ceil(right)
        assert np.floor(bottom) < y < bottom
    # The classes' dots lie side by side.
    order = [tuple(c) for c in dot_colors(axes)[0]]
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes == 2

  @pytest.mark.parametrize("count", [3, 12, MAX_LEGEND])
  def test_every_class_is_in_the_legend(self, tmp_path, figures, count):
    names = [f"a class of a long name {i}, synonym" for i in range(count)]
    draw(tmp_path / "x.png", names=[*names, "absent"], labels=[0] * 40)
    draw(tmp_path / "x.png", names=names)
    few, many = figures
    assert legend_of(few) == ["a class of a long name 0"]
    assert legend_of(many) == [
      f"a class of a long name {i}" for i in range(count)
    ]
    assert len(set(class_colors(np.arange(count)).values())) == count
    # Nothing is cut off, nor lies on something else.
    many.draw_without_rendering()
    boxes = [
      artist.get_window_extent()
      for artist in (
        many.legends[0],
        many.texts[0],
        many.axes[0],
        many.axes[0].xaxis.label,
      )
    ]
    for i, box in enumerate(boxes):
      assert box.x0 >= 0
      assert box.y0 >= 0
      assert box.x1 <= many.bbox.x1 + 0.5
      assert box.y1 <= many.bbox.y1 + 0.5
      assert not any(box.overlaps(other) for other in boxes[:i])

  def test_without_a_legend_where_classes_are_too_many(self, tmp_path, figures):
    names = [str(i) for i in range(MAX_LEGEND + 1)]
    draw(tmp_path / "x.png", names=names)
    assert not figures[0].legends
    assert len(set(class_colors(np.arange(21)).values())) == 21


def dot_colors(axes):
  """Of each row of dots, float [n, 3]."""
  return [c.get_facecolors()[:, :3] for c in axes.collections]


def legend_of(figure):
  return [text.get_text() for text in figure.legends[0].get_texts()]


class TestRefused:
  @pytest.mark.parametrize(
    ("changes", "message"),
    [
      ({"features": make_features(39)}, "39 rows of features and 40 thumb"),
      ({"thumbnails": make_thumbnails(39)}, "40 rows of .* and 39 thumbnails"),
      ({"labels": [0] * 41}, "40 rows of features and 41 labels"),
      ({"labels": [0] * 39 + [3]}, "label 3 is not one of 3 classes"),
      ({"labels": [-1] * 40}, "label -1 is not one of 3 classes"),
      (
        {"labels": [0.5] * 40},
        r"labels is float64 \[40\], which must be whole",
      ),
      ({"labels": [[0]] * 40}, r"labels is int64 \[40, 1\], which must be"),
      ({"method": "umap"}, "method 'umap' is not one of tsne, pca"),
      (
        {"features": np.zeros((40, 2, 2))},
        r"features is \[40, 2, 2\]; it must",
      ),
      ({"features": np.zeros((40, 1))}, r"features is \[40, 1\]; it must be"),
      (
        {"features": np.ones((40, 5))},
        "features are the same for all pictures",
      ),
      ({"features": np.full((40, 5), np.nan)}, "a value that is not finite"),
      (
        {"thumbnails": [*make_thumbnails(39), np.zeros((8, 8, 3))]},
        r"thumbnail 39 is float64 \[8, 8, 3\]; it must be uint8 \[H, W, 3\]",
      ),
      (
        {"thumbnails": [np.zeros((8, 8), np.uint8), *make_thumbnails(39)]},
        r"thumbnail 0 is uint8 \[8, 8\]",
      ),
    ],
  )
  def test_bad_input(self, tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
      draw(tmp_path / "x.png", **changes)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())

  @pytest.mark.parametrize("count", [0, 1, 2])
  def test_too_few(self, tmp_path, count):
    with pytest.raises(InputError, match="of at least 3 pictures"):
      draw(tmp_path / "x.png", count)

  def test_without_scikit_learn(self, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(InputError, match=r"pip install 'vggjax\[transfer\]'"):
      draw(tmp_path / "x.png")

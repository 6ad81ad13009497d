"""The pictures: written whole, of a sensible size, and of the right things."""

import io
import os

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

from vggjax import visualize

CLASSES = ["circle", "square", "triangle", "a class of a longer name"]


def make_records(steps=40, drop_at=(21, 31)):
  """A plausible run: a train line each 10 steps, a validation each 100."""
  records = []
  for i in range(1, steps + 1):
    rate = 1e-2 * 0.1 ** sum(i >= d for d in drop_at)
    records.append(
      {
        "kind": "train",
        "step": 10 * i,
        "loss": 3 * np.exp(-i / 12) + 0.1 * np.sin(i),
        "top1_error": 80 * np.exp(-i / 15),
        "learning_rate": rate,
      }
    )
    if i % 10 == 0:
      records.append(
        {
          "kind": "validation",
          "step": 10 * i,
          "loss": 3 * np.exp(-i / 14) + 0.3,
          "top1_error": 80 * np.exp(-i / 18) + 4,
        }
      )
  return records


def make_examples(count):
  random = np.random.default_rng(0)
  shapes = [(64, 64), (64, 96), (120, 64)]
  examples = []
  for i in range(count):
    height, width = shapes[i % 3]
    image = np.zeros((height, width, 3), np.uint8)
    image[...] = random.integers(0, 256, 3)
    image[10:40, 20:50] = random.integers(0, 256, 3)
    grid = random.dirichlet(np.ones(4), (height // 32, width // 32))
    posteriors = grid.mean(axis=(0, 1))
    label = (int(posteriors.argmax()), (i * 7) % 4, -1)[i % 3]
    examples.append((image, label, posteriors, grid))
  return examples


def open_png(path, least=(500, 250)):
  with Image.open(path) as image:
    assert image.format == "PNG"
    assert least[0] <= image.width <= 3000
    assert least[1] <= image.height <= 3000
    pixels = np.asarray(image.convert("RGB"))
  # Neither blank nor filled.
  assert 0.3 < np.mean(np.all(pixels == 255, axis=2)) < 0.99
  return pixels


def count_pixels(pixels, color):
  """How many pixels are nearly of a color "#rrggbb"."""
  rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
  return int(np.sum(np.abs(pixels.astype(int) - rgb).max(axis=2) <= 8))


class TestLearningCurves:
  def test_draws_both_curves(self, tmp_path):
    path = tmp_path / "new" / "curves.png"
    visualize.learning_curves(make_records(), path, title="D-256")
    pixels = open_png(path, (1000, 400))
    assert os.listdir(path.parent) == [path.name]
    for color in (visualize.TRAIN_COLOR, visualize.VALIDATION_COLOR):
      for half in np.array_split(pixels, 2, axis=1):
        assert count_pixels(half, color) > 100

  def test_before_the_first_validation(self, tmp_path):
    records = [r for r in make_records() if r["kind"] == "train"]
    visualize.learning_curves(records, tmp_path / "x.png", title="D-256")
    pixels = open_png(tmp_path / "x.png", (1000, 400))
    assert count_pixels(pixels, visualize.TRAIN_COLOR) > 200

  def test_of_one_record_and_of_none(self, tmp_path):
    for records in (make_records()[:1], []):
      visualize.learning_curves(records, tmp_path / "x.png", title="D-256")
      open_png(tmp_path / "x.png", (1000, 400))

  def test_a_killed_write_leaves_the_older(self, tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    visualize.learning_curves(make_records(), path, title="D-256")
    older = path.read_bytes()

    def killed(_, file, **__):
      with open(file, "wb") as opened:
        opened.write(b"half")
      raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", killed)
    with pytest.raises(KeyboardInterrupt):
      visualize.learning_curves(make_records(20), path, title="D-256")
    assert path.read_bytes() == older


class TestRateDrops:
  def rates(self, *values):
    return [
      {"step": 10 * i, "learning_rate": rate} for i, rate in enumerate(values)
    ]

  def test_by_hand(self):
    records = self.rates(1e-2, 1e-2, 1e-3, 1e-3, 1e-4)
    assert visualize.rate_drops(records) == [20, 40]

  def test_none(self):
    assert visualize.rate_drops([]) == []
    assert visualize.rate_drops(self.rates(1e-2)) == []
    assert visualize.rate_drops(self.rates(1e-2, 1e-2)) == []

  def test_neither_rises_nor_rounding(self):
    records = self.rates(1e-3, 1e-2, 0.9999e-2, 1e-2)
    assert visualize.rate_drops(records) == []

  def test_of_a_run(self):
    records = [r for r in make_records() if r["kind"] == "train"]
    assert visualize.rate_drops(records) == [210, 310]


class TestPredictions:
  @pytest.mark.parametrize("count", [1, 3, 4, 9])
  def test_draws_the_examples(self, tmp_path, count):
    path = tmp_path / "x.png"
    visualize.predictions(
      make_examples(count), path, class_names=CLASSES, title="D-256"
    )
    rows, columns = -(-count // 4), min(count, 4)
    pixels = open_png(path, (300 * columns, 300 * rows))
    assert pixels.shape[1] < 500 * columns + 100

  def test_wrong_answers_are_red(self, tmp_path):
    image, _, posteriors, grid = make_examples(1)[0]
    answer = int(posteriors.argmax())
    red = {}
    for label in (answer, (answer + 1) % 4, -1):
      visualize.predictions(
        [(image, label, posteriors, grid)],
        tmp_path / "x.png",
        class_names=CLASSES,
        title="D-256",
      )
      pixels = open_png(tmp_path / "x.png", (300, 300))
      red[label] = count_pixels(pixels, visualize.WRONG_COLOR)
    assert red[answer] == red[-1] == 0
    assert red[(answer + 1) % 4] > 20

  def test_short_names(self):
    name = "great white shark, white shark, man-eater, man-eating shark"
    assert visualize.short_name(name) == "great white shark"
    assert visualize.short_name("hen") == "hen"
    assert visualize.short_name("x" * 26) == "x" * 26
    assert visualize.short_name("x" * 27) == "x" * 25 + "…"


class TestPicture:
  image = np.full((60, 120, 3), 90, np.uint8)

  def draw(self, *arguments, **options):
    file = io.BytesIO()
    visualize.picture(self.image, file, *arguments, **options)
    with Image.open(file) as image:
      assert image.format == "PNG"
      return np.asarray(image.convert("RGB")).astype(int)

  def test_is_the_image_without_a_border(self):
    pixels = self.draw()
    assert pixels.shape[1] == pytest.approx(2 * pixels.shape[0], abs=2)
    assert pixels.shape[0] * pixels.shape[1] == pytest.approx(40_000, rel=0.03)
    assert np.abs(pixels - 90).max() <= 1
    assert self.draw(area=5_000).size == pytest.approx(15_000, rel=0.06)

  def test_keeps_what_is_left_and_below(self):
    self.image = self.image.copy()
    self.image[:, :60, 0], self.image[30:, :, 2] = 200, 10
    pixels = self.draw()
    height, width = pixels.shape[:2]
    assert pixels[height // 4, width // 4].tolist() == [200, 90, 90]
    assert pixels[3 * height // 4, 3 * width // 4].tolist() == [90, 90, 10]

  def test_the_map_colors_where_it_is_high(self):
    pixels = self.draw(np.array([[0.0, 0.0, 1.0, 1.0]]))
    height, width = pixels.shape[:2]
    assert np.abs(pixels[height // 2, 10] - 90).max() <= 2
    red, _, blue = pixels[height // 2, width - 10]
    assert red > 200
    assert blue < 60


class TestNetworkCurves:
  def stages(self, *names, seeds=1, **options):
    return [(name, [make_records(**options)] * seeds) for name in names]

  def draw(self, stages, limits=None):
    file = io.BytesIO()
    limits = limits or visualize.curve_limits([stages])
    visualize.network_curves(stages, file, title="D", limits=limits)
    with Image.open(file) as image:
      pixels = np.asarray(image)
    # On a page of any color.
    assert pixels[0, 0, 3] == 0
    alpha = pixels[..., 3:] / 255
    white = pixels[..., :3] * alpha + 255 * (1 - alpha)
    return white.round().astype(int)

  def columns(self, pixels, color):
    """The columns with pixels of a color, left of the legend's."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    lower = pixels[pixels.shape[0] // 2 :]
    near = np.abs(lower - rgb).max(axis=2) <= 8
    return np.flatnonzero(near.any(axis=0))

  def test_limits_by_hand(self):
    low = {"kind": "train", "step": 30, "loss": 0.5, "top1_error": 0}
    high = {"kind": "validation", "step": 40, "loss": 2.0, "top1_error": 80}
    networks = [[("A", [[low], [high]])], [("C", [[low]]), ("D", [[low]])]]
    limits = visualize.curve_limits(networks)
    assert limits.steps == 60
    assert limits.ranges["loss"] == pytest.approx((0.4, 2.5))
    # 0 has no logarithm.
    assert limits.ranges["top1_error"] == pytest.approx((64, 100))

  def test_both_curves_in_both_panels(self):
    pixels = self.draw(self.stages("D-256", "D-384"))
    assert pixels.shape[0] > 400
    for color in (visualize.TRAIN_COLOR, visualize.VALIDATION_COLOR):
      for half in np.array_split(pixels, 2):
        assert count_pixels(half, color) > 100

  def test_stages_follow_one_another(self):
    one, two = self.stages("D-256"), self.stages("D-256", "D-384")
    limits = visualize.curve_limits([two])
    short = self.columns(self.draw(one, limits), visualize.TRAIN_COLOR)
    long = self.columns(self.draw(two, limits), visualize.TRAIN_COLOR)
    assert long.max() - long.min() > 1.9 * (short.max() - short.min())

  def test_seeds_are_faint_around_their_mean(self):
    records = make_records()
    scaled = [
      {**r, "loss": f * r["loss"], "top1_error": f * r["top1_error"]}
      for f in (0.5, 1.5)
      for r in records
    ]
    seeds = [scaled[: len(records)], scaled[len(records) :]]
    limits = visualize.curve_limits([[("D", seeds)]])
    single = self.draw([("D", [records])], limits)
    pixels = self.draw([("D", seeds)], limits)
    color = visualize.VALIDATION_COLOR
    # The mean of the seeds is the curve between them.
    assert count_pixels(pixels, color) == pytest.approx(
      count_pixels(single, color), rel=0.2
    )
    assert np.sum(pixels != 255) > np.sum(single != 255) + 500

  def test_before_the_first_validation_and_without_errors(self):
    first = {"kind": "train", "step": 5, "loss": 1.0, "top1_error": 0.0}
    self.draw([("D-256", [[first], []])])
    self.draw([("D-256", [[]])])


class TestBoxes:
  image = np.full((60, 90, 3), 128, np.uint8)
  found = np.array([[0.1, 0.2, 0.5, 0.9]])
  true = np.array([[0.4, 0.1, 0.9, 0.8], [0.0, 0.0, 0.2, 0.2]])

  def draw(self, tmp_path, **changes):
    example = visualize.Located(
      **{"image": self.image, "boxes": self.found, "texts": ["hen 90 %"]}
      | {"true_boxes": self.true, "title": "hen"}
      | changes
    )
    path = tmp_path / "x.png"
    visualize.picture_with_boxes(example, path)
    return np.asarray(Image.open(path).convert("RGB"))

  def test_both_kinds_are_there(self, tmp_path):
    pixels = self.draw(tmp_path)
    alone = self.draw(tmp_path, true_boxes=())
    for color, counts in (
      (visualize.BOX_COLOR, (True, True)),
      (visualize.TRUE_BOX_COLOR, (True, False)),
    ):
      for image, wanted in zip((pixels, alone), counts, strict=True):
        assert (count_pixels(image, color) > 50) == wanted

  def test_a_box_stands_where_it_is(self, tmp_path):
    pixels = self.draw(tmp_path, texts=[""], true_boxes=(), title="")
    color = tuple(int(visualize.BOX_COLOR[i : i + 2], 16) for i in (1, 3, 5))
    rows, columns = np.nonzero((np.abs(pixels - color) < 20).all(axis=-1))
    gray = np.nonzero((pixels == 128).all(axis=-1))
    (top, left), (bottom, right) = (
      (f(gray[0]), f(gray[1])) for f in (np.min, np.max)
    )
    height, width = bottom - top, right - left
    edges = [
      (columns.min() - left) / width,
      (rows.min() - top) / height,
      (columns.max() - left) / width,
      (rows.max() - top) / height,
    ]
    np.testing.assert_allclose(edges, self.found[0], atol=0.02)

  def test_a_page_of_several(self, tmp_path):
    example = visualize.Located(
      self.image, self.found, [""], self.true, "hen\n(true: cock)", True
    )
    path = tmp_path / "boxes.png"
    for count in (1, 5):
      visualize.located([example] * count, path, title="D-256-pcr")
      pixels = np.asarray(Image.open(path).convert("RGB"))
      for color in (
        visualize.BOX_COLOR,
        visualize.TRUE_BOX_COLOR,
        visualize.WRONG_COLOR,
      ):
        assert count_pixels(pixels, color) > 10 * count

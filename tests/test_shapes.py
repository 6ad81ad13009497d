"""The built-in data set: deterministic, true boxes, the largest's label."""

import io

import numpy as np
import pytest
from PIL import Image

from vggjax.data.datasets import drawing
from vggjax.data.datasets.shapes import (
  SEED,
  Shapes,
  ShapesConfig,
  draw_examples,
)

SAMPLE = range(40)
GOLDEN = ((116, 97, 3), 0, 49.8)


def inside_outline(contours, size):
  """Even-odd rule at each pixel's center, an edge at a time: bool [H, W]."""
  y, x = np.mgrid[: size[0], : size[1]] + 0.5
  inside = np.zeros(size, bool)
  for contour in contours:
    for (x0, y0), (x1, y1) in zip(
      contour, np.roll(contour, -1, axis=0), strict=True
    ):
      if y0 != y1:
        crosses = (y0 > y) != (y1 > y)
        inside ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
  return inside


@pytest.fixture(scope="module")
def scenes():
  return [drawing.plan(SEED, "test", index) for index in SAMPLE]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  config = ShapesConfig(
    name="tiny", num_train=12, num_validation=3, num_test=5, num_workers=2
  )
  builder = Shapes(
    config=config,
    data_dir=tmp_path_factory.mktemp("tfds"),
    file_format="array_record",
  )
  builder.download_and_prepare()
  return builder


def test_same_whatever_the_number_of_processes():
  alone = list(draw_examples(3, "train", 7, num_workers=0))
  for workers in (1, 3):
    assert list(draw_examples(3, "train", 7, num_workers=workers)) == alone


def test_pixels_are_those_of_version_2():
  # Means of image 0: a change needs a new version of the data set.
  image, shapes = drawing.draw(SEED, "train", 0)
  found = (image.shape, shapes[0].label, round(float(image.mean()), 1))
  assert found == GOLDEN


def test_stopping_early_ends_the_processes():
  examples = draw_examples(3, "train", 10**6, num_workers=2)
  next(examples)
  examples.close()  # Would hang if the processes were waited for.


def test_a_process_that_fails_is_reported(capfd):
  with pytest.raises(RuntimeError, match="drawing nowhere image 0"):
    next(draw_examples(3, "nowhere", 4, num_workers=1))
  assert "ValueError" in capfd.readouterr().err


def test_splits_and_indices_differ():
  examples = {
    drawing.draw_example(SEED, split, index).jpeg
    for split in drawing.SPLITS
    for index in range(30)
  }
  assert len(examples) == 90


def test_boxes_are_tight(scenes):
  for size, shapes in scenes:
    for shape in shapes:
      rows, columns = np.nonzero(inside_outline(shape.contours, size))
      box = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
      # A sharp tip covers less than half of its last pixels.
      assert np.abs(np.subtract(box, shape.box)).max() <= 2
      assert min(shape.box) >= 0
      assert shape.box[2] <= size[0]
      assert shape.box[3] <= size[1]


def test_the_largest_is_first_and_apart(scenes):
  for size, shapes in scenes:
    areas = [inside_outline(s.contours, size).sum() for s in shapes]
    assert all(areas[0] >= 1.45 * area for area in areas[1:])
    assert (sum((s.mask > 0).astype(int) for s in shapes) <= 1).all()


def test_sizes_counts_and_classes_vary():
  scenes = [drawing.plan(SEED, "train", index) for index in range(300)]
  sizes = np.array([size for size, _ in scenes])
  short, long = sizes.min(1), sizes.max(1)
  assert 80 <= short.min() < 90 < 130 < short.max() <= 144
  assert 1.7 < (long / short).max() <= 2.01
  assert {len(shapes) for _, shapes in scenes} == {1, 2, 3}
  counts = np.bincount([shapes[0].label for _, shapes in scenes])
  assert len(counts) == len(drawing.CLASSES) == 10
  assert counts.min() > 12


def test_shapes_stand_out():
  for index in SAMPLE:
    image, shapes = drawing.draw(SEED, "test", index)
    gray = image.mean(-1)
    ground = np.median(gray[sum(s.mask.astype(int) for s in shapes) == 0])
    for shape in shapes:
      assert gray[shape.mask == 255].mean() > ground + 10


def test_built_offline(prepared):
  for split, count in {"train": 12, "validation": 3, "test": 5}.items():
    source = prepared.as_data_source(split)
    assert len(source) == count
    ids = {example["id"].decode() for example in source}
    assert ids == {f"{split}-{index:06d}" for index in range(count)}


def test_features_are_those_drawn(prepared):
  names = prepared.info.features["label"].names
  assert tuple(names) == drawing.CLASSES
  for example in prepared.as_data_source("test"):
    index = int(example["id"].decode().rpartition("-")[2])
    drawn = drawing.draw_example(SEED, "test", index)
    image = np.asarray(Image.open(io.BytesIO(drawn.jpeg)))
    np.testing.assert_array_equal(example["image"], image)
    objects = example["objects"]
    boxes = np.array(objects["bbox"]) * np.tile(image.shape[:2], 2)
    np.testing.assert_allclose(boxes, drawn.boxes, atol=1e-3)
    assert tuple(objects["label"]) == drawn.labels
    assert list(np.flatnonzero(objects["is_largest"])) == [0]
    assert example["label"] == drawn.labels[0]
    assert list(example["labels"]) == sorted(set(drawn.labels))


def test_the_easy_ones_are_larger_and_stand_out_more():
  full, easy = Shapes.BUILDER_CONFIGS
  assert (full.name, full.difficulty) == ("full", "hard")
  assert (easy.name, easy.difficulty) == ("easy", "easy")
  area, contrast = {}, {}
  for config in (full, easy):
    drawn = [
      drawing.draw(SEED, "train", index, config.difficulty) for index in SAMPLE
    ]
    area[config.name] = np.mean(
      [shapes[0].area / min(image.shape[:2]) ** 2 for image, shapes in drawn]
    )
    contrast[config.name] = np.min(
      [
        image[shapes[0].mask == 255].mean()
        - np.median(image[sum(s.mask.astype(int) for s in shapes) == 0])
        for image, shapes in drawn
      ]
    )
  assert area["easy"] > 1.1 * area["full"]
  assert contrast["easy"] > contrast["full"]

"""preprocess.box_target and the batches, against the pixels in the crops."""

import numpy as np
import pytest
import tensorflow as tf
from boxed_pictures import (
  assert_bounds,
  bounds,
  edges_in_crop,
  encoded_scene,
  rectangle,
  scene,
  true_boxes,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encode
from source_records import own_cache as own_cache

from vggjax.data import pipeline, preprocess
from vggjax.data.sources import open_source

CROP = 12


@tf.function(
  input_signature=[
    tf.TensorSpec([], tf.string),
    tf.TensorSpec([None, 4], tf.float32),
    tf.TensorSpec([], tf.int64),
    tf.TensorSpec([], tf.int64),
    tf.TensorSpec([], tf.int64),
  ]
)
def targets(encoded, boxes, example, least, greatest):
  """random_crop of any scales, and its target."""
  key = preprocess.example_key(7, tf.constant(0, tf.int64), example)
  crop = preprocess.random_crop(
    encoded, key, train_scale=(least, greatest), crop_size=CROP
  )
  box, weight = preprocess.box_target(
    boxes,
    full=crop.full,
    offset=crop.offset,
    mirrored=crop.mirrored,
    crop_size=CROP,
  )
  return crop, box, weight


def random_box(draw, height, width, least):
  sides = [
    draw(st.integers(min(least, side), side)) for side in (width, height)
  ]
  x, y = (
    draw(st.integers(0, side - inner))
    for side, inner in zip((width, height), sides, strict=True)
  )
  return x, y, x + sides[0] - 1, y + sides[1] - 1


def as_fractions(box, size):
  xmin, ymin, xmax, ymax = box
  height, width = size
  edges = (xmin, ymin, xmax + 1, ymax + 1)
  return np.divide(edges, (width, height, width, height))


@settings(max_examples=40)
@given(st.data())
def test_the_target_bounds_the_pixels_of_the_box(data):
  size = data.draw(st.integers(12, 60)), data.draw(st.integers(12, 60))
  box = random_box(data.draw, *size, least=min(size) // 3 + 2)
  image = rectangle(box, size)
  if data.draw(st.booleans()):
    encoded = encode(image, "JPEG", quality=98, subsampling=0)
  else:
    encoded = encode(image)
  least = data.draw(st.integers(CROP, 40))
  crop, target, _ = targets(
    encoded,
    as_fractions(box, size)[None],
    data.draw(st.integers(0, 10**6)),
    least,
    data.draw(st.integers(least, 50)),
  )
  assert_bounds(crop.image.numpy()[..., 0], target.numpy())
  # Not clipped: the sides are those of the rescaled box.
  scale = np.divide(crop.full.numpy()[::-1], size[::-1])
  sides = scale * np.subtract(box[2:], box[:2]) + scale
  np.testing.assert_allclose(target[2:] * CROP, sides, atol=2e-3)


@settings(max_examples=60)
@given(st.data())
def test_the_box_shown_most_is_taken_and_weighted(data):
  """Without rescaling the pixels of each channel can be counted."""
  size = data.draw(st.integers(14, 30)), data.draw(st.integers(14, 30))
  boxes = [random_box(data.draw, *size, least=1) for _ in range(3)]
  image = sum(rectangle(box, size, i) for i, box in enumerate(boxes))
  smallest = min(size)
  crop, target, weight = targets(
    encode(image),
    [as_fractions(box, size) for box in boxes],
    data.draw(st.integers(0, 10**6)),
    smallest,
    smallest,
  )
  crop = crop.image.numpy() == 255
  counts = crop.sum((0, 1))
  chosen = int(np.argmax(counts))  # Of equal ones the first.
  total = (image[..., chosen] == 255).sum()
  expected = counts[chosen] >= 0.5 * min(total, CROP**2)
  assert weight.numpy() == float(expected)
  if counts[chosen]:
    edges = edges_in_crop(target, CROP)
    np.testing.assert_allclose(
      bounds(crop[..., chosen]), np.clip(edges, 0, CROP), atol=2e-3
    )
    assert round((edges[2] - edges[0]) * (edges[3] - edges[1])) == total


def target_of(boxes, offset=(0, 0), mirrored=False):
  """In a 10 x 10 crop of a 20 x 40 image; boxes in its pixels."""
  box, weight = preprocess.box_target(
    tf.constant(boxes) / [40.0, 20.0, 40.0, 20.0],
    full=tf.constant([20, 40], tf.int64),
    offset=tf.constant(offset, tf.int64),
    mirrored=mirrored,
    crop_size=10,
  )
  return box.numpy().round(5).tolist(), weight.numpy()


def test_targets_by_hand():
  box = [[5.0, 2.0, 9.0, 8.0]]
  assert target_of(box) == ([pytest.approx(v) for v in (0.2, 0, 0.4, 0.6)], 1)
  found, _ = target_of(box, mirrored=True)
  assert found == pytest.approx([-0.2, 0, 0.4, 0.6])
  # Half of it is shown, then less.
  assert target_of(box, offset=(0, 7)) == (
    pytest.approx([-0.5, 0, 0.4, 0.6]),
    1,
  )
  assert target_of(box, offset=(0, 8)) == (
    pytest.approx([-0.6, 0, 0.4, 0.6]),
    0,
  )
  # Less than half of it, but half of the crop.
  assert target_of([[5.0, 0.0, 40.0, 20.0]])[1] == 1
  assert target_of([[6.0, 0.0, 40.0, 20.0]])[1] == 0
  # Nothing is shown: the first, and it does not count.
  found, weight = target_of(
    [[30.0, 0.0, 40.0, 9.0], [20.0, 0.0, 24.0, 4.0]], offset=(10, 0)
  )
  assert (found[2:], weight) == (pytest.approx([1.0, 0.9]), 0)


NUM_SCENES = 16
KEPT = [i for i in range(NUM_SCENES) if i % 4 != 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  root = tmp_path_factory.mktemp("boxed")
  labels, boxes = ["file,label,split"], ["label,xmax,xmin,ymin,ymax,file"]
  for i in range(NUM_SCENES):
    name = f"{i:02}.{'jpg' if i % 2 else 'png'}"
    (root / name).write_bytes(encoded_scene(i))
    _, label, objects = scene(i)
    labels.append(f"{name},{label},train")
    for name_, (xmin, ymin, xmax, ymax) in objects:
      boxes.append(f"{name_},{xmax},{xmin},{ymin},{ymax},{i:02}")
  (root / "labels.csv").write_text("\n".join(labels))
  (root / "boxes.csv").write_text("\n".join(boxes))
  return root


def check_clear(image, box):
  """Check the box if one of red and blue is clearly shown more: whether so."""
  red, _, blue = (image > 127).sum((0, 1)).tolist()
  clear = abs(red - blue) > 2 * len(image)
  if clear:
    assert_bounds(image[..., 0 if red > blue else 2], box)
  return clear


OPTIONS = {"batch_size": 4, "crop_size": 16, "train_scale": (20, 40), "seed": 3}


def test_train_batches(folder):
  source = open_source(f"folder:{folder}", "train", with_boxes=True)
  assert (source.num_examples, source.without_boxes) == (12, 4)
  batches = list(pipeline.train_batches(source, **OPTIONS, num_steps=9))
  checked = 0
  for batch in batches:
    assert sorted(batch) == ["box", "box_weight", "image", "label", "shift"]
    assert (batch["box"].shape, batch["box"].dtype) == ((4, 4), np.float32)
    weight = batch["box_weight"]
    assert (weight.shape, weight.dtype) == ((4,), np.float32)
    assert np.isin(weight, (0, 1)).all()
    for image, box in zip(batch["image"], batch["box"], strict=True):
      checked += check_clear(image, box)
  assert checked > 20
  weights = np.concatenate([batch["box_weight"] for batch in batches])
  assert 0 < weights.mean() < 1
  # A process's share is that of the global batch.
  share = next(
    pipeline.train_batches(source, **OPTIONS, process_index=1, process_count=2)
  )
  for name, values in share.items():
    np.testing.assert_array_equal(values, batches[0][name][2:])


def test_crop_batches(folder):
  source = open_source(f"folder:{folder}", "train", with_boxes=True)
  batches = list(
    pipeline.crop_batches(source, batch_size=8, crop_size=16, test_scale=20)
  )
  assert [sorted(batch) for batch in batches] == 2 * [
    ["box", "box_weight", "image", "label", "mask"]
  ]
  images, boxes, weights, masks = (
    np.concatenate([batch[name] for batch in batches])
    for name in ("image", "box", "box_weight", "mask")
  )
  assert masks.tolist() == 12 * [1.0] + 4 * [0.0]
  assert not boxes[12:].any()
  assert not weights[12:].any()
  assert weights[:12].any()
  checked = sum(map(check_clear, images[:12], boxes[:12]))
  assert checked >= 6
  plain = open_source(f"folder:{folder}", "train")
  (batch,) = pipeline.crop_batches(
    plain, batch_size=16, crop_size=16, test_scale=20
  )
  assert sorted(batch) == ["image", "label", "mask"]
  np.testing.assert_array_equal(batch["image"][KEPT], images[:12])


def test_rescaled_images_and_records(folder):
  source = open_source(f"folder:{folder}", "train", with_boxes=True)
  plain = open_source(f"folder:{folder}", "train")
  found = list(pipeline.rescaled_images(source, [20]))
  theirs = list(pipeline.rescaled_images(plain, [20]))
  assert [name for _, name, _, _ in found] == [theirs[i][1] for i in KEPT]
  for (*_, images), i in zip(found, KEPT, strict=True):
    np.testing.assert_array_equal(images[0], theirs[i][3][0])
  for record, boxes, i in zip(
    source.stream(), source.true_boxes(), KEPT, strict=True
  ):
    assert (boxes.dtype, record["boxes"].dtype) == (np.float32, tf.float32)
    np.testing.assert_array_equal(record["boxes"], boxes)
    np.testing.assert_allclose(boxes, true_boxes(i), atol=1e-7)
  assert "boxes" not in next(iter(plain.stream()))
  with pytest.raises(ValueError, match="opened without boxes"):
    plain.true_boxes()

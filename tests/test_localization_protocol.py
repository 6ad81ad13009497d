"""Boxes at every position: geometry, and a plain loop over PyTorch (App. A)."""

import itertools

import numpy as np
import pytest
from torch_nets import SMALL, random_params, to_nchw, to_nhwc, torch_net

import vggjax
from vggjax import images as image_files
from vggjax.evaluate.rows import RaggedRows, Rows
from vggjax.localize import protocol

pytestmark = pytest.mark.usefixtures("quick_compile")
MEAN = (120.0, 110.0, 100.0)
CROP = 64
# Boxes that only touch the square do not hold a pixel of it.
INWARDS = np.array([1e-3, 1e-3, -1e-3, -1e-3])
# Of a padded batch: none fills it, odd and even maps.
SIZES = ((64, 150), (130, 70), (99, 161), (128, 128))


def run(buckets, pictures, classes, rows=RaggedRows):
  found = rows(len(pictures))
  stream = ((i, [picture]) for i, picture in enumerate(pictures))
  buckets.map(stream, [found], extras={"classes": np.asarray(classes)})
  return found.values()


def brightness_net(num_outputs, pool, offsets):
  """Shows whether the crop at a position holds a bright pixel.

  Every convolution passes on one channel's own pixel, so that nothing outside
  of a position's crop has an effect.
  """
  options = SMALL | {"crop_size": CROP, "num_outputs": num_outputs}
  net = vggjax.create_model("A", **options, pool=pool, pool5_offsets=offsets)
  params = random_params(net)
  for name, layer in params.items():
    for array in layer.values():
      array[:] = 0
    side = layer["kernel"].shape[0]
    if name.startswith("conv"):
      layer["kernel"][side // 2, side // 2, 0, 0] = 1
    else:
      layer["kernel"][:, :, 0, 0] = 1
  return net, params


def pictures_with_squares():
  """Black images, each with a white square of 9 pixels somewhere."""
  random = np.random.default_rng(1)
  for height, width in SIZES[:3] * 5:
    top, left = random.integers(0, (height - 9, width - 9))
    image = np.zeros((height, width, 3), np.uint8)
    image[top : top + 9, left : left + 9] = 255
    yield image, (left, top, left + 9, top + 9)


def overlap(a, b):
  return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


@pytest.mark.parametrize(
  ("pool", "offsets", "mirror"),
  [
    ("ceil", 1, True),
    ("floor", 1, False),
    ("ceil", 2, False),
    ("floor", 2, True),
  ],
)
def test_positions_see_the_pixels_of_their_boxes(pool, offsets, mirror):
  """A box as large as the crop is lit if and only if the square is in it."""
  net, params = brightness_net(2, pool, offsets)
  pictures, squares = zip(*pictures_with_squares(), strict=True)
  options = {"mean": (0, 0, 0), "mirror": mirror, "batch_size": 8}
  classes = np.zeros((len(pictures), 1), np.int32)
  ratings = run(
    protocol.dense_ratings(net, params, **options), pictures, classes
  )
  box_net, box_params = brightness_net(4, pool, offsets)
  for layer in box_params.values():
    layer["kernel"][:] = 0
  box_params["fc8"]["bias"][:] = 0, 0, 1, 1
  buckets = protocol.dense_boxes(
    box_net, box_params, regression="scr", **options
  )
  boxes = run(buckets, pictures, classes)
  lit = dark = 0
  for image, square, of_image, rates in zip(
    pictures, squares, boxes, ratings, strict=True
  ):
    height, width = image.shape[:2]
    rows, columns = (net.score_map_sides(side) for side in (height, width))
    assert of_image.shape == (rows * columns * (1 + mirror), 1, 4)
    unit = np.array([width, height, width, height])
    for box, rate in zip(of_image[:, 0] * unit, rates[:, 0], strict=True):
      is_lit = rate > 0.6
      assert is_lit == overlap(box + INWARDS, square)
      lit, dark = lit + is_lit, dark + (not is_lit)
  assert min(lit, dark) > 20


def random_pictures():
  random = np.random.default_rng(7)
  return [random.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]


def torch_scores(net, picture):
  x = picture[None].astype(np.float32) - np.array(MEAN, np.float32)
  return to_nhwc(net(to_nchw(x))[0])[0]


@pytest.mark.parametrize("regression", ["scr", "pcr"])
@pytest.mark.parametrize("pool", ["ceil", "floor"])
def test_boxes_equal_a_plain_loop_over_torch(regression, pool):
  outputs = {"scr": 4, "pcr": 12}[regression]
  options = SMALL | {"crop_size": CROP, "num_outputs": outputs}
  model = vggjax.create_model("B", **options, pool=pool)
  params = random_params(model)
  pictures = random_pictures()
  classes = np.array([[2, 0], [1, 2], [0, 1], [1, 0]], np.int32)
  buckets = protocol.dense_boxes(
    model, params, mean=MEAN, mirror=True, regression=regression
  )
  found = run(buckets, pictures, classes)
  net = torch_net("B", params, pool, crop_size=CROP, num_outputs=outputs)
  for picture, wanted_classes, boxes in zip(
    pictures, classes, found, strict=True
  ):
    height, width = picture.shape[:2]
    views = [torch_scores(net, p) for p in (picture, picture[:, ::-1])]
    wanted = []
    for i, j in itertools.product(*map(range, views[0].shape[:2])):
      for flipped, view in enumerate(views):
        for k in wanted_classes:
          first = 4 * k if regression == "pcr" else 0
          x, y, w, h = view[i, j, first : first + 4]
          x, y = 32 * j + CROP / 2 + CROP * x, 32 * i + CROP / 2 + CROP * y
          x = width - x if flipped else x
          w, h = max(w * CROP, CROP / 224) / 2, max(h * CROP, CROP / 224) / 2
          box = (x - w) / width, (y - h) / height
          wanted.append((*box, (x + w) / width, (y + h) / height))
    np.testing.assert_allclose(
      boxes, np.reshape(wanted, boxes.shape), rtol=1e-3, atol=1e-4
    )


def test_ratings_equal_a_plain_loop_over_torch():
  options = SMALL | {"crop_size": CROP}
  model = vggjax.create_model("A", **options)
  params = random_params(model)
  pictures = random_pictures()
  classes = np.array([[2, 6], [1, 2], [0, 1], [5, 0]], np.int32)
  buckets = protocol.dense_ratings(model, params, mean=MEAN, mirror=False)
  net = torch_net("A", params, crop_size=CROP)
  for picture, mine, rates in zip(
    pictures, classes, run(buckets, pictures, classes), strict=True
  ):
    scores = torch_scores(net, picture)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    posteriors = exponentials / exponentials.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(
      rates, posteriors[..., mine].reshape(-1, 2), rtol=2e-3, atol=1e-6
    )


@pytest.mark.parametrize("regression", ["scr", "pcr"])
def test_the_central_crop_by_hand(regression):
  outputs = {"scr": 4, "pcr": 12}[regression]
  options = SMALL | {"crop_size": CROP, "num_outputs": outputs}
  model = vggjax.create_model("A", **options)
  params = random_params(model)
  pictures = [image_files.rescale(p, 70) for p in random_pictures()]
  classes = np.array([[2], [1], [0], [1]], np.int32)
  buckets = protocol.center_boxes(
    model, params, mean=MEAN, regression=regression
  )
  net = torch_net("A", params, crop_size=CROP, num_outputs=outputs)
  for picture, [k], [[box]] in zip(
    pictures, classes, run(buckets, pictures, classes, Rows), strict=True
  ):
    height, width = picture.shape[:2]
    top, left = (height - CROP) // 2, (width - CROP) // 2
    crop = picture[top : top + CROP, left : left + CROP]
    first = 4 * k if regression == "pcr" else 0
    x, y, w, h = torch_scores(net, crop)[0, 0, first : first + 4]
    x, y = left + CROP * (0.5 + x), top + CROP * (0.5 + y)
    w, h = (max(v * CROP, CROP / 224) / 2 for v in (w, h))
    wanted = (x - w) / width, (y - h) / height
    wanted = (*wanted, (x + w) / width, (y + h) / height)
    np.testing.assert_allclose(box, wanted, rtol=1e-3, atol=1e-4)


def test_the_best_box_has_the_largest_sum():
  # Three boxes that nearly agree against a lone one that is rated higher.
  near = [[0.1, 0.1, 0.5, 0.5], [0.11, 0.1, 0.51, 0.5], [0.09, 0.1, 0.49, 0.5]]
  boxes = np.array([*near, [0.6, 0.6, 1.2, 0.9]])[:, None]
  boxes = np.concatenate([boxes, boxes], axis=1)
  ratings = np.array([[0.2, 0.1], [0.2, 0.1], [0.2, 0.1], [0.5, 0.5]])
  found, confidences = protocol.best_boxes(boxes, ratings, (100, 200), 0.3)
  np.testing.assert_allclose(confidences, [0.6, 0.5])
  np.testing.assert_allclose(found[0], [0.1, 0.1, 0.5, 0.5], atol=0.006)
  # Clipped to the image.
  np.testing.assert_allclose(found[1], [0.6, 0.6, 1.0, 0.9])

"""Multi-crop evaluation against a crop at a time (Sect. 3.2)."""

import functools
import math
from fractions import Fraction

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import picture
from PIL import Image
from torch_nets import SMALL, small_params, to_nchw, torch_net

import vggjax
from vggjax import images as rescaling
from vggjax.errors import InputError
from vggjax.evaluate import dense, multicrop
from vggjax.evaluate.rows import Rows
from vggjax.models import layers

pytestmark = pytest.mark.usefixtures("quick_compile")

MEAN = (123.68, 116.779, 103.939)
# Portrait, landscape, square, of the crop's size, smaller than it, and longer
# than eight times the short side.
SHAPES = (
  (60, 40),
  (40, 60),
  (50, 50),
  (32, 32),
  (21, 23),
  (12, 150),
  (333, 40),
)


@functools.cache
def make_model(network="A"):
  return vggjax.create_model(network, **SMALL)


@functools.cache
def make_images(shapes=SHAPES):
  return [picture(*shape, seed=i) for i, shape in enumerate(shapes)]


def softmax(scores):
  powers = np.exp(scores - scores.max())
  return powers / powers.sum()


def offsets(side, grid, crop=32):
  """Exact fractions, rounded half up."""
  if grid == 1:
    return [(side - crop) // 2]
  steps = [Fraction(i * (side - crop), grid - 1) for i in range(grid)]
  return [math.floor(step + Fraction(1, 2)) for step in steps]


def naive_crops(image, grid, mirror):
  """The crops of a rescaled image, one after the other."""
  for top in offsets(image.shape[0], grid):
    for left in offsets(image.shape[1], grid):
      crop = image[top : top + 32, left : left + 32]
      assert crop.shape == (32, 32, 3)
      yield crop
      if mirror:
        yield np.flip(crop, axis=1)


@functools.cache
def naive(index, scale, grid, mirror):
  """Float64 [K]: the mean over an image's crops, each by itself in PyTorch."""
  net = torch_net("A", small_params("A"))
  image = rescaling.rescale(make_images()[index], scale)
  parts = []
  for crop in naive_crops(image, grid, mirror):
    x = crop.astype(np.float32) - np.array(MEAN, np.float32)
    scores, _ = net(to_nchw(x[None]))
    parts.append(softmax(scores.detach().numpy().ravel().astype(float)))
  assert len(parts) == grid**2 * (2 if mirror else 1)
  return np.mean(parts, axis=0)


def naive_posteriors(indices, scales, *, mirror=True, grid=5):
  return np.array(
    [
      np.mean([naive(i, q, grid, mirror) for q in scales], axis=0)
      for i in indices
    ]
  )


def assert_equal_posteriors(ours, wanted):
  assert ours.dtype == np.float32
  assert ours.shape == wanted.shape
  np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-5)
  np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-5)


def posteriors(indices, scales, **options):
  images = [make_images()[i] for i in indices]
  return vggjax.multicrop_posteriors(
    make_model(), small_params("A"), images, scales, mean=MEAN, **options
  )


@pytest.mark.parametrize(
  ("indices", "scales", "options"),
  [
    (range(len(SHAPES)), (45,), {}),
    ((2, 3), (32, 41, 50), {}),
    ((0, 2), (46,), {"mirror": False}),
    ((0, 1, 4), (45,), {"mirror": False, "grid": 1}),
    ((1, 3), 37, {"grid": 1}),
    ((0, 1), [45], {"grid": 2}),
  ],
)
def test_equals_a_crop_at_a_time(indices, scales, options):
  ours = posteriors(indices, scales, **options)
  wanted = naive_posteriors(indices, np.ravel(scales).tolist(), **options)
  assert_equal_posteriors(ours, wanted)


def test_the_cases_above_can_be_told_apart():
  """Each option changes the result by far more than the tolerance."""

  def result(**options):
    return naive_posteriors(**{"indices": (0, 2), "scales": (45,), **options})

  plain = result()
  assert plain.max(axis=1).min() < 0.9  # Not saturated.
  for options in (
    {"mirror": False},
    {"grid": 1},
    {"grid": 2},
    {"grid": 4},
    {"scales": (32,)},
    {"scales": (32, 45)},
    {"indices": (2, 0)},
  ):
    assert abs(result(**options) - plain).max() > 1e-3, options


class OneClassACrop:
  """A model that tells the crops apart by their two upper corners.

  What stands for its first block only pools.
  """

  network = "A"
  crop_size = 32
  num_outputs = 50
  param_dtype = np.float32

  def apply(self, variables, x, after="", until=""):
    if until:
      return None, {"conv1_1": x, "pool1": layers.max_pool(x)}
    corner = x[:, 0, 0, 0].astype(int)
    return 100 * jax.nn.one_hot(corner - 1, 50)[:, None, None], None


@pytest.mark.parametrize("mirror", [True, False])
def test_fifty_crops_of_an_image_count_once_each(mirror):
  # 40 x 48: rows 0, 2, ... 8 and columns 0, 4, ... 16; their mirror images
  # begin with the columns 31, 35, ... 47.
  image = np.zeros((40, 48, 3), np.uint8)
  for i in range(5):
    for j in range(5):
      image[2 * i, 4 * j] = 1 + 5 * i + j
      image[2 * i, 31 + 4 * j] = 26 + 5 * i + j
  [found] = vggjax.multicrop_posteriors(
    OneClassACrop(),
    {"none": np.zeros(1)},
    [image],
    40,
    mean=[0] * 3,
    mirror=mirror,
  )
  number = 50 if mirror else 25
  np.testing.assert_allclose(found[:number], 1 / number, rtol=1e-6)
  assert not found[number:].any()


@functools.cache
def compiled_cut(grid):
  return jax.jit(
    lambda image, sizes: multicrop.cut_crops(image, sizes, 32, grid)
  )


side = st.integers(32, 64)


@pytest.mark.parametrize("grid", [1, 2, 3, 5])
@given(sizes=st.tuples(*[st.tuples(side, side)] * 3))
@settings(max_examples=25)
def test_cut_crops_of_padded_images(grid, sizes):
  """255 stands outside the images and nowhere else."""
  random = np.random.default_rng(sizes[0][0])
  batch = np.full((3, 64, 64, 3), 255, np.uint8)
  for image, (height, width) in zip(batch, sizes, strict=True):
    image[:height, :width] = random.integers(0, 255, (height, width, 3))
  ours = np.asarray(compiled_cut(grid)(batch, np.array(sizes, np.int32)))
  assert ours.dtype == np.uint8
  for image, (height, width), crops in zip(batch, sizes, ours, strict=True):
    wanted = list(naive_crops(image[:height, :width], grid, mirror=False))
    np.testing.assert_array_equal(crops, wanted)
  assert ours.max() < 255


def test_an_image_of_the_crops_size_is_evaluated_as_such():
  """All crops are the image; dense evaluation has a single position."""
  ours = posteriors((2, 3), 32)
  images = [make_images()[i] for i in (2, 3)]
  theirs = vggjax.dense_posteriors(
    make_model(), small_params("A"), images, 32, mean=MEAN
  )
  np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
  ("num_devices", "batch_size"), [(1, 3), (8, 8), (8, 0)]
)
def test_devices_and_batch_sizes_change_nothing(num_devices, batch_size):
  indices = (0, 2, 1, 4, 0, 1, 1)
  buckets = multicrop.multicrop_buckets(
    make_model(),
    small_params("A"),
    mean=MEAN,
    grid=2,
    devices=jax.devices()[:num_devices],
    batch_size=batch_size,
  )
  rows = Rows(len(indices))
  images = [make_images()[i] for i in indices]
  buckets.map(dense.rescaled(images, [45]), [rows])
  assert_equal_posteriors(
    rows.values(), naive_posteriors(indices, [45], grid=2)
  )
  # 60 x 40, 40 x 60 and 21 x 23 become 68 x 45, 45 x 68 and 45 x 49; their
  # long sides are padded to multiples of 22.
  slots = {1: (1, 2, 3), 8: (8,)}[num_devices]
  canvases = {(45, 45), (88, 45), (45, 88), (45, 66)}
  assert {s[1:] for s in buckets.work.shapes} == canvases
  assert {s[0] for s in buckets.work.shapes} <= set(slots)
  assert buckets.work.images == 7


def test_large_grids_come_fewer_at_once():
  """2^17 pixels at once: 5 images of 25 crops, so 4; 128 of one crop."""

  def batch(number, grid):
    image = np.zeros((32, 32, 3), np.uint8)
    buckets = multicrop.multicrop_buckets(
      OneClassACrop(),
      {"none": np.zeros(1)},
      mean=MEAN,
      grid=grid,
      devices=jax.devices()[:1],
    )
    buckets.map(((i, [image]) for i in range(number)), [Rows(number)])
    return buckets.work.shapes

  assert batch(5, 5) == {(4, 32, 32), (1, 32, 32)}
  assert batch(65, 1) == {(64, 32, 32), (1, 32, 32)}


@pytest.mark.parametrize(
  ("shape", "canvas"),
  [
    ((45, 45), (45, 45)),
    ((45, 46), (90, 90)),
    ((90, 45), (90, 90)),
    ((91, 45), (180, 180)),
    ((45, 360), (360, 360)),
  ],
)
def test_square_canvas(shape, canvas):
  assert multicrop.square_canvas(shape) == canvas


@pytest.mark.parametrize(
  ("shape", "canvas"),
  [
    ((256, 256), (256, 256)),
    ((256, 341), (256, 384)),
    ((385, 256), (512, 256)),
    ((45, 46), (45, 66)),
  ],
)
def test_halves_canvas(shape, canvas):
  assert multicrop.halves_canvas(shape) == canvas


def test_paths_and_the_mirror_image(tmp_path):
  image = make_images()[0]
  Image.fromarray(image).save(tmp_path / "0.png")
  ours = vggjax.multicrop_posteriors(
    make_model(), small_params("A"), [tmp_path / "0.png", image], 45, mean=MEAN
  )
  np.testing.assert_array_equal(ours[0], ours[1])
  assert_equal_posteriors(ours[:1], naive_posteriors([0], [45]))


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"grid": 0}, ["grid is 0", "at least 1"]),
    ({"grid": -2}, ["grid is -2"]),
    ({"test_scales": 31}, ["test_scales is (31,)", "at least 32 pixels"]),
    ({"test_scales": (64, 16)}, ["test_scales is (64, 16)"]),
    ({"test_scales": ()}, ["test_scales is ()"]),
    ({"test_scales": (40.0,)}, ["test_scales is (40.0,)", "whole"]),
    ({"images": []}, ["images is empty"]),
    ({"images": [np.zeros((40, 40), np.uint8)]}, ["image 0", "[40, 40]"]),
    ({"images": ["missing.png"]}, ["missing.png", "no such image file"]),
    ({"mean": (1.0, 2.0)}, ["mean must be 3 numbers", "[1.0, 2.0]"]),
    ({"batch_size": 12}, ["batch size is 12", "8 devices"]),
  ],
)
def test_bad_inputs(options, words):
  images = [np.zeros((40, 40, 3), np.uint8)]
  options = {"images": images, "test_scales": 32, "mean": MEAN, **options}
  with pytest.raises(InputError) as caught:
    vggjax.multicrop_posteriors(make_model(), small_params("A"), **options)
  assert "\n" not in str(caught.value)
  for word in words:
    assert word in str(caught.value)

"""Dense evaluation against an image at a time, without padding (Sect. 3.2)."""

import functools

import jax
import numpy as np
import pytest
from PIL import Image
from torch_nets import TorchVGG, random_params, to_nchw, to_nhwc

import vggjax
from vggjax import images as pictures
from vggjax.errors import InputError
from vggjax.evaluate import dense
from vggjax.evaluate.rows import Rows

pytestmark = pytest.mark.usefixtures("quick_compile")

SMALL = {"num_outputs": 7, "width": 1 / 16, "crop_size": 32}
MEAN = (123.68, 116.779, 103.939)
# Portrait, landscape, nearly square, square, of the crop's size, larger and
# smaller; the last two are longer than eight times their short side.
SHAPES = (
  (60, 40),
  (40, 60),
  (41, 47),
  (50, 50),
  (32, 32),
  (90, 131),
  (21, 20),
  (12, 150),
  (333, 40),
)


@functools.cache
def make_model(network="A", pool="ceil"):
  return vggjax.create_model(network, **SMALL, pool=pool)


@functools.cache
def make_params(network="A"):
  return random_params(make_model(network), seed=4)


@functools.cache
def make_images(shapes=SHAPES):
  """Images that are not the same mirrored, and differ in their colors."""
  random = np.random.default_rng(7)
  result = []
  for height, width in shapes:
    coarse = random.uniform(0, 256, (2 + height // 15, 3 + width // 11, 3))
    image = Image.fromarray(coarse.astype(np.uint8))
    result.append(np.asarray(image.resize((width, height))))
  return result


@functools.cache
def torch_net(network, pool):
  """In PyTorch, which needs no program for each shape."""
  net = TorchVGG(network, **SMALL, ceil_mode=pool == "ceil")
  return net.copy_weights(make_params(network))


@functools.cache
def score_map(pool, index, scale, is_mirrored):
  """Float64 scores [h, w, K] of one image, neither padded nor batched."""
  image = pictures.rescale(make_images()[index], scale)
  assert min(image.shape[:2]) == scale
  if is_mirrored:
    image = np.flip(image, axis=1)
  x = image.astype(np.float32) - np.array(MEAN, np.float32)
  scores, _ = torch_net("A", pool)(to_nchw(x[None]))
  return to_nhwc(scores)[0].astype(np.float64)


def softmax(scores):
  powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
  return powers / powers.sum(axis=-1, keepdims=True)


def pooled(scores, spatial):
  """One vector of posteriors of a score map [h, w, K]."""
  positions = scores.reshape(-1, scores.shape[-1])
  if spatial == "posteriors":
    return np.mean([softmax(p) for p in positions], axis=0)
  return softmax(sum(positions) / (1 if spatial == "sum" else len(positions)))


def naive_posteriors(pool, indices, scales, *, mirror=True, spatial="scores"):
  result = []
  for index in indices:
    parts = [
      pooled(score_map(pool, index, scale, is_mirrored), spatial)
      for scale in scales
      for is_mirrored in ((False, True) if mirror else (False,))
    ]
    result.append(np.mean(parts, axis=0))
  return np.array(result)


def assert_equal_posteriors(ours, wanted, tolerance=1e-5):
  assert ours.dtype == np.float32
  assert ours.shape == wanted.shape
  np.testing.assert_allclose(ours, wanted, rtol=0, atol=tolerance)
  np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-5)


FEW = (0, 2, 7)


@pytest.mark.parametrize(
  ("pool", "spatial", "mirror", "scales", "indices"),
  [
    ("ceil", "scores", True, (45,), range(len(SHAPES))),
    ("floor", "scores", True, (32, 45), (1, 3, 5, 8)),
    ("ceil", "posteriors", True, (45,), FEW),
    ("floor", "posteriors", False, (45, 33), FEW),
    ("ceil", "sum", True, (32,), FEW),
    ("floor", "sum", False, (45,), FEW),
    ("ceil", "scores", False, (45,), FEW),
  ],
)
def test_equals_an_image_at_a_time(pool, spatial, mirror, scales, indices):
  ours = vggjax.dense_posteriors(
    make_model(pool=pool),
    make_params(),
    [make_images()[i] for i in indices],
    scales,
    mean=MEAN,
    mirror=mirror,
    spatial=spatial,
  )
  wanted = naive_posteriors(
    pool, indices, scales, mirror=mirror, spatial=spatial
  )
  assert_equal_posteriors(ours, wanted)


def test_the_cases_above_can_be_told_apart():
  """Each option changes the result by far more than the tolerance."""

  def result(pool="ceil", **options):
    options = {"indices": FEW, "scales": (45,)} | options
    return naive_posteriors(pool, **options)

  plain = result()
  assert plain.max(axis=1).min() < 0.9  # Not saturated.
  assert abs(plain - plain.mean(axis=0)).max() > 1e-2
  for options in (
    {"pool": "floor"},
    {"mirror": False},
    {"spatial": "posteriors"},
    {"spatial": "sum"},
    {"scales": (32,)},
    {"scales": (32, 45)},
  ):
    assert abs(result(**options) - plain).max() > 1e-3, options


def test_batch_size_changes_nothing():
  indices = (2, 4, 3, 2, 2, 6)
  images = [make_images()[i] for i in indices]
  ours = vggjax.dense_posteriors(
    make_model(), make_params(), images, 32, mean=MEAN, batch_size=8
  )
  assert_equal_posteriors(ours, naive_posteriors("ceil", indices, (32,)))


@pytest.mark.parametrize("num_devices", [1, 8])
def test_many_shapes_in_few_programs(num_devices):
  random = np.random.default_rng(3)
  shapes = [(37, int(w)) for w in random.integers(37, 58, 15)]
  shapes += [(int(h), 36) for h in random.integers(36, 45, 9)]
  images = make_images(tuple(shapes))
  model, params = make_model("C"), make_params("C")
  net = torch_net("C", "ceil")
  wanted = []
  for image in images:
    small = pictures.rescale(image, 32)
    x = np.stack([small, small[:, ::-1]]).astype(np.float32)
    scores, _ = net(to_nchw(x - np.array(MEAN, np.float32)))
    wanted.append(
      np.mean([pooled(s, "scores") for s in to_nhwc(scores)], axis=0)
    )
  buckets = dense.dense_buckets(
    model,
    params,
    mean=MEAN,
    batch_size=8,
    devices=jax.devices()[:num_devices],
  )
  rows = Rows(len(images))
  buckets.map(dense.rescaled(images, [32]), [rows])
  assert_equal_posteriors(rows.values(), np.array(wanted))

  distinct = {pictures.rescale(i, 32).shape for i in images}
  padded = {s[1:] for s in buckets.work.shapes}
  assert len(distinct) >= 15
  # The long side, of at most 50 or 40 pixels, is a multiple of 8.
  assert padded <= {(32, w) for w in (32, 40, 48, 56)} | {(40, 32), (48, 32)}
  batch_sizes = {1: (1, 2, 4, 8), 8: (8,)}[num_devices]
  assert {s[0] for s in buckets.work.shapes} <= set(batch_sizes)
  assert buckets.work.images == len(images)


def test_paths_and_arrays_mixed(tmp_path):
  # All are nearly square, so that two programs do.
  images = [make_images()[i] for i in (2, 4, 3)]
  gray = make_images()[6][..., 0]
  for index, image in enumerate([*images, gray]):
    Image.fromarray(image).save(tmp_path / f"{index}.png")
  mixed = [tmp_path / "0.png", images[1], str(tmp_path / "2.png")]
  same = [*images, np.repeat(gray[..., None], 3, axis=2)]
  ours, wanted = (
    vggjax.dense_posteriors(
      make_model(), make_params(), sources, 32, mean=MEAN, mirror=False
    )
    for sources in ([*mixed, tmp_path / "3.png"], same)
  )
  np.testing.assert_array_equal(ours, wanted)
  assert_equal_posteriors(
    ours[:3], naive_posteriors("ceil", (2, 4, 3), (32,), mirror=False)
  )


def test_the_mirror_image_has_the_same_posteriors():
  image = make_images()[0]
  ours = vggjax.dense_posteriors(
    make_model(), make_params(), [image, image[:, ::-1]], 32, mean=MEAN
  )
  np.testing.assert_allclose(ours[0], ours[1], atol=1e-5)


@pytest.mark.parametrize("pool", ["ceil", "floor"])
def test_posterior_map(pool):
  """And the network itself, on an image neither padded nor in a batch."""
  image = pictures.rescale(make_images()[0], 45)
  ours = dense.posterior_map(
    make_model(pool=pool), make_params(), image, mean=MEAN
  )
  wanted = softmax(score_map(pool, 0, 45, False))
  assert ours.shape == ((3, 2, 7) if pool == "ceil" else (2, 1, 7))
  np.testing.assert_allclose(ours, wanted, atol=1e-5)


@pytest.mark.parametrize("scales", [32, np.int64(32), [32], np.array([32])])
def test_forms_of_a_scale(scales):
  ours = vggjax.dense_posteriors(
    make_model(),
    make_params(),
    [make_images()[4]],
    scales,
    mean=np.array(MEAN),
    mirror=False,
  )
  wanted = naive_posteriors("ceil", (4,), (32,), mirror=False)
  assert_equal_posteriors(ours, wanted)


class TestBadInputs:
  good = np.zeros((40, 40, 3), np.uint8)

  def message(self, images=None, scales=32, **options):
    images = [self.good] if images is None else images
    with pytest.raises(InputError) as caught:
      vggjax.dense_posteriors(
        make_model(), make_params(), images, scales, **{"mean": MEAN} | options
      )
    assert "\n" not in str(caught.value)
    return str(caught.value)

  @pytest.mark.parametrize("scales", [31, [64, 16], [], 0, -32, [32.5], [33.0]])
  def test_scales(self, scales):
    message = self.message(scales=scales)
    assert "test_scales" in message
    assert "whole numbers of at least 32 pixels" in message
    assert str(np.ravel(scales).tolist()).strip("[]") in message

  def test_no_images(self):
    assert "images is empty" in self.message(images=[])

  @pytest.mark.parametrize(
    ("image", "words"),
    [
      (np.zeros((40, 40, 3), np.float32), ["float32", "[40, 40, 3]"]),
      (np.zeros((40, 40), np.uint8), ["uint8 [40, 40]"]),
      (np.zeros((40, 40, 4), np.uint8), ["[40, 40, 4]"]),
      (np.zeros((40, 40, 1), np.uint8), ["[40, 40, 1]"]),
      (np.zeros((1, 40, 40, 3), np.uint8), ["[1, 40, 40, 3]"]),
      (np.zeros((0, 40, 3), np.uint8), ["[0, 40, 3]"]),
    ],
  )
  def test_arrays(self, image, words):
    message = self.message(images=[self.good, image])
    for word in ["image 1", "uint8 [H, W, 3]", *words]:
      assert word in message

  def test_files(self, tmp_path):
    missing, broken = tmp_path / "missing.png", tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    assert str(missing) in self.message(images=[missing])
    assert str(broken) in self.message(images=[self.good, str(broken)])

  @pytest.mark.parametrize("mean", [(1.0, 2.0), 5.0, [[1, 2, 3]], ()])
  def test_mean(self, mean):
    message = self.message(mean=mean)
    assert "mean must be 3 numbers" in message
    assert str(np.array(mean, float).tolist()) in message

  def test_spatial(self):
    message = self.message(spatial="max")
    for word in ("spatial", "'max'", "scores", "posteriors", "sum"):
      assert word in message

  def test_batch_size(self):
    message = self.message(batch_size=12)
    for word in ("batch size", "12", "8 devices"):
      assert word in message

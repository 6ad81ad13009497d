"""Grouping by padded shape: each image once, in its place (Sect. 3.2)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggjax.errors import InputError
from vggjax.evaluate.buckets import Buckets

pytestmark = pytest.mark.usefixtures("quick_compile")

GRANULE = 8


def describe(params, batch):
  """Sum, weighted by the position, and size of each image."""
  image = batch["image"].astype(jnp.float32)
  rows = jnp.arange(1.0, image.shape[1] + 1)[:, None, None]
  columns = jnp.arange(1.0, image.shape[2] + 1)[:, None]
  total = jnp.sum(image * (params["row"] * rows + columns), axis=(1, 2, 3))
  return jnp.concatenate([total[:, None], batch["sizes"]], axis=1)


def naive(image, row=3):
  height, width = image.shape[:2]
  weights = row * np.arange(1, height + 1)[:, None] + np.arange(1, width + 1)
  return [np.sum(image * weights[..., None].astype(float)), height, width]


def make_buckets(**options):
  return Buckets(describe, {"row": np.float32(3)}, granule=GRANULE, **options)


def make_images(shapes, seed=0):
  random = np.random.default_rng(seed)
  return [random.integers(0, 256, (*s, 3), np.uint8) for s in shapes]


@given(
  st.lists(
    st.tuples(st.sampled_from([12, 16]), st.integers(0, 20), st.booleans()),
    min_size=1,
    max_size=12,
  ),
  st.sampled_from([1, 2]),
  st.sampled_from([0, 2, 6]),
  st.randoms(use_true_random=False),
)
@settings(max_examples=8, deadline=None)
def test_every_image_in_its_place(items, num_devices, batch_size, random):
  """Two scales, any order, batches that do not come out even."""
  shapes = [
    (q, q + more) if is_wide else (q + more, q) for q, more, is_wide in items
  ]
  images = list(zip(make_images(shapes), make_images(shapes, 1), strict=True))
  stream = list(enumerate(images))
  random.shuffle(stream)
  buckets = make_buckets(
    batch_size=batch_size, devices=jax.devices()[:num_devices]
  )
  result = buckets.map(iter(stream), len(images), 2)
  wanted = [[naive(i[scale]) for i in images] for scale in range(2)]
  np.testing.assert_allclose(result, wanted, rtol=1e-5)

  work = buckets.work
  assert work.images == 2 * len(images)
  assert work.pixels == 2 * sum(h * w for h, w in shapes)
  assert work.slot_pixels >= work.pixels
  for slots, height, width in work.shapes:
    assert slots % num_devices == 0
    assert slots <= batch_size or not batch_size
    assert (height, width) in {buckets.padded_shape(s) for s in shapes}


@pytest.mark.parametrize(
  ("shape", "padded"),
  [
    ((12, 12, 3), (12, 12)),
    ((12, 13, 3), (12, 16)),
    ((12, 16), (12, 16)),
    ((17, 12), (24, 12)),
    ((16, 128, 3), (16, 128)),
  ],
)
def test_padded_shape(shape, padded):
  assert make_buckets().padded_shape(shape) == padded


def test_few_programs():
  """40 sizes, three buckets, batches of 4 and less."""
  shapes = [(12, 12 + i // 2) for i in range(1, 25)]
  images = make_images([shapes[i % 24] for i in range(40)])
  buckets = make_buckets(batch_size=4, devices=jax.devices()[:1])
  buckets.map(enumerate((i,) for i in images), 40, 1)
  work = buckets.work
  assert {s[1:] for s in work.shapes} == {(12, 12), (12, 16), (12, 24)}
  assert {s[0] for s in work.shapes} <= {1, 2, 4}
  # Only a bucket's last batch is padded, to less than twice its images.
  assert 40 <= work.slots < 40 + 3 * 2


def test_without_a_batch_size_larger_images_come_fewer_at_once():
  device = jax.devices()[:1]
  wanted = {(32, 32): 64, (256, 256): 8, (512, 512): 2, (1024, 1024): 1}
  for shape, number in wanted.items():
    image = np.zeros((*shape, 3), np.uint8)
    buckets = make_buckets(devices=device)
    # One more than fit: a full batch and one of a single slot.
    stream = ((i, (image,)) for i in range(number + 1))
    buckets.map(stream, number + 1, 1)
    assert buckets.work.shapes == {(number, *shape), (1, *shape)}


def test_eight_devices():
  images = make_images([(12, 14)] * 11 + [(20, 12)] * 3)
  buckets = make_buckets()
  result = buckets.map(enumerate((i,) for i in images), 14, 1)
  np.testing.assert_allclose(result[0], [naive(i) for i in images], rtol=1e-5)
  assert buckets.work.shapes == {(16, 12, 16), (8, 24, 12)}
  assert buckets.work.slots == 24


@pytest.mark.parametrize(
  ("indices", "missing"),
  [
    ([0, 1, 1], 2),  # 1 twice, 2 never.
    ([0, 1], 1),
    ([0, 1, 2, 2], 1),
    ([], 3),
  ],
)
def test_repeated_or_missing_images(indices, missing):
  image = np.zeros((12, 12, 3), np.uint8)
  buckets = make_buckets(batch_size=2, devices=jax.devices()[:1])
  message = f"{missing} of 3 images were not computed exactly once"
  with pytest.raises(RuntimeError, match=message):
    buckets.map(((i, [image]) for i in indices), 3, 1)


def test_a_missing_scale():
  image = np.zeros((12, 12, 3), np.uint8)
  stream = [(0, [image, image]), (1, [image])]
  buckets = make_buckets(batch_size=2, devices=jax.devices()[:1])
  with pytest.raises(RuntimeError, match="1 of 4 images"):
    buckets.map(stream, 2, 2)


@pytest.mark.parametrize("batch_size", [1, 12, -8])
def test_bad_batch_size(batch_size):
  with pytest.raises(InputError) as caught:
    make_buckets(batch_size=batch_size)
  for word in ("batch size", str(batch_size), "8 devices"):
    assert word in str(caught.value)

"""Grouping by padded shape: each image once, in its place (Sect. 3.2)."""

import functools
import os

import counting_source
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggjax.errors import InputError
from vggjax.evaluate.buckets import Buckets, pad_long_side
from vggjax.evaluate.rows import Rows

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


pad = functools.partial(pad_long_side, granule=GRANULE)


def make_buckets(function=describe, **options):
  params = {"row": np.float32(3)}
  return Buckets(function, params, padded_shape=pad, **options)


def mapped(buckets, stream, num_images, num_scales=1):
  """What the buckets compute, [scales, N, 3]."""
  rows = [Rows(num_images) for _ in range(num_scales)]
  assert buckets.map(stream, rows) is None
  return [target.values() for target in rows]


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
@settings(max_examples=8)
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
  result = mapped(buckets, iter(stream), len(images), 2)
  wanted = [[naive(i[scale]) for i in images] for scale in range(2)]
  np.testing.assert_allclose(result, wanted, rtol=1e-5)

  work = buckets.work
  assert work.images == 2 * len(images)
  assert work.pixels == 2 * sum(h * w for h, w in shapes)
  assert work.slot_pixels >= work.pixels
  for slots, height, width in work.shapes:
    assert slots % num_devices == 0
    assert slots <= batch_size or not batch_size
    assert (height, width) in {pad(s) for s in shapes}


@pytest.mark.parametrize(
  ("shape", "padded"),
  [
    ((12, 12), (12, 12)),
    ((12, 13), (12, 16)),
    ((12, 16), (12, 16)),
    ((17, 12), (24, 12)),
    ((16, 128), (16, 128)),
  ],
)
def test_pad_long_side(shape, padded):
  assert pad_long_side(shape, 8) == padded


def test_few_programs():
  """40 sizes, three buckets, batches of 4 and less."""
  shapes = [(12, 12 + i // 2) for i in range(1, 25)]
  images = make_images([shapes[i % 24] for i in range(40)])
  buckets = make_buckets(batch_size=4, devices=jax.devices()[:1])
  mapped(buckets, enumerate((i,) for i in images), 40)
  work = buckets.work
  assert {s[1:] for s in work.shapes} == {(12, 12), (12, 16), (12, 24)}
  assert {s[0] for s in work.shapes} <= {1, 2, 4}
  # Only a bucket's last batch is padded, to less than twice its images.
  assert 40 <= work.slots < 40 + 3 * 2


def test_without_a_batch_size_larger_images_come_fewer_at_once():
  device = jax.devices()[:1]
  wanted = {(32, 32): 64, (128, 128): 8, (256, 256): 2, (512, 512): 1}
  for shape, number in wanted.items():
    image = np.zeros((*shape, 3), np.uint8)
    buckets = make_buckets(devices=device)
    # One more than fit: a full batch and one of a single slot.
    stream = ((i, (image,)) for i in range(number + 1))
    mapped(buckets, stream, number + 1)
    assert buckets.work.shapes == {(number, *shape), (1, *shape)}


def test_eight_devices():
  images = make_images([(12, 14)] * 11 + [(20, 12)] * 3)
  buckets = make_buckets()
  result = mapped(buckets, enumerate((i,) for i in images), 14)
  np.testing.assert_allclose(result[0], [naive(i) for i in images], rtol=1e-5)
  assert buckets.work.shapes == {(16, 12, 16), (8, 24, 12)}
  assert buckets.work.slots == 24


def test_pixels_of_an_image_decide_how_many_come_at_once():
  """A function that computes 2^15 pixels of whatever image: four."""
  buckets = make_buckets(devices=jax.devices()[:1], pixels=lambda _: 2**15)
  images = make_images([(12, 12)] * 9)
  mapped(buckets, enumerate((i,) for i in images), 9)
  assert buckets.work.shapes == {(4, 12, 12), (1, 12, 12)}


def one_device(**options):
  return make_buckets(devices=jax.devices()[:1], **options)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize(
  ("indices", "message"),
  [
    ([0, 1, 1], "came twice"),
    ([0, 1, 2, 2], "came twice"),
    ([0, 0, 1, 2], "came twice"),
    ([0, 1], "1 of 3 images never came"),
    ([], "3 of 3 images never came"),
    ([0, 1, 2, 3], r"3 is not in \[0, 3\)"),
    ([0, 1, 2, -1], r"-1 is not in \[0, 3\)"),
  ],
)
def test_repeated_or_missing_images(indices, message, batch_size):
  image = np.zeros((12, 12, 3), np.uint8)
  with pytest.raises(RuntimeError, match=message):
    mapped(
      one_device(batch_size=batch_size), ((i, [image]) for i in indices), 3
    )


def test_a_missing_scale():
  image = np.zeros((12, 12, 3), np.uint8)
  stream = [(0, [image, image]), (1, [image])]
  with pytest.raises(ValueError, match="zip"):
    mapped(one_device(batch_size=2), stream, 2, 2)


def test_images_that_are_done_are_not_computed_again():
  shapes = [(12, 12), (12, 15), (17, 12)] * 4
  images = list(zip(make_images(shapes), make_images(shapes, 1), strict=True))
  rows = [Rows(12), Rows(12)]
  kept = {0: [0, 5, 11], 1: [2, 5]}
  for scale, done in kept.items():
    rows[scale].put(done, np.full((len(done), 3), 7.0, np.float32))
  buckets = one_device(batch_size=2)
  # Image 5, done at both scales, does not even come.
  buckets.map(((i, images[i]) for i in range(12) if i != 5), rows)
  for scale, done in kept.items():
    wanted = np.array([naive(pair[scale]) for pair in images])
    wanted[done] = 7
    np.testing.assert_allclose(rows[scale].values(), wanted, rtol=1e-5)
  todo = [
    shapes[i] for done in kept.values() for i in range(12) if i not in done
  ]
  assert buckets.work.images == len(todo) == 19
  assert buckets.work.pixels == sum(h * w for h, w in todo)


def test_nothing_runs_when_everything_is_done():
  def fail(*_):
    raise AssertionError

  image = np.zeros((12, 12, 3), np.uint8)
  rows = [Rows(2)]
  rows[0].put([0, 1], np.ones((2, 3)))
  buckets = one_device(function=fail)
  buckets.map([(0, [image]), (1, [image])], rows)
  assert (rows[0].values() == 1).all()
  assert buckets.work.slots == 0


def test_a_stopped_stream_goes_on_with_the_same_batches():
  """Whole batches are kept, and what was pending comes again in its place."""
  random = np.random.default_rng(3)
  shapes = [
    ((12, 12), (12, 15), (17, 12))[i] for i in random.integers(3, size=30)
  ]
  images = make_images(shapes)
  undisturbed, stopped = [Rows(30)], [Rows(30)]
  one_device(batch_size=4).map(enumerate((i,) for i in images), undisturbed)

  def interrupted():
    for index in np.flatnonzero(~stopped[0].done):
      if index == stop:
        raise KeyboardInterrupt
      yield index, [images[index]]

  for stop in (13, 22):
    with pytest.raises(KeyboardInterrupt):
      one_device(batch_size=4).map(interrupted(), stopped)
    done = int(stopped[0].done.sum())
    assert stop - 9 <= done <= stop
    assert done % 4 == 0
  stop = None
  buckets = one_device(batch_size=4)
  buckets.map(interrupted(), stopped)
  assert buckets.work.images == 30 - done
  np.testing.assert_array_equal(stopped[0].values(), undisturbed[0].values())


def test_the_next_batch_is_prepared_while_one_is_computed():
  """Results come a batch late, and all of them where the stream fails."""
  images = make_images([(12, 12)] * 5)
  rows, counts = [Rows(6)], []

  def stream():
    for index, image in enumerate(images):
      counts.append(int(rows[0].done.sum()))
      yield index, [image]
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    one_device(batch_size=2).map(stream(), rows)
  assert counts == [0, 0, 0, 0, 2]
  assert rows[0].done.tolist() == [True] * 4 + [False] * 2
  found = rows[0].filled()[1]
  np.testing.assert_allclose(found, [naive(i) for i in images[:4]], rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 12, -8])
def test_bad_batch_size(batch_size):
  with pytest.raises(InputError) as caught:
    make_buckets(batch_size=batch_size)
  for word in ("batch size", str(batch_size), "8 devices"):
    assert word in str(caught.value)


def test_an_evaluation_holds_a_bounded_number_of_images():
  """As many of 3,000 images as of 600: of each shape less than a batch."""
  for count in (600, 3_000):
    held, shapes = counting_source.most_held(count)
    waiting = shapes * (counting_source.BATCH - 1) + counting_source.BATCH
    # Read, decoded and ready: at most a core's worth each, and two.
    ahead = 4 * max(2, len(os.sched_getaffinity(0))) + 4
    assert counting_source.BATCH <= held <= waiting + ahead < 600

"""vggjax.data.preprocess against Pillow, dense matrices and plain counting."""

import collections
import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encode, picture, reference_rescale
from PIL import Image

from vggjax import geometry, images
from vggjax.data import preprocess, resampling
from vggjax.errors import InputError

# Traced once each: hypothesis calls them with many shapes.
decode = tf.function(
  preprocess.decode, input_signature=[tf.TensorSpec([], tf.string)]
)
rescale = tf.function(
  resampling.rescale,
  input_signature=[
    tf.TensorSpec([None, None, 3], tf.uint8),
    tf.TensorSpec([], tf.int64),
  ],
)


@tf.function(
  input_signature=[tf.TensorSpec([], tf.string)]
  + 3 * [tf.TensorSpec([2], tf.int64)]
)
def window(encoded, full, offset, size):
  return preprocess.rescaled_window(encoded, lambda _: (full, offset), size)


def jpeg_options(draw):
  return {
    "quality": draw(st.sampled_from([60, 90])),
    "subsampling": draw(st.sampled_from([0, 1, 2])),
    "progressive": draw(st.booleans()),
  }


@pytest.mark.parametrize(
  ("kind", "mode"),
  [
    ("JPEG", "RGB"),
    ("JPEG", "L"),
    ("PNG", "RGB"),
    ("PNG", "L"),
    ("PNG", "LA"),
    ("PNG", "1"),
    ("PNG", "P"),
    ("PNG", "RGBA"),
    ("GIF", "P"),
    ("BMP", "RGB"),
    ("BMP", "P"),
    ("BMP", "L"),
    ("WEBP", "RGB"),
    ("TIFF", "CMYK"),
  ],
)
def test_decode_gives_the_pixels_of_pillow(kind, mode):
  encoded = encode(picture(37, 51), kind, mode)
  decoded = decode(encoded).numpy()
  assert decoded.dtype == np.uint8
  np.testing.assert_array_equal(decoded, images.decode(encoded))


def test_decode_16_bit_and_animated_as_pillow():
  gray = encode((np.arange(60, dtype=np.uint16) * 1091).reshape(6, 10))
  frames = [Image.new("RGB", (5, 4), color) for color in ("red", "blue")]
  file = io.BytesIO()
  frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
  for encoded in (gray, file.getvalue()):
    np.testing.assert_array_equal(decode(encoded), images.decode(encoded))


def test_decode_cmyk_jpeg_within_a_level():
  encoded = encode(picture(40, 56), "JPEG", "CMYK", quality=95)
  difference = decode(encoded).numpy().astype(int) - images.decode(encoded)
  assert np.abs(difference).max() <= 1


def test_decode_refuses_broken_files():
  whole = picture(60, 60)
  broken = [b"", b"text", encode(whole, "JPEG")[:-900], encode(whole)[:-900]]
  for encoded in broken:
    with pytest.raises(tf.errors.OpError):
      decode(encoded)


@settings(max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 80))
def test_rescale_equals_dense_matrices_and_pillow(height, width, smallest):
  image = picture(height, width, seed=height * width)
  size = geometry.rescaled_size(height, width, smallest)
  (top, left), used = geometry.capped_window(*size)
  expected = reference_rescale(image, *size)
  expected = expected[top : top + used[0], left : left + used[1]]
  rescaled = rescale(image, smallest).numpy()
  assert rescaled.shape == expected.shape
  np.testing.assert_allclose(rescaled, expected, atol=0.02)
  by_pillow = images.rescale_float(image, smallest)
  np.testing.assert_allclose(rescaled, by_pillow, atol=0.02)
  rounded = preprocess.to_uint8(rescaled).numpy()
  np.testing.assert_array_equal(rounded, np.rint(rescaled).clip(0, 255))


@settings(max_examples=60)
@given(st.data())
def test_a_window_equals_rescaling_then_cropping(data):
  height, width = data.draw(st.integers(1, 150)), data.draw(st.integers(1, 150))
  smallest = data.draw(st.integers(8, 120))
  image = picture(height, width, seed=data.draw(st.integers(0, 99)))
  if data.draw(st.booleans()):
    encoded = encode(image, "JPEG", **jpeg_options(data.draw))
  else:
    encoded = encode(image)
  full = geometry.rescaled_size(height, width, smallest)
  crop = [data.draw(st.integers(1, min(8, smallest))) for _ in range(2)]
  offset = [data.draw(st.integers(0, full[i] - crop[i])) for i in range(2)]
  found, size, place = window(encoded, full, offset, crop)
  decoded = images.decode(encoded)
  rows = slice(offset[0], offset[0] + crop[0])
  columns = slice(offset[1], offset[1] + crop[1])
  if max(full) < 2000:  # Longer ones take the matrices too long.
    expected = reference_rescale(decoded, *full)[rows, columns]
    np.testing.assert_allclose(found, expected, atol=0.01)
  assert (tuple(size.numpy()), place.numpy().tolist()) == (full, offset)


def test_a_window_of_a_real_jpeg(imagenet_images):
  for path in sorted((imagenet_images / "images").iterdir())[:8]:
    encoded = path.read_bytes()
    decoded = decode(encoded).numpy()
    np.testing.assert_array_equal(decoded, images.decode(encoded))
    full = geometry.rescaled_size(*decoded.shape[:2], 300)
    whole = rescale(decoded, 300).numpy()
    for offset in ((0, 0), (37, 51), (full[0] - 224, full[1] - 224)):
      found, *_ = window(encoded, full, offset, (224, 224))
      top, left = offset
      expected = whole[top : top + 224, left : left + 224]
      np.testing.assert_allclose(found, expected, atol=0.01)


def test_rescale_a_large_image():
  """Forty megapixels, against Pillow."""
  tile = picture(500, 800)
  image = np.tile(tile, (10, 10, 1))
  np.testing.assert_allclose(
    rescale(image, 64), images.rescale_float(image, 64), atol=0.05
  )


def test_rescale_one_pixel_wide():
  column = picture(5000, 1)
  rescaled = rescale(column, 16).numpy()
  assert rescaled.shape == (128, 16, 3)
  np.testing.assert_allclose(
    rescaled, images.rescale_float(column, 16), atol=0.02
  )


def test_sizes_equal_those_of_geometry():
  for size in ((375, 500), (1, 5000), (4, 6), (90, 720), (91, 10)):
    for smallest in (3, 256):
      full = resampling.rescaled_size(tf.constant(size, tf.int64), smallest)
      assert tuple(full.numpy()) == geometry.rescaled_size(*size, smallest)
      offset, used = resampling.capped_window(full)
      expected = geometry.capped_window(*full.numpy().tolist())
      assert (tuple(offset.numpy()), tuple(used.numpy())) == expected
      capped = resampling.is_capped(full).numpy()
      assert capped == (tuple(used.numpy()) != tuple(full.numpy()))


def draws_of(encoded, num, **options):
  """The crops of `num` examples in one epoch."""

  def crop(example):
    key = preprocess.example_key(3, tf.constant(0, tf.int64), example)
    crop = preprocess.random_crop(encoded, key, **options)
    return crop.image, crop.capped

  crops = tf.data.Dataset.range(num).map(crop).batch(num)
  return [array.numpy() for array in next(iter(crops))]


def position_picture(height, width, step=1):
  """Red is the column times a step, green the row."""
  y, x = np.mgrid[:height, :width]
  return np.stack([x * step, y * step, 0 * x], -1).astype(np.uint8)


def test_random_crop_is_uniform_over_positions_and_flips():
  image = position_picture(10, 13)
  crops, capped = draws_of(
    encode(image), 3000, train_scale=(10, 10), crop_size=8
  )
  assert not capped.any()
  found = collections.Counter()
  for crop in crops:
    left, top = crop[0, :, 0].min(), crop[0, 0, 1]
    flipped = bool(crop[0, 0, 0] > crop[0, -1, 0])
    expected = image[top : top + 8, left : left + 8]
    np.testing.assert_array_equal(
      crop, expected[:, ::-1] if flipped else expected
    )
    found[top, left, flipped] += 1
  # 3 rows, 6 columns, 2 directions: 83 expected, standard deviation 9.
  assert len(found) == 36
  assert min(found.values()) > 45
  assert max(found.values()) < 130


def test_random_crop_draws_every_scale_alike():
  """S is told from the slope that a ramp takes."""
  image = np.zeros((64, 64, 3), np.uint8)
  image[:, :, 0] = np.arange(64) * 4
  crops, _ = draws_of(
    encode(image), 2000, train_scale=(16, 20), crop_size=16, flip=False
  )
  slopes = (crops[:, 8, 12, 0].astype(float) - crops[:, 8, 4, 0]) / 8
  scales = collections.Counter(np.rint(256 / slopes).astype(int).tolist())
  assert sorted(scales) == [16, 17, 18, 19, 20]
  assert min(scales.values()) > 300  # 400 expected, standard deviation 18.
  assert max(scales.values()) < 500


def test_random_crop_without_flip_never_flips():
  encoded = encode(position_picture(10, 13))
  crops, _ = draws_of(
    encoded, 200, train_scale=(10, 10), crop_size=8, flip=False
  )
  assert (crops[:, 0, 0, 0] < crops[:, 0, -1, 0]).all()


def test_random_crop_stays_in_the_center_of_a_long_image():
  image = np.zeros((6, 400, 3), np.uint8)
  image[:, 176:224] = 200  # The central 8 x 6 columns.
  crops, capped = draws_of(encode(image), 300, train_scale=(6, 6), crop_size=6)
  assert capped.all()
  assert (crops == 200).all()


def test_a_draw_depends_on_seed_epoch_and_example_only():
  zero, one = tf.constant(0, tf.int64), tf.constant(1, tf.int64)
  keys = {
    tuple(preprocess.example_key(seed, epoch, example).numpy())
    for seed in (0, 1)
    for epoch in (zero, one)
    for example in (zero, one)
  }
  assert len(keys) == 8
  encoded = encode(picture(40, 40))
  options = {"train_scale": (20, 30), "crop_size": 16}
  first, _ = draws_of(encoded, 6, **options)
  again, _ = draws_of(encoded, 4, **options)
  np.testing.assert_array_equal(first[:4], again)
  assert not np.array_equal(first[0], first[1])


def test_color_shift_by_hand():
  color = preprocess.ColorShift(
    (0.25, 0.04, 0.01), ((0, 1, 0), (0, 0, 1), (1, 0, 0)), std=0.2
  )
  alpha = np.array([1.0, -2.0, 0.5])
  # Eigenvector 0 is blue, 1 red, 2 green; 255 * 0.2 = 51.
  expected = [51 * -2 * 0.04, 51 * 0.5 * 0.01, 51 * 1 * 0.25]
  np.testing.assert_allclose(color.matrix() @ alpha, expected, rtol=1e-6)
  sqrt = preprocess.ColorShift(
    color.eigenvalues, color.eigenvectors, 0.2, "sqrt"
  )
  expected = [51 * -2 * 0.2, 51 * 0.5 * 0.1, 51 * 1 * 0.5]
  np.testing.assert_allclose(sqrt.matrix() @ alpha, expected, rtol=1e-6)
  with pytest.raises(InputError, match="must be eigenvalues or sqrt"):
    preprocess.ColorShift((1, 1, 1), np.eye(3).tolist(), 0.1, "square")


def test_color_shift_has_the_covariance_it_should():
  rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
  values = np.array([0.2, 0.05, 0.01])
  color = preprocess.ColorShift(
    tuple(values), tuple(map(tuple, rotation)), scaling="eigenvalues"
  )

  def shift(example):
    key = preprocess.example_key(0, tf.constant(0, tf.int64), example)
    return preprocess.color_shift(key, color.matrix())

  shifts = tf.data.Dataset.range(8000).map(shift).batch(8000)
  shifts = next(iter(shifts)).numpy()
  expected = rotation @ np.diag((25.5 * values) ** 2) @ rotation.T
  np.testing.assert_allclose(shifts.mean(0), 0, atol=0.15)
  np.testing.assert_allclose(np.cov(shifts.T), expected, atol=1.0)


def test_mirror():
  image = picture(7, 10)
  np.testing.assert_array_equal(preprocess.mirror(image), image[:, ::-1])


def test_to_uint8_rounds_half_to_even_and_clips():
  levels = tf.constant([-3.0, 0.5, 1.5, 2.5, 254.5, 255.2, 300.0])
  expected = [0, 0, 2, 2, 254, 255, 255]
  assert preprocess.to_uint8(levels).numpy().tolist() == expected

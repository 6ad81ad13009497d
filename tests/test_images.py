"""vggjax.images against hand-made files and a rescaling by dense matrices."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encode, picture, reference_rescale
from PIL import Image

from vggjax import geometry, images
from vggjax.errors import InputError


def test_decode_keeps_the_pixels_of_a_png_whatever_its_name(tmp_path):
  image = picture(9, 14)
  path = tmp_path / "named.JPEG"
  path.write_bytes(encode(image))
  np.testing.assert_array_equal(images.decode(path), image)
  np.testing.assert_array_equal(images.decode(str(path)), image)
  np.testing.assert_array_equal(images.decode(path.read_bytes()), image)


def test_decode_jpeg_is_close_to_what_was_encoded():
  y, x = np.mgrid[:40, :60]
  image = np.stack([4 * x, 5 * y, 128 + x], -1).astype(np.uint8)
  decoded = images.decode(encode(image, "JPEG", quality=98, subsampling=0))
  assert np.abs(decoded.astype(int) - image).max() <= 4


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_decode_repeats_gray(mode):
  gray = picture(8, 12)
  decoded = images.decode(encode(gray, mode=mode))
  expected = np.asarray(Image.fromarray(gray).convert(mode).convert("L"))
  assert decoded.shape == (8, 12, 3)
  for channel in range(3):
    np.testing.assert_array_equal(decoded[..., channel], expected)


def test_decode_drops_transparency():
  image = picture(6, 7)
  alpha = np.arange(42, dtype=np.uint8).reshape(6, 7, 1)
  decoded = images.decode(encode(np.concatenate([image, alpha], -1)))
  np.testing.assert_array_equal(decoded, image)


def test_decode_palette_with_transparency():
  palette = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
  colors = [(250, 3, 7), (10, 200, 30), (1, 2, 255)]
  palette.putpalette([value for color in colors for value in color])
  file = io.BytesIO()
  palette.save(file, "PNG", transparency=b"\x00\x80\xff")
  expected = [[colors[0], colors[1]], [colors[2], colors[1]]]
  np.testing.assert_array_equal(images.decode(file.getvalue()), expected)


def test_decode_16_bit_keeps_the_high_byte():
  gray = np.array([[0, 255, 256], [0x1234, 0x80FF, 0xFFFF]], np.uint16)
  decoded = images.decode(encode(gray))
  expected = [[0, 0, 1], [0x12, 0x80, 0xFF]]
  for channel in range(3):
    np.testing.assert_array_equal(decoded[..., channel], expected)


def test_decode_cmyk():
  cmyk = np.zeros((16, 16, 4), np.uint8)
  cmyk[..., 0], cmyk[..., 3] = 255, 51  # Cyan, and a fifth of black.
  file = io.BytesIO()
  Image.fromarray(cmyk, "CMYK").save(file, "JPEG", quality=100)
  decoded = images.decode(file.getvalue())
  assert np.abs(decoded.astype(int) - [0, 204, 204]).max() <= 2


def test_decode_takes_the_first_frame():
  frames = [Image.new("RGB", (5, 4), color) for color in ("red", "blue")]
  file = io.BytesIO()
  frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
  decoded = images.decode(file.getvalue())
  np.testing.assert_array_equal(decoded, np.full((4, 5, 3), [255, 0, 0]))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_decode_names_a_truncated_file_in_one_line(tmp_path, kind):
  path = tmp_path / f"cut.{kind}"
  path.write_bytes(encode(picture(60, 60), kind)[:-900])
  with pytest.raises(InputError, match=f"cut.{kind}: cannot decode") as error:
    images.decode(path)
  assert "\n" not in str(error.value)


def test_decode_refuses_other_files(tmp_path):
  path = tmp_path / "text.jpg"
  path.write_text("not an image")
  with pytest.raises(InputError, match=r"text\.jpg: cannot decode"):
    images.decode(path)
  with pytest.raises(InputError, match=r"absent\.jpg: no such image"):
    images.decode(tmp_path / "absent.jpg")
  with pytest.raises(InputError, match="image bytes: cannot decode"):
    images.decode(b"")
  with pytest.raises(InputError, match="cannot decode"):
    images.decode(tmp_path)


@settings(max_examples=40)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 60))
def test_rescale_equals_the_dense_matrices(height, width, smallest):
  image = picture(height, width, seed=height * width)
  size = geometry.rescaled_size(height, width, smallest)
  (top, left), (used_height, used_width) = geometry.capped_window(*size)
  expected = reference_rescale(image, *size)
  expected = expected[top : top + used_height, left : left + used_width]
  rescaled = images.rescale_float(image, smallest)
  assert rescaled.dtype == np.float32
  assert rescaled.shape == expected.shape
  np.testing.assert_allclose(rescaled, expected, atol=5e-3)
  rounded = images.rescale(image, smallest)
  assert rounded.dtype == np.uint8
  assert np.abs(rounded - expected).max() <= 0.5 + 5e-3


def test_rescale_to_its_own_size_changes_nothing():
  image = picture(33, 47)
  np.testing.assert_array_equal(images.rescale(image, 33), image)


def test_rescale_rounds_half_to_even():
  image = np.zeros((1, 2, 3), np.uint8)
  image[0, 1] = [1, 3, 5]  # Halved with full support: .5, 1.5, 2.5.
  image = np.repeat(image, 2, axis=0)
  np.testing.assert_array_equal(images.rescale(image, 1), [[[0, 2, 2]]])


def test_rescale_center_crops_a_long_image():
  image = np.zeros((2, 100, 3), np.uint8)
  image[:, 42:58] = 200  # The central 8 x 2 pixels.
  rescaled = images.rescale(image, 2)
  assert rescaled.shape == (2, 16, 3)
  assert (rescaled == 200).all()

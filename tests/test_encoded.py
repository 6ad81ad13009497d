"""Files that end too early, and bombs: the same for both decoders."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from pictures import encode, picture
from PIL import Image

from vggjax import encoded, images
from vggjax.data import preprocess
from vggjax.errors import InputError


def chunk(kind, body):
  checksum = struct.pack(">I", zlib.crc32(kind + body))
  return struct.pack(">I", len(body)) + kind + body + checksum


def png(width, height, data, *more, interlaced=0):
  header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
  parts = [encoded.PNG_SIGNATURE, chunk(b"IHDR", header), *more]
  return b"".join(
    (*parts, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b""))
  )


def jpeg(height, width, **options):
  """A JPEG whose header claims another size."""
  content = encode(picture(32, 40), "JPEG", **options)
  place = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2")) + 5
  return b"".join(
    (content[:place], struct.pack(">HH", height, width), content[place + 4 :])
  )


def refused_by_both(content, message):
  with pytest.raises(InputError, match=message) as error:
    images.decode(content)
  assert str(error.value).isprintable()
  for decode in (preprocess.decode, crop):
    with pytest.raises((tf.errors.OpError, InputError)):
      decode(tf.constant(content))


def crop(content):
  key = tf.constant([1, 2], tf.int64)
  return preprocess.random_crop(
    content, key, train_scale=(32, 32), crop_size=32
  ).image


@pytest.mark.parametrize(
  "content",
  [
    jpeg(65500, 65500),
    jpeg(13378, 13378),
    png(60000, 60000, b""),
    png(13378, 13378, b"\0" * 1000),
    encode(picture(4, 4), "BMP").replace(
      struct.pack("<ii", 4, 4), struct.pack("<ii", 20000, 20000)
    ),
  ],
  ids=["jpeg", "jpeg at the limit", "png", "png at the limit", "bmp"],
)
def test_bombs_are_refused_by_their_headers(content):
  refused_by_both(content, "more pixels than the limit of 178956970")


def test_a_large_photo_is_no_bomb():
  content = encode(np.zeros((6400, 6400, 3), np.uint8), "JPEG")
  assert images.decode(content).shape == (6400, 6400, 3)
  assert crop(tf.constant(content)).shape == (32, 32, 3)
  encoded.check_size(13377, 13377)


def test_a_jpeg_of_too_many_scans():
  content = encode(picture(32, 40), "JPEG", progressive=True)
  end = content.rindex(b"\xff\xda")
  few, many = (
    content[:-2] + (content[end:-2] * count) + b"\xff\xd9"
    for count in (400, 600)
  )
  encoded.check_jpeg(few)
  with pytest.raises(InputError, match="more than 500 scans"):
    images.decode(many)
  # TensorFlow's are counted where they could take long.
  place = many.index(b"\xff\xc2") + 5
  large = many[:place] + struct.pack(">HH", 4000, 4000) + many[place + 4 :]
  refused_by_both(large, "more than 500 scans")


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_that_ends_too_early(options):
  content = encode(picture(60, 80), "JPEG", **options)
  for size in (len(content) - 1, len(content) - 2, len(content) // 2, 30):
    refused_by_both(content[:size], "cannot decode")
  # What follows the end is no part of it.
  np.testing.assert_array_equal(
    images.decode(content + b"more"), images.decode(content)
  )


def test_a_marker_in_a_scan_ends_it():
  content = bytearray(encode(picture(60, 80), "JPEG"))
  content[-40:-38] = b"\xff\xe0"
  refused_by_both(bytes(content), "the JPEG is truncated")


def test_a_png_that_ends_too_early():
  content = encode(picture(24, 40))
  for size in (*range(len(content) - 14, len(content)), 60, 20, 9):
    refused_by_both(content[:size], "cannot decode")


@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_png_that_lacks_pixels(interlaced):
  sides = ((5, 7), (1, 1), (2, 9), (8, 8))
  for width, height in sides:
    rows = height
    size = height * (1 + 3 * width)
    if interlaced:
      # The passes by counting the pixels that each has.
      grid = np.array([list(row) for row in ADAM7])
      tile = np.tile(grid, (2, 2))[:height, :width]
      passes = [tile == number for number in "1234567"]
      rows = sum(int(p.any(1).sum()) for p in passes)
      size = rows + 3 * width * height
    whole = png(width, height, b"\0" * size, interlaced=interlaced)
    assert images.decode(whole).shape == (height, width, 3)
    assert preprocess.decode(tf.constant(whole)).shape == (height, width, 3)
    short = png(width, height, b"\0" * (size - 1), interlaced=interlaced)
    refused_by_both(short, "pixels are missing")


# The standard's picture of the order in which pixels are sent.
ADAM7 = (
  "16462646",
  "77777777",
  "56565656",
  "77777777",
  "36463646",
  "77777777",
  "56565656",
  "77777777",
)


def test_damaged_parts_of_a_png():
  content = encode(picture(24, 40))
  for kind in (b"IHDR", b"IDAT", b"IEND"):
    place = content.index(kind)
    damaged = bytearray(content)
    damaged[place + 8 if kind != b"IEND" else place + 5] ^= 1
    refused_by_both(bytes(damaged), "cannot decode")
  unknown = png(2, 2, b"\0" * 14, chunk(b"ABCD", b"x"))
  refused_by_both(unknown, "cannot decode")
  known = png(2, 2, b"\0" * 14, chunk(b"abCd", b"x"))
  np.testing.assert_array_equal(images.decode(known), np.zeros((2, 2, 3)))


def test_other_formats_of_pillow_are_no_images():
  """Pillow would start Ghostscript for the first one."""
  files = [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"]
  for kind in ("ICO", "TGA", "PCX"):
    file = io.BytesIO()
    Image.fromarray(picture(16, 16)).save(file, kind)
    files.append(file.getvalue())
  for content in files:
    refused_by_both(content, "not an image file")

"""Image files: python -m tests.fuzz.images. See the package."""

import io
import sys

import numpy as np
from PIL import Image

TOKENS = (
  *(b"\xff" + bytes([marker]) for marker in (0xC0, 0xC2, 0xC4, 0xD8, 0xD9)),
  *(b"\xff" + bytes([marker]) for marker in (0xDA, 0xDB, 0xDD, 0xE0, 0xEE)),
  *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf", b"acTL", b"iCCP"),
  *(b"GIF89a", b"RIFF", b"WEBP", b"II*\x00", b"MM\x00*", b"P6", b"BM"),
)


def seeds():
  """Files of each format that is read, of 24 x 40 pixels."""
  random = np.random.default_rng(0)
  small = random.integers(0, 256, (6, 10, 3), np.uint8)
  image = Image.fromarray(np.kron(small, np.ones((4, 4, 1), np.uint8)))
  exif = Image.Exif()
  exif[274] = 6  # The orientation.
  kinds = {
    "jpeg": (image, "JPEG", {}),
    "jpeg2": (image, "JPEG", {"quality": 98, "subsampling": 0}),
    "jpeg3": (image, "JPEG", {"exif": exif, "restart_marker_blocks": 2}),
    "progressive": (image, "JPEG", {"progressive": True}),
    "progressive2": (image, "JPEG", {"progressive": True, "optimize": True}),
    "gray": (image.convert("L"), "JPEG", {}),
    "cmyk": (image.convert("CMYK"), "JPEG", {}),
    "png": (image, "PNG", {}),
    "png2": (image, "PNG", {"exif": exif, "compress_level": 0}),
    "png3": (image.convert("RGBA"), "PNG", {}),
    "palette": (image.convert("P"), "PNG", {"transparency": 3}),
    "bits": (image.convert("1"), "PNG", {}),
    "gif": (image, "GIF", {"save_all": True, "append_images": [image]}),
    "bmp": (image, "BMP", {}),
    "webp": (image, "WEBP", {}),
    "webp2": (image, "WEBP", {"lossless": True, "exif": exif}),
    "tiff": (image, "TIFF", {}),
    "tiff2": (image, "TIFF", {"compression": "tiff_lzw"}),
    "ppm": (image, "PPM", {}),
  }
  files = {}
  for key, (picture, kind, options) in kinds.items():
    file = io.BytesIO()
    picture.save(file, kind, **options)
    files[key] = file.getvalue()
  gray16 = Image.fromarray(random.integers(0, 65536, (24, 40), np.uint16))
  file = io.BytesIO()
  gray16.save(file, "PNG")
  return {**files, "png16": file.getvalue()}


def check(data):
  """Both decoders, and the training crop, of an image file."""
  from vggjax import images
  from vggjax.errors import InputError

  try:
    pillow = images.decode(data, upright=False)
  except InputError as error:
    pillow, message = None, str(error)
  assert pillow is not None or message.isprintable()
  try:
    turned = images.decode(data, upright=True)
  except InputError:
    turned = None  # The orientation itself may be damaged.
  assert turned is None or sorted(turned.shape) == sorted(pillow.shape)
  decoded, crop = _by_tensorflow(data)
  if pillow is None and decoded is None:
    # A crop decodes its window alone, and the damage may be elsewhere.
    return "refused" if crop is None else "only a crop is read"
  if pillow is None or decoded is None or crop is None:
    return "read by one decoder"
  assert pillow.dtype == decoded.dtype == np.uint8
  assert pillow.shape == decoded.shape
  assert pillow.ndim == 3
  assert pillow.shape[2] == 3
  assert 0 < pillow.size <= 2**29
  differing = np.abs(pillow.astype(int) - decoded).max() > 1
  return "read, other pixels" if differing else "read"


def _by_tensorflow(data):
  import tensorflow as tf

  from vggjax.errors import InputError

  results = []
  for function in _functions():
    try:
      results.append(function(tf.constant(data)).numpy())
    except (tf.errors.OpError, InputError):
      results.append(None)
  return results


def _functions():
  """The graphs, made once."""
  if not _GRAPHS:
    import tensorflow as tf

    from vggjax.data import preprocess

    def crop(encoded):
      key = tf.constant([1, 2], tf.int64)
      options = {"train_scale": (32, 48), "crop_size": 32}
      return preprocess.random_crop(encoded, key, **options).image

    signature = [tf.TensorSpec([], tf.string)]
    for function in (preprocess.decode, crop):
      _GRAPHS.append(tf.function(function, input_signature=signature))
  return _GRAPHS


_GRAPHS = []

if __name__ == "__main__":
  from fuzz import engine, images

  sys.exit(engine.main(images))

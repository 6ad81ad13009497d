"""Pictures without TensorFlow: decode, rescale, cut (Sect. 3.1, 3.2).

`data/preprocess.py` does the same in TensorFlow; both give the same pixels.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vggjax import encoded, geometry
from vggjax.errors import InputError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


def decode(
  image: str | os.PathLike | bytes, *, upright: bool = False
) -> np.ndarray:
  """Decode an image file, by its content and not by its name.

  CMYK, grayscale and palette images become RGB; transparency is dropped;
  16-bit samples keep their high byte; of several frames the first is taken.

  Args:
    image: a path, or the encoded bytes.
    upright: whether to turn the image as its EXIF orientation tag says, which
      the paper's tools ignored.

  Returns:
    uint8 [H, W, 3] RGB.

  Raises:
    InputError: if the file is missing, corrupt, truncated, too large (see
      `encoded.MAX_PIXELS`) or not an image.
  """
  name = "image bytes" if isinstance(image, bytes) else os.fspath(image)
  with opened(image, name) as file:
    file = _checked(file)
    return _rgb(ImageOps.exif_transpose(file) if upright else file)


@contextlib.contextmanager
def opened(
  image: str | os.PathLike | bytes, name: str
) -> Iterator[Image.Image]:
  """Opens an image file by its header; pixels are decoded when asked for.

  Args:
    image: a path, or the encoded bytes.
    name: of it, for the message.

  Raises:
    InputError: as of `decode`, also for what fails in the block.
  """
  try:
    with warnings.catch_warnings(), contextlib.ExitStack() as files:
      # Of metadata that are damaged, and of what is refused here.
      warnings.simplefilter("ignore")
      if isinstance(image, bytes):
        file = io.BytesIO(image)
      else:
        file = files.enter_context(Path(image).open("rb"))
      # By the header alone; others of Pillow's formats run programs.
      found = files.enter_context(Image.open(file, formats=FORMATS))
      encoded.check_size(*found.size)
      yield found
  except FileNotFoundError as error:
    raise InputError(f"{name}: no such image file") from error
  except UnidentifiedImageError as error:
    raise InputError(f"{name}: cannot decode: not an image file") from error
  except Image.DecompressionBombError as error:
    raise InputError(f"{name}: cannot decode: {encoded.TOO_LARGE}") from error
  # Pillow raises of everything where a file is damaged on purpose.
  except Exception as error:
    message = " ".join(str(error).split()) or type(error).__name__
    raise InputError(f"{name}: cannot decode: {message}") from error


def _checked(file: Image.Image) -> Image.Image:
  """The same image, once its file is found to be whole."""
  file.fp.seek(0)
  if file.format in ("JPEG", "MPO"):
    encoded.check_jpeg(file.fp.read())
  elif file.format == "PNG":
    content = encoded.critical_png(file.fp.read())
    return Image.open(io.BytesIO(content), formats=("PNG",))
  return file


def _rgb(image: Image.Image) -> np.ndarray:
  """The first frame as uint8 [H, W, 3] RGB."""
  if image.mode.startswith("I"):  # 16-bit grayscale; Pillow would clip it.
    high_byte = np.clip(np.asarray(image) >> 8, 0, 255)
    return np.repeat(high_byte.astype(np.uint8)[..., None], 3, axis=-1)
  return np.array(image.convert("RGB"))


def rescale_float(image: np.ndarray, smallest_side: int) -> np.ndarray:
  """Rescale isotropically to the smallest side S or Q (Sect. 3.1), unrounded.

  Bilinear, antialiased, with half-pixel centers. A long side of more than
  geometry.MAX_ASPECT times S is center-cropped to that (not in the paper).

  Args:
    image: uint8 or float [H, W, 3].
    smallest_side: S or Q, pixels, at least 1.

  Returns:
    float32 [h, w, 3], in the range of the input's values; h and w are those
    of geometry.rescaled_size, capped by geometry.capped_window.
  """
  size = geometry.rescaled_size(*image.shape[:2], smallest_side)
  offset, used = geometry.capped_window(*size)
  # One axis at a time: the first source row and column, and the box in them.
  starts, stops, lows, highs = [], [], [], []
  for axis in range(2):
    ratio = image.shape[axis] / size[axis]
    low, high = offset[axis] * ratio, (offset[axis] + used[axis]) * ratio
    # Pillow's box is float32: a small origin keeps its precision.
    margin = int(max(ratio, 1.0)) + 2
    start = max(int(low) - margin, 0)
    starts.append(start)
    stops.append(min(int(high) + margin + 1, image.shape[axis]))
    lows.append(low - start)
    highs.append(high - start)
  part = image[starts[0] : stops[0], starts[1] : stops[1]].astype(np.float32)
  box = (lows[1], lows[0], highs[1], highs[0])
  channels = [
    Image.fromarray(part[..., c]).resize(
      (used[1], used[0]), Image.Resampling.BILINEAR, box=box
    )
    for c in range(3)
  ]
  return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def rescale(image: np.ndarray, smallest_side: int) -> np.ndarray:
  """`rescale_float`, rounded half to even.

  Args:
    image: uint8 [H, W, 3].
    smallest_side: S or Q, pixels, at least 1.

  Returns:
    uint8 [h, w, 3].
  """
  rescaled = rescale_float(image, smallest_side)
  return np.clip(np.rint(rescaled), 0, 255).astype(np.uint8)


def cut(image: np.ndarray, box: Sequence[float], name: str) -> np.ndarray:
  """The part of an image that a box covers, a pixel it touches included.

  Args:
    image: [H, W, 3].
    box: left, top, right and bottom edge, pixels.
    name: of the image, for the message.

  Returns:
    [h, w, 3], a view.

  Raises:
    InputError: if the box covers nothing of the image.
  """
  limits = np.array(image.shape[1::-1])
  edges = np.asarray(box, float)
  if edges.shape != (4,) or not np.isfinite(edges).all():
    raise InputError(
      f"{name}: box {np.asarray(box).tolist()} must be four numbers: left, "
      "top, right, bottom"
    )
  left, top = np.maximum(np.floor(edges[:2]), 0).astype(int)
  right, bottom = np.minimum(np.ceil(edges[2:]), limits).astype(int)
  if left >= right or top >= bottom:
    raise InputError(
      f"{name}: box {edges.tolist()} covers nothing of the image, "
      f"{[0, 0, *limits.tolist()]}"
    )
  return image[top:bottom, left:right]

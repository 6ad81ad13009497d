"""Bounding boxes (App. A): in pixels as annotated, then as fractions.

Edges are left, top, right, bottom: the outer ones, so that a box of a single
pixel has sides of 1.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from vggjax import images
from vggjax.annotations import Edges
from vggjax.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class EdgeTable:
  """The boxes of N images.

  Attributes:
    edges: float32 [M, 4], in pixels, of all images one after the other.
    offsets: int64 [N + 1]; image i has edges[offsets[i] : offsets[i + 1]].
  """

  edges: np.ndarray
  offsets: np.ndarray

  @classmethod
  def of(cls, rows: Sequence[Sequence[Edges]]) -> "EdgeTable":
    """From the boxes of each image."""
    edges = np.array(list(itertools.chain.from_iterable(rows)), np.float32)
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return cls(edges.reshape(-1, 4), offsets)

  def take(self, indices: Sequence[int]) -> "EdgeTable":
    """The boxes of these images."""
    rows = np.split(self.edges, self.offsets[1:-1])
    return EdgeTable.of([rows[i] for i in indices])

  def digest(self) -> str:
    """sha256, hex, of the content."""
    content = self.offsets.tobytes() + self.edges.tobytes()
    return hashlib.sha256(content).hexdigest()


def header_size(encoded: bytes, name: str) -> tuple[int, int]:
  """The width and height of an image, from its header alone.

  Raises:
    InputError: if it has none that can be read.
  """
  try:
    with images.opened(encoded, name) as image:
      return image.size
  except InputError as error:
    raise InputError(f"{name}: damaged, or not an image file") from error


def fractions(
  edges: np.ndarray, size: tuple[float, float], name: str
) -> np.ndarray:
  """Boxes as fractions of the image, clipped to it, the largest first.

  Args:
    edges: float [n, 4], in the units of `size`.
    size: width and height of the image.
    name: of the image, for the message.

  Returns:
    float32 [n, 4], in [0, 1]; of equal areas the first comes first.

  Raises:
    InputError: if a box is empty or wholly outside of the image.
  """
  limits = np.tile(np.asarray(size, np.float64), 2)
  clipped = np.clip(edges, 0, limits)
  boxes = (clipped / limits).astype(np.float32)
  good = (boxes[:, :2] < boxes[:, 2:]).all(1)
  if not good.all():
    box = np.asarray(edges)[np.argmin(good)].tolist()
    raise InputError(
      f"{name}: the box with the edges {box} (left, top, right, bottom) "
      f"covers nothing of the image, {[0, 0, *size]}"
    )
  areas = (clipped[:, 2:] - clipped[:, :2]).prod(1)
  return boxes[np.argsort(-areas, kind="stable")]


def boxes_in_file(
  edges: tf.Tensor, encoded: tf.Tensor, name: tf.Tensor
) -> tf.Tensor:
  """`fractions` of edges in pixels: float32 [n, 4], in a TF graph.

  Args:
    edges: float32 [n, 4].
    encoded: string scalar, the image file.
    name: string scalar, of the image.
  """
  boxes = tf.numpy_function(
    _in_file, [edges, encoded, name], tf.float32, stateful=False
  )
  return tf.ensure_shape(boxes, [None, 4])


def _in_file(edges, encoded, name):
  name = _bytes(name).decode()
  return fractions(edges, header_size(_bytes(encoded), name), name)


def size_of_file(encoded: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
  """Height and width from an image's header: int32 [2], in a TF graph.

  Args:
    encoded: string scalar, the image file.
    name: string scalar, of the image.
  """
  size = tf.numpy_function(_size, [encoded, name], tf.int32, stateful=False)
  return tf.ensure_shape(size, [2])


def _size(encoded, name):
  size = header_size(_bytes(encoded), _bytes(name).decode())
  return np.array(size[::-1], np.int32)


def boxes_of_fractions(edges: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
  """`fractions` of what are fractions already, in a TF graph."""
  boxes = tf.numpy_function(
    _of_fractions, [edges, name], tf.float32, stateful=False
  )
  return tf.ensure_shape(boxes, [None, 4])


def _of_fractions(edges, name):
  return fractions(edges, (1, 1), _bytes(name).decode())


def cut(image: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
  """The pixels that a box touches, at least one (App. B).

  Args:
    image: [H, W, 3].
    box: float32 [4], as in the records.

  Returns:
    [h, w, 3].
  """
  size = tf.shape(image, tf.int64)[:2]
  # Edges between pixels shall stay there.
  edges = rounded(
    tf.cast(tf.reshape(box, [2, 2])[:, ::-1], tf.float64)
    * tf.cast(size, tf.float64)
  )
  start = tf.minimum(tf.cast(tf.floor(edges[0]), tf.int64), size - 1)
  stop = tf.maximum(tf.cast(tf.math.ceil(edges[1]), tf.int64), start + 1)
  return image[start[0] : stop[0], start[1] : stop[1]]


def rounded(edges: tf.Tensor) -> tf.Tensor:
  """Edges, pixels, to 1/1024: without what float32 rounded."""
  return tf.round(edges * 1024) / 1024


def _bytes(string: bytes | np.ndarray) -> bytes:
  # Outside of a graph TensorFlow passes a string as an array of objects.
  return bytes(np.asarray(string, object).item())

"""A batch of images computed in strips, so that the cache holds what is made.

What a layer makes of its input on the way to its result may be several times
as large as both. In a loop over strips, some rows of an image or some whole
images, it is made and used up before it leaves the cache.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Strips:
  """A batch in pieces of equal size, the last filled up with zeros.

  Attributes:
    shape: of the batch, [N, H, W].
    size: of a strip, [images, rows, columns]: rows of one image or whole
      images, whole tiles.
    counts: strips along N and along H.
  """

  shape: tuple[int, int, int]
  size: tuple[int, int, int]
  counts: tuple[int, int]

  @classmethod
  def of(cls, shape: tuple[int, ...], most: int, tile: int = 1) -> Self:
    """Strips as large as may be.

    Args:
      shape: of the batch, [N, H, W] or more.
      most: rows of tiles of a strip, all its images together; at least one is
        taken.
      tile: the side of a tile, in pixels.
    """
    images, height, width = shape[:3]
    down, across = -(-height // tile), -(-width // tile)
    if most < down:
      count, rows = 1, _equal_share(down, max(1, most))
    else:
      count, rows = _equal_share(images, most // down), down
    return cls(
      (images, height, width),
      (count, tile * rows, tile * across),
      (-(-images // count), -(-down // rows)),
    )

  def cut(self, x: jax.Array, index, margin: int = 0) -> jax.Array:
    """A strip with what is around it, zeros outside of the image.

    Args:
      x: [N, H, W, C].
      index: of the strip.
      margin: pixels above, below and on both sides.

    Returns:
      [images, rows + 2 margin, columns + 2 margin, C].
    """
    low = np.array((0, margin, margin, 0))
    counts = np.array((*self.counts, 1, 1))
    inner = np.array((*self.size, x.shape[-1]))
    starts = (
      index // self.counts[1] * self.size[0],
      index % self.counts[1] * self.size[1] - margin,
      -margin,
      0,
    )
    # What lies inside of x; only this is copied, not x with zeros around it.
    inside = np.minimum(inner + 2 * low, x.shape)
    firsts = [
      jnp.clip(start, 0, side - part)
      for start, side, part in zip(starts, x.shape, inside, strict=True)
    ]
    strip = jax.lax.dynamic_slice(x, firsts, inside)
    high = counts * inner + low - np.array(x.shape)
    strip = jnp.pad(strip, np.stack([low, high], 1))
    offsets = [
      start - first + before
      for start, first, before in zip(starts, firsts, low, strict=True)
    ]
    return materialize(jax.lax.dynamic_slice(strip, offsets, inner + 2 * low))

  def join(self, function: Callable, arrays: Any) -> jax.Array:
    """The strips' results side by side.

    Args:
      function: (arrays, index) to the result of that strip, [*size, K].
      arrays: a tree of what the strips are cut from.

    Returns:
      [N, H, W, K].
    """
    count = math.prod(self.counts)
    # A loop of one turn would keep its index from being known.
    if count == 1:
      strips = function(arrays, 0)
    else:
      shape = jax.eval_shape(function, arrays, 0).shape
      arrays, strips = _with_zeros(arrays, (count, *shape))
      strips = jax.lax.fori_loop(
        0,
        count,
        lambda i, strips: strips.at[i].set(function(arrays, i)),
        strips,
      )
    images, rows, columns = self.size
    # There are several along H only where each is of one image.
    joined = strips.reshape(
      self.counts[0] * images, self.counts[1] * rows, columns, -1
    )
    # Of this shape in memory, so that what follows may be done in its place.
    return materialize(joined[tuple(slice(side) for side in self.shape)])

  def sum(self, function: Callable, arrays: Any) -> jax.Array:
    """The sum of the strips' results; arguments as of `join`."""
    count = math.prod(self.counts)
    if count == 1:
      return function(arrays, 0)
    shape = jax.eval_shape(function, arrays, 0).shape
    arrays, zeros = _with_zeros(arrays, shape)
    return jax.lax.fori_loop(
      0, count, lambda index, total: total + function(arrays, index), zeros
    )


def materialize(array: jax.Array) -> jax.Array:
  """Keeps XLA from computing an array again for each of its uses."""
  return jax.lax.optimization_barrier(array)


def _with_zeros(arrays: Any, shape: tuple[int, ...]) -> tuple[Any, jax.Array]:
  """The arrays, and zeros that take memory only once these are there."""
  arrays, zero = jax.lax.optimization_barrier((arrays, jnp.zeros(())))
  return arrays, jnp.broadcast_to(zero, shape)


def _equal_share(number: int, most: int) -> int:
  """The size of pieces of a number, at most so much, that fit it best.

  As large as most allows, but down to half of it where that leaves less over.
  """
  if number <= most:
    return number
  sizes = range(-(-most // 2), most + 1)
  return min(sizes, key=lambda size: (-number % size, -size))

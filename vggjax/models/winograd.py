"""3x3 convolutions with fewer multiplications (Winograd; Lavin & Gray, 2016).

F(m x m, 3 x 3): m x m outputs come from a tile of r x r inputs, r = m + 2, by
r^2 multiplications a pair of channels instead of 9 m^2. Each of the r^2 is one
matrix product over many tiles; what lies around them are sums of shifted
slices. The tiles are r^2 / m^2 times as large as the image: they are made and
used up strip by strip, so that they stay in the cache.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

Matrix = tuple[tuple[float, ...], ...]

# Bytes of a strip's tiles, before and after the product: what a cache holds.
STRIP_BYTES = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class Transform:
  """The matrices of F(m x m, 3 x 3): Y = A^T [(G g G^T) * (B^T d B)] A.

  Attributes:
    outputs: m.
    data: B^T, [r, r].
    kernel: G, [r, 3].
    result: A^T, [m, r].
  """

  outputs: int
  data: Matrix
  kernel: Matrix
  result: Matrix

  @property
  def inputs(self) -> int:
    """r, the side of a tile."""
    return self.outputs + 2

  def count(self, side: int) -> int:
    """Tiles along a side of the result."""
    return -(-side // self.outputs)


# At the points 0, 1, -1; rounding is that of the plain sum.
F2 = Transform(
  2,
  data=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
  kernel=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
  result=((1, 1, 1, 0), (0, 1, -1, -1)),
)
# At the points 0, 1, -1, 2, -2; about ten times the rounding.
F4 = Transform(
  4,
  data=(
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
  ),
  kernel=(
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
  ),
  result=(
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
  ),
)


def convolve(x: jax.Array, kernel: jax.Array, transform: Transform):
  """A convolution of stride 1 and padding 1.

  Args:
    x: [N, H, W, C].
    kernel: [3, 3, C, K].
    transform: F2 or F4.

  Returns:
    [N, H, W, K].
  """
  kernels = _kernel_tiles(kernel, transform.kernel)
  return _sum_channels(x, kernels, "etc,eck->etk", transform)


def input_gradient(
  gradient: jax.Array, kernel: jax.Array, transform: Transform
):
  """The gradient of `convolve` with respect to x.

  It is the convolution with the kernel turned by 180 degrees and its channels
  exchanged; neither is done to the kernel itself, which would take longer than
  the products.

  Args:
    gradient: of the result, [N, H, W, K].
    kernel: [3, 3, C, K].
    transform: F2 or F4.

  Returns:
    [N, H, W, C].
  """
  turned = tuple(row[::-1] for row in transform.kernel)
  kernels = _kernel_tiles(kernel, turned)
  return _sum_channels(gradient, kernels, "etk,eck->etc", transform)


def kernel_gradient(x: jax.Array, gradient: jax.Array, transform: Transform):
  """The gradient of `convolve` with respect to the kernel.

  Args:
    x: [N, H, W, C].
    gradient: of the result, [N, H, W, K].
    transform: F2 or F4.

  Returns:
    [3, 3, C, K].
  """
  channels = x.shape[-1], gradient.shape[-1]
  strips = _Strips.of(x.shape, channels, transform)

  def products(arrays, index):
    x, gradient = arrays
    data = _data_tiles(strips.cut(x, index, margin=1), transform)
    results = _result_tiles(strips.cut(gradient, index), transform)
    return jnp.einsum("etc,etk->eck", data, results)

  tiles = _materialize(strips.sum((x, gradient), products))
  kernel = jnp.tensordot(_on_both_sides(transform.kernel).T, tiles, 1)
  return kernel.reshape(3, 3, *channels)


@dataclasses.dataclass(frozen=True)
class _Strips:
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
  def of(cls, shape, channels: tuple[int, int], transform: Transform):
    """Strips whose tiles stay in the cache, of an input [N, H, W, ...].

    Args:
      channels: of the tiles and of what becomes of them.
    """
    images, height, width = shape[:3]
    down, across = transform.count(height), transform.count(width)
    # The kernel's tiles, read for each strip, should not take longer.
    tiles = max(
      STRIP_BYTES // (4 * transform.inputs**2 * sum(channels)),
      math.prod(channels) // sum(channels),
    )
    rows = max(1, tiles // across)
    if rows < down:
      count, rows = 1, _equal_share(down, rows)
    else:
      count, rows = _equal_share(images, rows // down), down
    m = transform.outputs
    return cls(
      (images, height, width),
      (count, m * rows, m * across),
      (-(-images // count), -(-down // rows)),
    )

  def cut(self, x: jax.Array, index, margin: int = 0) -> jax.Array:
    """Strip `index` of x, [N, H, W, C], with a margin of what is around it."""
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
    return _materialize(jax.lax.dynamic_slice(strip, offsets, inner + 2 * low))

  def join(self, x: jax.Array, function: Callable) -> jax.Array:
    """The results of all strips, [*size, K] each, as [N, H, W, K]."""
    count = math.prod(self.counts)
    # A loop of one turn would keep its index from being known.
    if count == 1:
      strips = function(x, 0)
    else:
      kind = jax.eval_shape(function, x, 0)
      x, strips = _with_zeros(x, (count, *kind.shape))
      strips = jax.lax.fori_loop(
        0, count, lambda i, strips: strips.at[i].set(function(x, i)), strips
      )
    images, rows, columns = self.size
    # There are several along H only where each is of one image.
    joined = strips.reshape(
      self.counts[0] * images, self.counts[1] * rows, columns, -1
    )
    # Of this shape in memory, so that what follows may be done in its place.
    return _materialize(joined[tuple(slice(side) for side in self.shape)])

  def sum(self, x, function: Callable) -> jax.Array:
    """The sum of the results of all strips."""
    count = math.prod(self.counts)
    if count == 1:
      return function(x, 0)
    x, zeros = _with_zeros(x, jax.eval_shape(function, x, 0).shape)
    return jax.lax.fori_loop(
      0, count, lambda index, total: total + function(x, index), zeros
    )


def _with_zeros(x, shape: tuple[int, ...]):
  """x, and zeros that take memory only once x is there."""
  x, zero = jax.lax.optimization_barrier((x, jnp.zeros(())))
  return x, jnp.broadcast_to(zero, shape)


def _equal_share(number: int, most: int) -> int:
  """The size of pieces of a number, at most so much, that fit it best.

  As large as most allows, but down to half of it where that leaves less over.
  """
  if number <= most:
    return number
  sizes = range(-(-most // 2), most + 1)
  return min(sizes, key=lambda size: (-number % size, -size))


def _kernel_tiles(kernel: jax.Array, matrix: Matrix) -> jax.Array:
  """(G g G^T)^T of the kernel [3, 3, C, K], G the matrix: [r^2, C, K]."""
  channels = kernel.shape[2:]
  tiles = _on_both_sides(matrix) @ kernel.reshape(9, -1)
  return _materialize(tiles).reshape(-1, *channels)


def _data_tiles(x: jax.Array, transform: Transform) -> jax.Array:
  """(B^T d B)^T of all tiles d of x, [n, m down + 2, m across + 2, C].

  Returns:
    [r^2, n down across, C].
  """
  m, r = transform.outputs, transform.inputs
  _, height, width, channels = x.shape
  # Strips of rows first: they are long.
  below = [x[:, i : height - r + i + 1 : m] for i in range(r)]
  rows = _apply(transform.data, below)
  beside = [rows[:, :, :, j : width - r + j + 1 : m] for j in range(r)]
  return _apply(transform.data, beside).reshape(r**2, -1, channels)


def _result_tiles(gradient: jax.Array, transform: Transform) -> jax.Array:
  """(A g A^T)^T of all tiles g of a gradient, [n, m down, m across, K].

  Returns:
    [r^2, n down across, K].
  """
  m, r = transform.outputs, transform.inputs
  turned = tuple(zip(*transform.result, strict=True))
  rows = _apply(turned, [gradient[:, p::m] for p in range(m)])
  tiles = _apply(turned, [rows[:, :, :, q::m] for q in range(m)])
  return tiles.reshape(r**2, -1, gradient.shape[-1])


def _sum_channels(
  x: jax.Array, kernels: jax.Array, products: str, transform: Transform
) -> jax.Array:
  """What the products of x's tiles and the kernels' become, an image again.

  Args:
    x: [N, H, W, channels].
    kernels: [r^2, C, K].
    products: the einsum that sums over x's channels; e is the element of a
      tile, t the tile.
    transform: F2 or F4.

  Returns:
    [N, H, W, the other channels].
  """
  r = transform.inputs
  strips = _Strips.of(x.shape, kernels.shape[1:], transform)
  images, height, width = strips.size
  down, across = transform.count(height), transform.count(width)

  def result(x, index):
    data = _data_tiles(strips.cut(x, index, margin=1), transform)
    tiles = _materialize(jnp.einsum(products, data, kernels))
    # Across a tile, down a tile, images, tiles down, tiles across, channels.
    tiles = tiles.reshape(r, r, images, down, across, -1)
    columns = _apply(transform.result, list(tiles))
    rows = [columns[:, i] for i in range(r)]
    # Down a tile, across a tile, and so on.
    y = _apply(transform.result, rows, keep=False)
    return y.transpose(2, 3, 0, 4, 1, 5).reshape(images, height, width, -1)

  return strips.join(x, result)


def _apply(
  matrix: Matrix, parts: Sequence[jax.Array], keep: bool = True
) -> jax.Array:
  """The matrix times the parts, [rows, ...]; most weights are 0, 1 or -1."""
  sums = []
  for weights in matrix:
    terms = [
      part if weight == 1 else weight * part
      for weight, part in zip(weights, parts, strict=True)
      if weight
    ]
    sums.append(functools.reduce(jnp.add, terms))
  stacked = jnp.stack(sums)
  return _materialize(stacked) if keep else stacked


def _on_both_sides(matrix: Matrix) -> np.ndarray:
  """What maps g to (G g G^T)^T, G the matrix, both as vectors."""
  turned = np.einsum("ip,jq->jipq", matrix, matrix)
  return turned.reshape(len(matrix) ** 2, -1).astype(np.float32)


def _materialize(array: jax.Array) -> jax.Array:
  """Keeps XLA from computing the array again for each of its uses."""
  return jax.lax.optimization_barrier(array)

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
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vggjax.models.strips import Strips, materialize

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
  strips = _strips(x.shape, channels, transform)

  def products(arrays, index):
    x, gradient = arrays
    data = _data_tiles(strips.cut(x, index, margin=1), transform)
    results = _result_tiles(strips.cut(gradient, index), transform)
    return jnp.einsum("etc,etk->eck", data, results)

  tiles = materialize(strips.sum(products, (x, gradient)))
  kernel = jnp.tensordot(_on_both_sides(transform.kernel).T, tiles, 1)
  return kernel.reshape(3, 3, *channels)


def _strips(
  shape: tuple[int, ...], channels: tuple[int, int], transform: Transform
) -> Strips:
  """Strips whose tiles stay in the cache.

  Args:
    shape: of the images, [N, H, W, ...].
    channels: of the tiles and of what becomes of them.
    transform: F2 or F4.
  """
  tiles = max(
    STRIP_BYTES // (4 * transform.inputs**2 * sum(channels)),
    # The kernel's tiles, read for each strip, should not take longer.
    math.prod(channels) // sum(channels),
  )
  most = tiles // transform.count(shape[2])
  return Strips.of(shape, most, tile=transform.outputs)


def _kernel_tiles(kernel: jax.Array, matrix: Matrix) -> jax.Array:
  """(G g G^T)^T of the kernel [3, 3, C, K], G the matrix: [r^2, C, K]."""
  channels = kernel.shape[2:]
  tiles = _on_both_sides(matrix) @ kernel.reshape(9, -1)
  return materialize(tiles).reshape(-1, *channels)


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
  strips = _strips(x.shape, kernels.shape[1:], transform)
  images, height, width = strips.size
  down, across = transform.count(height), transform.count(width)

  def result(x, index):
    data = _data_tiles(strips.cut(x, index, margin=1), transform)
    tiles = materialize(jnp.einsum(products, data, kernels))
    # Across a tile, down a tile, images, tiles down, tiles across, channels.
    tiles = tiles.reshape(r, r, images, down, across, -1)
    columns = _apply(transform.result, list(tiles))
    rows = [columns[:, i] for i in range(r)]
    # Down a tile, across a tile, and so on.
    y = _apply(transform.result, rows, keep=False)
    return y.transpose(2, 3, 0, 4, 1, 5).reshape(images, height, width, -1)

  return strips.join(result, x)


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
  return materialize(stacked) if keep else stacked


def _on_both_sides(matrix: Matrix) -> np.ndarray:
  """What maps g to (G g G^T)^T, G the matrix, both as vectors."""
  turned = np.einsum("ip,jq->jipq", matrix, matrix)
  return turned.reshape(len(matrix) ** 2, -1).astype(np.float32)

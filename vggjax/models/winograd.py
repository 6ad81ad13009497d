"""3x3 convolutions with fewer multiplications (Winograd; Lavin & Gray, 2016).

F(m x m, 3 x 3): m x m outputs come from a tile of r x r inputs, r = m + 2, by
r^2 multiplications a pair of channels instead of 9 m^2. Each of the r^2 is one
matrix product over all tiles; what lies around them are sums of shifted slices.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

Matrix = tuple[tuple[float, ...], ...]


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
  data = _data_tiles(x, transform)
  results = _result_tiles(gradient, transform)
  products = _materialize(jnp.einsum("etc,etk->eck", data, results))
  kernel = jnp.tensordot(_on_both_sides(transform.kernel).T, products, 1)
  return kernel.reshape(3, 3, *products.shape[1:])


def _kernel_tiles(kernel: jax.Array, matrix: Matrix) -> jax.Array:
  """G g G^T of the kernel [3, 3, C, K], G the matrix: [r^2, C, K]."""
  channels = kernel.shape[2:]
  tiles = _on_both_sides(matrix) @ kernel.reshape(9, -1)
  return _materialize(tiles).reshape(-1, *channels)


def _data_tiles(x: jax.Array, transform: Transform) -> jax.Array:
  """B^T d B of all tiles d: [r^2, tiles, C]."""
  m, r = transform.outputs, transform.inputs
  _, height, width, channels = x.shape
  down, across = transform.count(height), transform.count(width)
  x = jnp.pad(
    x,
    (
      (0, 0),
      (1, m * down + 1 - height),
      (1, m * across + 1 - width),
      (0, 0),
    ),
  )
  beside = [x[:, :, j : j + m * (across - 1) + 1 : m] for j in range(r)]
  columns = _apply(transform.data, beside)
  below = [columns[:, :, i : i + m * (down - 1) + 1 : m] for i in range(r)]
  return _apply(transform.data, below).reshape(r**2, -1, channels)


def _result_tiles(gradient: jax.Array, transform: Transform) -> jax.Array:
  """A g A^T of all tiles g of m x m: [r^2, tiles, K]."""
  m, r = transform.outputs, transform.inputs
  _, height, width, channels = gradient.shape
  down, across = transform.count(height), transform.count(width)
  gradient = jnp.pad(
    gradient,
    ((0, 0), (0, m * down - height), (0, m * across - width), (0, 0)),
  )
  turned = tuple(zip(*transform.result, strict=True))
  columns = _apply(turned, [gradient[:, :, q::m] for q in range(m)])
  tiles = _apply(turned, [columns[:, :, p::m] for p in range(m)])
  return tiles.reshape(r**2, -1, channels)


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
  m, r = transform.outputs, transform.inputs
  images, height, width, _ = x.shape
  down, across = transform.count(height), transform.count(width)
  tiles = jnp.einsum(products, _data_tiles(x, transform), kernels)
  tiles = _materialize(tiles).reshape(r, r, images, down, across, -1)
  rows = _apply(transform.result, list(tiles))
  y = _apply(transform.result, [rows[:, j] for j in range(r)], keep=False)
  # Across a tile, down a tile, images, tiles down, tiles across, channels.
  y = y.transpose(2, 3, 1, 4, 0, 5)
  return y.reshape(images, m * down, m * across, -1)[:, :height, :width]


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
  """What maps g to G g G^T, G the matrix, with g and the result as vectors."""
  return np.kron(matrix, matrix).astype(np.float32)


def _materialize(array: jax.Array) -> jax.Array:
  """Keeps XLA from computing the array again for each of its uses."""
  return jax.lax.optimization_barrier(array)

"""3x3 convolutions with fewer multiplications (Winograd; Lavin & Gray, 2016).

F(m x m, 3 x 3): m x m outputs come from a tile of r x r inputs, r = m + 2, by
r^2 multiplications a pair of channels instead of 9 m^2. Each of the r^2 is one
matrix product over all tiles; what lies around it are sums of shifted slices.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

Tiles = list[list[jax.Array]]
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
  return _from_tiles(x, kernels, 0, transform)


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
  return _from_tiles(gradient, _kernel_tiles(kernel, turned), 1, transform)


def kernel_gradient(x: jax.Array, gradient: jax.Array, transform: Transform):
  """The gradient of `convolve` with respect to the kernel.

  Args:
    x: [N, H, W, C].
    gradient: of the result, [N, H, W, K].
    transform: F2 or F4.

  Returns:
    [3, 3, C, K].
  """
  r = transform.inputs
  data = _data_tiles(x, transform)
  results = _result_tiles(gradient, transform)
  products = _materialize(
    [
      [_product(data[a][b], results[a][b], 0, 0) for b in range(r)]
      for a in range(r)
    ]
  )
  turned = _transposed(transform.kernel)
  rows = _materialize(_on_rows(turned, products))
  return jnp.stack([jnp.stack(row) for row in _on_columns(turned, rows)])


def _data_tiles(x: jax.Array, transform: Transform) -> Tiles:
  """B^T d B of all tiles d: r x r arrays [tiles, C]."""
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
  below = [x[:, i : i + m * (down - 1) + 1 : m] for i in range(r)]
  rows = _materialize([_combine(weights, below) for weights in transform.data])
  tiles = []
  for row in rows:
    beside = [row[:, :, j : j + m * (across - 1) + 1 : m] for j in range(r)]
    tiles.append(
      [
        _combine(weights, beside).reshape(-1, channels)
        for weights in transform.data
      ]
    )
  return tiles


def _result_tiles(gradient: jax.Array, transform: Transform) -> Tiles:
  """A g A^T of all tiles g of m x m: r x r arrays [tiles, K]."""
  m = transform.outputs
  _, height, width, channels = gradient.shape
  down, across = transform.count(height), transform.count(width)
  gradient = jnp.pad(
    gradient,
    ((0, 0), (0, m * down - height), (0, m * across - width), (0, 0)),
  )
  turned = _transposed(transform.result)
  below = [gradient[:, p::m] for p in range(m)]
  rows = _materialize([_combine(weights, below) for weights in turned])
  return [
    [
      _combine(weights, [row[:, :, q::m] for q in range(m)]).reshape(
        -1, channels
      )
      for weights in turned
    ]
    for row in rows
  ]


def _kernel_tiles(kernel: jax.Array, matrix: Matrix) -> Tiles:
  """G g G^T of the kernel [3, 3, C, K], G the matrix: r x r arrays [C, K]."""
  rows = _materialize([_combine(weights, list(kernel)) for weights in matrix])
  return [[_combine(weights, list(row)) for weights in matrix] for row in rows]


def _from_tiles(
  x: jax.Array, kernels: Tiles, axis: int, transform: Transform
) -> jax.Array:
  """The sum over x's channels, which are the axis of the kernels' tiles."""
  m, r = transform.outputs, transform.inputs
  data = _data_tiles(x, transform)
  products = _materialize(
    [
      [_product(data[a][b], kernels[a][b], 1, axis) for b in range(r)]
      for a in range(r)
    ]
  )
  rows = _materialize(_on_rows(transform.result, products))
  results = _on_columns(transform.result, rows)
  images, height, width, _ = x.shape
  down, across = transform.count(height), transform.count(width)
  results = [
    jnp.stack([y.reshape(images, down, across, -1) for y in row], axis=3)
    for row in results
  ]
  y = jnp.stack(results, axis=2)
  return y.reshape(images, m * down, m * across, -1)[:, :height, :width]


def _product(a: jax.Array, b: jax.Array, axis_a: int, axis_b: int):
  """The sum over an axis of each of two matrices."""
  return jax.lax.dot_general(a, b, (((axis_a,), (axis_b,)), ((), ())))


def _on_rows(matrix: Matrix, tiles: Tiles) -> Tiles:
  """The product matrix x tiles."""
  columns = list(zip(*tiles, strict=True))
  return [[_combine(row, column) for column in columns] for row in matrix]


def _on_columns(matrix: Matrix, tiles: Tiles) -> Tiles:
  """The product tiles x matrix^T."""
  return [[_combine(row, tile) for row in matrix] for tile in tiles]


def _combine(weights: Sequence[float], parts: Sequence[jax.Array]) -> jax.Array:
  """The weighted sum; most weights are 0, 1 or -1."""
  terms = [
    part if weight == 1 else weight * part
    for weight, part in zip(weights, parts, strict=True)
    if weight
  ]
  return functools.reduce(jnp.add, terms)


def _transposed(matrix: Matrix) -> Matrix:
  return tuple(zip(*matrix, strict=True))


def _materialize(arrays):
  """Keeps XLA from computing the arrays again for each of their uses."""
  return jax.lax.optimization_barrier(arrays)

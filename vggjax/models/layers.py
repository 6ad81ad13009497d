"""The layers of the networks as functions of arrays (Sect. 2.1)."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


def _at_once(arrays):
  """On CPUs what uses one of the arrays waits for all of them.

  Else XLA's CPU backend computes early what it needs late, and keeps what a
  saved array was computed from besides it. On other devices a barrier would
  only keep it from fusing.
  """
  if jax.default_backend() != "cpu":
    return arrays
  return lax.optimization_barrier(arrays)


@jax.custom_vjp
def relu(x: jax.Array) -> jax.Array:
  """max(x, 0), whose gradient needs the result alone (Sect. 2.1).

  jax.nn.relu keeps what says where x was positive, and XLA x itself for it,
  besides the result that the next layer's gradient needs.
  """
  return jnp.maximum(x, 0)


def _relu_forward(x):
  y = relu(x)
  return y, y


def _relu_backward(y, gradient):
  y, gradient = _at_once((y, gradient))
  return (jnp.where(y > 0, gradient, 0),)


relu.defvjp(_relu_forward, _relu_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: jax.Array, pool: str = "ceil") -> jax.Array:
  """2x2 max-pooling with stride 2 (Sect. 2.1).

  The maximum of four strided slices: on CPUs many times faster than a window
  reduction, and its gradient is deterministic on GPUs. As in Caffe, the
  gradient goes to the first of equal pixels of a window, row by row.

  Args:
    x: [N, H, W, C].
    pool: what becomes of an odd last row or column: "ceil" (Caffe) pools it
      alone, "floor" (torchvision, Keras) drops it.

  Returns:
    [N, H', W', C], of x's dtype.
  """
  a, b, c, d = _window_pixels(_with_even_sides(x, pool))
  return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _pool_forward(x, pool):
  y = max_pool(x, pool)
  return y, (x, y)


def _pool_backward(pool, saved, gradient):
  (x, y), gradient = _at_once((saved, gradient))
  height, width = x.shape[1:3]
  x = _with_even_sides(x, pool)
  parts, is_open = [], True
  for pixel in _window_pixels(x):
    is_first = (pixel == y) & is_open
    is_open = is_open & ~is_first
    parts.append(jnp.where(is_first, gradient, 0))
  rows = [jnp.stack(row, axis=3) for row in (parts[:2], parts[2:])]
  result = jnp.stack(rows, axis=2).reshape(x.shape)[:, :height, :width]
  missing = height - result.shape[1], width - result.shape[2]
  return (jnp.pad(result, ((0, 0), *((0, n) for n in missing), (0, 0))),)


max_pool.defvjp(_pool_forward, _pool_backward)


def _window_pixels(x: jax.Array) -> list[jax.Array]:
  """The four pixels of all 2x2 windows, row by row, [N, H / 2, W / 2, C]."""
  return [x[:, i::2, j::2] for i in range(2) for j in range(2)]


def _with_even_sides(x: jax.Array, pool: str) -> jax.Array:
  height, width = x.shape[1:3]
  if pool == "floor":
    return x[:, : height // 2 * 2, : width // 2 * 2]
  # Written so that symbolic sides are seen to become even.
  rows, columns = ((side + 1) // 2 * 2 - side for side in (height, width))
  lowest = jnp.array(-jnp.inf, x.dtype)
  return lax.pad(
    x, lowest, ((0, 0, 0), (0, rows, 0), (0, columns, 0), (0, 0, 0))
  )


def local_response_norm(x: jax.Array, variant: str = "krizhevsky") -> jax.Array:
  """Local response normalization across channels (Krizhevsky et al., 2012).

  x / (k + alpha * sum of x^2 over 5 channels)^0.75.

  Args:
    x: [..., C].
    variant: "krizhevsky": k = 2, alpha = 1e-4; "caffe": k = 1,
      alpha = 1e-4 / 5.

  Returns:
    An array like x.
  """
  k, alpha = {"krizhevsky": (2.0, 1e-4), "caffe": (1.0, 1e-4 / 5)}[variant]
  # The gradient of five shifted slices and a power costs 12 times as much.
  total = jax.lax.reduce_window(
    jnp.square(x),
    0.0,
    jax.lax.add,
    window_dimensions=(1,) * (x.ndim - 1) + (5,),
    window_strides=(1,) * x.ndim,
    padding="SAME",
  )
  base = k + alpha * total
  return x / jnp.sqrt(base * jnp.sqrt(base))


def zero_outside(x: jax.Array, sizes: jax.Array | None) -> jax.Array:
  """Sets to zero what lies outside each image's valid height and width.

  Args:
    x: [N, H, W, C].
    sizes: int32 [N, 2], valid height and width; None: all is valid.

  Returns:
    An array like x.
  """
  if sizes is None:
    return x
  rows = jnp.arange(x.shape[1]) < sizes[:, :1]
  columns = jnp.arange(x.shape[2]) < sizes[:, 1:]
  inside = rows[:, :, None] & columns[:, None, :]
  return jnp.where(inside[..., None], x, jnp.zeros((), x.dtype))


def dropout(
  x: jax.Array, rate: float, key: jax.Array, positions: jax.Array
) -> jax.Array:
  """Dropout whose mask depends on an example's place in the global batch.

  So the masks are the same however the batch is split over devices, processes
  and accumulation steps.

  Args:
    x: [N, ...].
    rate: the probability of zeroing a unit, in [0, 1).
    key: the step's random key.
    positions: int32 [N], each example's position in the global batch.

  Returns:
    An array like x, the kept units scaled by 1 / (1 - rate).
  """

  def keep(position):
    own = jax.random.fold_in(key, position)
    return jax.random.bernoulli(own, 1.0 - rate, x.shape[1:])

  kept = jax.vmap(keep)(positions)
  return jnp.where(kept, x / (1.0 - rate), jnp.zeros((), x.dtype))


class WindowDense(nn.Module):
  """A fully-connected layer applied at every position of a map (Sect. 3.2).

  A convolution without padding, computed as one matrix product over all
  windows: on CPUs five times faster than the convolution.

  Attributes:
    features: output channels.
    window: the side of the window.
    dtype: of the computation.
    param_dtype: of the parameters.
    kernel_init: initializer of the kernel [window, window, C, features].
  """

  features: int
  window: int
  dtype: jnp.dtype
  param_dtype: jnp.dtype
  kernel_init: Callable

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, h, w, C] to [N, h - window + 1, w - window + 1, features]."""
    side, channels = self.window, x.shape[-1]
    shape = (side, side, channels, self.features)
    kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
    bias = self.param(
      "bias", nn.initializers.zeros, (self.features,), self.param_dtype
    )
    matrix = kernel.astype(self.dtype).reshape(-1, self.features)
    windows = extract_windows(x.astype(self.dtype), side)
    return multiply(windows, matrix) + bias.astype(self.dtype)


@jax.custom_vjp
def multiply(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """x @ kernel, whose gradients are computed in an order that saves memory.

  That of x comes first: the kernel, which holds most of a network's
  parameters, is then no longer needed when its own gradient is known, and may
  be updated in its place and at once.

  Args:
    x: [..., C].
    kernel: [C, K].

  Returns:
    [..., K].
  """
  return x @ kernel


def _multiply_forward(x, kernel):
  return multiply(x, kernel), (x, kernel)


def _multiply_backward(saved, gradient):
  x, kernel = saved
  [of_x] = jax.linear_transpose(lambda x: x @ kernel, x)(gradient)
  of_x, gradient = _at_once((of_x, gradient))
  [of_kernel] = jax.linear_transpose(lambda kernel: x @ kernel, kernel)(
    gradient
  )
  return of_x, of_kernel


multiply.defvjp(_multiply_forward, _multiply_backward)


def extract_windows(x: jax.Array, side: int) -> jax.Array:
  """All side x side windows of a map, each flattened in HWC order.

  Args:
    x: [N, h, w, C], h and w at least `side`.
    side: of a window.

  Returns:
    [N, h - side + 1, w - side + 1, side * side * C].
  """
  if side == 1:
    return x
  images, height, width, channels = x.shape
  rows, columns = height - side + 1, width - side + 1
  if rows == columns == 1:
    return x.reshape(images, 1, 1, side * side * channels)
  slices = [
    x[:, i : i + rows, j : j + columns]
    for i in range(side)
    for j in range(side)
  ]
  return jnp.concatenate(slices, axis=-1)


def interleave(maps: Sequence[jax.Array]) -> jax.Array:
  """Four maps [N, h, w, C] as one of [N, 2h, 2w, C], by turns (App. A).

  Args:
    maps: those of the even rows' even and odd columns, then the odd rows'.
  """
  images, height, width, channels = maps[0].shape
  grid = jnp.stack(maps).reshape(2, 2, images, height, width, channels)
  return grid.transpose(2, 3, 0, 4, 1, 5).reshape(
    images, 2 * height, 2 * width, channels
  )


INITIALIZERS = {
  "normal": nn.initializers.normal,
  "glorot": lambda std: nn.initializers.glorot_uniform(),
}


def kernel_initializer(name: str, std: float = 0.01) -> Callable:
  """The random initialization of kernels (Sect. 3.1).

  Args:
    name: "normal": N(0, std^2); "glorot": Glorot & Bengio's uniform, which
      leaves `std` unused.
    std: the standard deviation, 0.01 in the paper.
  """
  return INITIALIZERS[name](std)

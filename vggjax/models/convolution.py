"""Convolutions of stride 1, as fast as the backend lets them be (Sect. 2.1).

On GPUs and TPUs this is XLA's convolution with XLA's gradient. On CPUs, in
float32, the same sums are computed in the way that suits the layer, forward
and backward; `python -m benchmarks.convolution` measures each.
"""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from vggjax.models import winograd
from vggjax.models.strips import Strips

# Bytes of a strip's windows in the kernel's gradient: few enough for the cache.
STRIP_BYTES = 2**22
# Products of a layer below which a way of its own does not pay.
FEW_PRODUCTS = 2**27
# Tiles whose products take as long as the transform of the kernel.
KERNEL_COST = 256


class Conv(nn.Module):
  """A convolution of stride 1 that keeps height and width, and its bias.

  Attributes:
    features: output channels.
    side: of the kernel, odd.
    dtype: of the computation.
    param_dtype: of the parameters.
    kernel_init: initializer of the kernel [side, side, C, features].
  """

  features: int
  side: int
  dtype: jnp.dtype
  param_dtype: jnp.dtype
  kernel_init: Callable

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [N, H, W, C] to [N, H, W, features]."""
    shape = (self.side, self.side, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
    bias = self.param(
      "bias", nn.initializers.zeros, (self.features,), self.param_dtype
    )
    x, kernel, bias = (a.astype(self.dtype) for a in (x, kernel, bias))
    return convolve(x, kernel) + bias


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """A convolution of stride 1 that keeps height and width (Sect. 2.1).

  Args:
    x: [N, H, W, C].
    kernel: [k, k, C, K], k odd, of x's dtype.

  Returns:
    [N, H, W, K].
  """
  fixed = all(isinstance(side, int) for side in x.shape)
  if jax.default_backend() == "cpu" and x.dtype == jnp.float32 and fixed:
    return _convolve_on_cpu(x, kernel)
  return direct(x, kernel)


def direct(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """The same by XLA's convolution."""
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    window_strides=(1, 1),
    padding="SAME",
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


# One program where the network runs without `jit`; inside of one no call.
@functools.partial(jax.jit, inline=True)
def _convolve_on_cpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return _fastest(x, kernel)


@jax.custom_vjp
def _fastest(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return _result(x, kernel, choose_transform(x.shape, kernel.shape))


def _forward(x, kernel):
  transform = choose_transform(x.shape, kernel.shape, training=True)
  return _result(x, kernel, transform), (x, kernel)


def _backward(saved, gradient):
  # From memory, where XLA might keep what x was computed from besides; the
  # kernel's gradient first, so that x is not held during the other.
  (x, kernel), gradient = jax.lax.optimization_barrier((saved, gradient))
  transform = choose_transform(x.shape, kernel.shape, training=True)
  kernel_gradient = _kernel_gradient(x, kernel, gradient, transform)
  kernel_gradient, gradient = jax.lax.optimization_barrier(
    (kernel_gradient, gradient)
  )
  return _input_gradient(x, kernel, gradient, transform), kernel_gradient


_fastest.defvjp(_forward, _backward)


def _result(x, kernel, transform: winograd.Transform | None) -> jax.Array:
  if transform is None:
    return direct(x, kernel)
  return winograd.convolve(x, kernel, transform)


def _kernel_gradient(x, kernel, gradient, transform):
  if transform is not None:
    return winograd.kernel_gradient(x, gradient, transform)
  if _count_products(x.shape, kernel.shape) >= FEW_PRODUCTS:
    return strip_gradient(x, gradient, kernel.shape[0])
  return jax.linear_transpose(lambda k: direct(x, k), kernel)(gradient)[0]


def _input_gradient(x, kernel, gradient, transform):
  if transform is not None:
    return winograd.input_gradient(gradient, kernel, transform)
  return jax.linear_transpose(lambda x: direct(x, kernel), x)(gradient)[0]


def choose_transform(
  shape: tuple[int, ...],
  kernel_shape: tuple[int, ...],
  training: bool = False,
) -> winograd.Transform | None:
  """The transform that is fastest for a layer on CPUs.

  Args:
    shape: of the input, [N, H, W, C].
    kernel_shape: [k, k, C, K].
    training: whether the result is differentiated. Such a program runs
      thousands of times: it may take longer to compile than those of an
      evaluation, which has one for each shape of images.

  Returns:
    None where the plain sum is faster: with few channels the transforms cost
    more than the products that they save.
  """
  images, height, width, _ = shape
  side, _, *channels = kernel_shape
  fewest, products = (32, FEW_PRODUCTS) if training else (64, 2 * FEW_PRODUCTS)
  if side != 3 or min(channels) < fewest:
    return None
  if _count_products(shape, kernel_shape) < products:
    return None

  def cost(transform):
    tiles = images * transform.count(height) * transform.count(width)
    return transform.inputs**2 * (tiles + KERNEL_COST)

  return min(winograd.F4, winograd.F2, key=cost)


def _count_products(shape, kernel_shape) -> int:
  return math.prod(shape[:3]) * math.prod(kernel_shape)


def strip_gradient(x: jax.Array, gradient: jax.Array, side: int) -> jax.Array:
  """The gradient with respect to a kernel, from strips of rows.

  The sum over strips of gradient^T x windows of x: XLA's CPU backend takes it
  for a convolution with a kernel as large as the image. The windows' side is
  the longer one, which XLA's products want on the right.

  Args:
    x: [N, H, W, C].
    gradient: of the result, [N, H, W, K].
    side: of the kernel.

  Returns:
    [side, side, C, K].
  """
  width, channels = x.shape[2:]
  features = gradient.shape[-1]
  row_bytes = x.dtype.itemsize * width * (side**2 * channels + features)
  strips = Strips.of(x.shape, STRIP_BYTES // row_bytes)
  _, height, _ = strips.size

  def product(arrays, index):
    x, gradient = arrays
    strip = strips.cut(x, index, margin=side // 2)
    windows = jnp.concatenate(
      [
        strip[:, i : i + height, j : j + width]
        for i in range(side)
        for j in range(side)
      ],
      axis=-1,
    )
    return jax.lax.dot_general(
      strips.cut(gradient, index).reshape(-1, features),
      windows.reshape(-1, side**2 * channels),
      (((0,), (0,)), ((), ())),
    )

  total = strips.sum(product, (x, gradient))
  return total.T.reshape(side, side, channels, features)

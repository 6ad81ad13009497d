"""What the GPU reaches at most: large matrix products and copies."""

import functools

import jax
import jax.numpy as jnp

from benchmarks import _harness
from benchmarks._gpu_bench import PRECISIONS, Bench, Case, Result

CALLS = 20


def cases(bench: Bench) -> list[Case]:
  """A case a precision, and one of copying."""
  products = [
    Case(
      "ceilings",
      f"matrix product, {precision}",
      functools.partial(product, precision=precision),
    )
    for precision in PRECISIONS
  ]
  return [*products, Case("ceilings", "copy on the device", copy)]


def product(bench: Bench, precision: str) -> Result:
  """FLOP/s of a product of two large matrices of normal random numbers."""
  dtype, jax_precision = PRECISIONS[precision]
  side = bench.sizes.product
  with jax.default_device(bench.devices[0]):
    # Of zeros products are faster.
    a, b = jax.random.normal(jax.random.key(0), (2, side, side), dtype)
    multiply = jax.jit(jnp.matmul)

    def run():
      with jax.default_matmul_precision(jax_precision):
        return jax.block_until_ready([multiply(a, b) for _ in range(CALLS)])

    seconds = _harness.alternate({"": run}, bench.sizes.repeats)[""] / CALLS
  flops = 2 * side**3 / seconds
  bench.ceilings[precision] = flops
  return Result(flops=flops, ceiling=flops, note=f"{side} x {side} x {side}")


def copy(bench: Bench) -> Result:
  """Bytes read and written a second."""
  with jax.default_device(bench.devices[0]):
    source = jnp.arange(bench.sizes.copied // 4, dtype=jnp.float32)
    # Not a plain copy, which is no program of its own.
    negate = jax.jit(jnp.negative)

    def run():
      for _ in range(CALLS):
        result = negate(source)
      return jax.block_until_ready(result)

    seconds = _harness.alternate({"": run}, bench.sizes.repeats)[""] / CALLS
  rate = 2 * source.nbytes / seconds / 1e9
  return Result(rate, "GB/s", note=f"of {source.nbytes / 1e9:.2g} GB, negated")

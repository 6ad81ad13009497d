"""A training step holds what it must and computes nothing that is not used."""

import jax
import numpy as np
import pytest
import tiny

from benchmarks import memory
from vggjax import parallel
from vggjax.models import parameters
from vggjax.train import step

SIDE, IMAGES = 32, 128


def compiled_step(network):
  """The step of one device, as training compiles it, and its counted bytes."""
  net = tiny.model(network, width=0.25, crop_size=SIDE, num_outputs=1000)
  [batch] = tiny.batches(1, size=IMAGES, crop=SIDE)
  devices = parallel.select_devices(1)
  run = parallel.data_parallel(step.train_step, devices, donate=True)
  compiled = run.compile(tiny.state(net), parallel.shard(batch, devices))
  counted = IMAGES * memory.count_activations(
    network, net.width, SIDE, 1000, "none"
  )
  shapes = jax.tree.leaves(parameters.param_shapes(net))
  gradients = sum(4 * np.prod(a.shape) for a in shapes)
  return compiled, counted + gradients


@pytest.mark.parametrize("network", ["B", "D"])
def test_each_activation_is_held_once(network):
  """Not, as by JAX's own ReLU and maxima, with what it was computed from."""
  compiled, counted = compiled_step(network)
  held = compiled.memory_analysis().temp_size_in_bytes
  assert counted < held < 1.3 * counted


@pytest.fixture(scope="module")
def products():
  """Floating-point operations of gradients, by what they are taken of."""
  net = tiny.model(width=0.25, crop_size=SIDE)
  params = tiny.params(net)
  x = np.ones((2, SIDE, SIDE, 3), np.float32)

  def count(trained, fixed, x, argnums):
    def loss(trained, fixed, x):
      return net.apply({"params": {**fixed, **trained}}, x)[0].sum()

    gradient = jax.jit(jax.grad(loss, argnums))
    compiled = gradient.lower(trained, fixed, x).compile()
    return compiled.cost_analysis()["flops"]

  fc = {name: params[name] for name in ("fc6", "fc7", "fc8")}
  rest = {name: params[name] for name in params if name not in fc}
  return {
    "all": count(params, {}, x, (0, 2)),
    "image": count(params, {}, x, 2),
    "fc": count(fc, rest, x, 0),
  }


def test_unused_gradients_are_not_computed(products):
  """Forward, of the inputs and of the kernels cost about the same."""
  assert products["image"] < 0.75 * products["all"]
  assert products["fc"] < 0.45 * products["all"]

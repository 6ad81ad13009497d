"""Rematerialization: less memory, the same parameters, layers and update."""

import jax
import numpy as np
import pytest
import tiny

from vggjax import parallel
from vggjax.errors import InputError
from vggjax.models import vgg
from vggjax.train import step

pytestmark = pytest.mark.usefixtures("quick_compile")

# A padded batch: what is computed again knows the valid sizes.
SIZES = np.array([[64, 48], [50, 40], [33, 48], [64, 32]], np.int32)


def gradient(rematerialize, network="A-LRN"):
  """The parameters, their gradient and all layers, with dropout."""
  model = tiny.model(network, rematerialize=rematerialize)
  params = tiny.params(model)
  x = np.random.default_rng(0).normal(size=(4, 64, 48, 3)).astype(np.float32)

  def loss(params):
    rngs = {"dropout": jax.random.key(1)}
    scores, layers = model.apply(
      {"params": params}, 50 * x, SIZES, train=True, rngs=rngs
    )
    return (scores**2).sum(), layers

  found, layers = jax.jit(jax.grad(loss, has_aux=True))(params)
  return params, found, layers


def test_parameters_layers_and_gradients_stay_the_same():
  plain, again = gradient("none"), gradient("blocks")
  tiny.assert_identical(again[0], plain[0])
  assert set(again[2]) == set(plain[2])
  assert {"conv1_1", "norm1", "pool5", "fc7"} <= set(again[2])
  for found, wanted in zip(again, plain, strict=True):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    tiny.assert_close(found, wanted, 1e-5)


def test_a_step_is_the_same_and_takes_less_memory():
  """A step on two devices, as the loop runs it, from the same state."""
  devices = parallel.select_devices(2)
  [batch] = tiny.batches(1, size=32)
  states, sizes = {}, {}
  for name in vgg.REMATERIALIZE:
    state = tiny.state(tiny.model(rematerialize=name))
    run = parallel.data_parallel(step.train_step, devices)
    shared = parallel.shard(batch, devices)
    states[name], _ = run(state, shared)
    # It can be called again.
    states[name] = parallel.to_host(run(states[name], shared)[0])
    compiled = run.compile(state, shared)
    sizes[name] = compiled.memory_analysis().temp_size_in_bytes
  assert int(states["none"].step) == 2
  tiny.assert_close(states["blocks"].params, states["none"].params, 1e-5)
  tiny.assert_close(states["blocks"].opt_state, states["none"].opt_state, 1e-5)
  assert sizes["blocks"] < 0.9 * sizes["none"]


@pytest.mark.parametrize("network", vgg.NETWORKS)
def test_blocks_are_the_layers_of_table_1(network):
  blocks = vgg.blocks(network)
  assert len(blocks) == 5
  assert sum(blocks, ()) == vgg.block_layers(network)
  for number, block in enumerate(blocks, start=1):
    assert block[-1].name == f"pool{number}"


def test_a_misspelt_choice_is_refused():
  with pytest.raises(InputError, match="rematerialize 'all' is not one of"):
    tiny.model(rematerialize="all")

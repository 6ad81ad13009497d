"""The offsets of pool5 (App. A) against PyTorch, an offset at a time."""

import functools
import itertools

import jax
import numpy as np
import pytest
from torch_nets import (
  SMALL,
  assert_close,
  random_images,
  random_params,
  to_nchw,
  to_nhwc,
  torch_net,
)

import vggjax
from vggjax.errors import InputError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("quick_compile")

# Sides whose map before pool5 is even and odd, and one that gives one position.
SIZES = ((64, 131), (97, 100), (159, 64))


@functools.cache
def case(pool):
  """A net of 64-pixel crops, with and without offsets, and its parameters."""
  options = SMALL | {"crop_size": 64, "pool": pool}
  net = vggjax.create_model("A", **options)
  fine = vggjax.create_model("A", **options, pool5_offsets=2)
  return net, fine, random_params(net)


def in_torch(params, pool, x):
  """fc6 to fc8 of the offsets one by one, put where their windows begin."""
  net = torch_net("A", params, pool, crop_size=64)
  _, layers = net(to_nchw(x))
  tail = [m for n, m in net.layers if n in ("fc6", "fc7", "fc8")]
  found = {}
  for top, left in itertools.product((0, 1), repeat=2):
    y = dict(net.layers)["pool5"](layers["conv5_2"][..., top:, left:])
    if min(y.shape[2:]) < 2:
      continue
    for name, module in zip(("fc6", "fc7", "fc8"), tail, strict=True):
      y = module(y) if name == "fc8" else torch.relu(module(y))
      for i, j in itertools.product(range(y.shape[2]), range(y.shape[3])):
        found[name, 2 * i + top, 2 * j + left] = to_nhwc(y[:, :, [i]][..., [j]])
  return found


@pytest.mark.parametrize("pool", ["ceil", "floor"])
@pytest.mark.parametrize("size", SIZES)
def test_positions_are_those_of_shifted_pools(pool, size):
  _, fine, params = case(pool)
  x = random_images(2, *size)
  scores, layers = jax.jit(fine.apply)({"params": params}, x)
  wanted = in_torch(params, pool, x)
  rows, columns = (fine.score_map_sides(side) for side in size)
  assert scores.shape[1:3] == (rows, columns)
  positions = itertools.product(range(rows), range(columns))
  assert {(i, j) for _, i, j in wanted} == set(positions)
  for (name, i, j), value in wanted.items():
    ours = scores if name == "fc8" else layers[name]
    assert_close(ours[:, i : i + 1, j : j + 1], value, 1e-4, name)


@pytest.mark.parametrize("pool", ["ceil", "floor"])
def test_padding_has_no_effect(pool):
  _, fine, params = case(pool)
  shape = 160, 160
  x = np.full((len(SIZES), *shape, 3), 99.0, np.float32)
  alone = []
  for image, (height, width) in zip(x, SIZES, strict=True):
    one = random_images(1, height, width, seed=height)
    image[:height, :width] = one[0]
    alone.append(jax.jit(fine.apply)({"params": params}, one)[0])
  batch, _ = jax.jit(fine.apply)({"params": params}, x, np.array(SIZES))
  for ours, wanted in zip(batch, alone, strict=True):
    rows, columns = wanted.shape[1:3]
    assert_close(ours[None, :rows, :columns], wanted, 1e-4)
    assert not np.any(ours[rows:])
    assert not np.any(ours[:, columns:])


def test_every_second_position_is_that_without_offsets():
  coarse, fine, params = case("floor")
  x = random_images(1, 100, 131)
  scores, _ = coarse.apply({"params": params}, x)
  finer, _ = fine.apply({"params": params}, x)
  assert_close(finer[:, ::2, ::2], scores, 1e-5)


def test_training_uses_no_offsets():
  _, fine, params = case("ceil")
  rngs = {"dropout": jax.random.key(0)}
  x = random_images(1, 64, 64)
  scores, _ = fine.apply({"params": params}, x, train=True, rngs=rngs)
  assert scores.shape[1:3] == (1, 1)


def test_other_offsets_are_refused():
  with pytest.raises(InputError, match="pool5_offsets is 3; it must be 1 or 2"):
    vggjax.create_model("A", pool5_offsets=3)

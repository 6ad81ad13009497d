"""Winograd's convolutions against PyTorch's in float64."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggjax.models import winograd

torch = pytest.importorskip("torch")

TRANSFORMS = {"F2": winograd.F2, "F4": winograd.F4}
# Of the largest value; float32 rounds at 6e-8, and F4 multiplies it.
TOLERANCE = {"F2": 3e-6, "F4": 3e-5}


def make_case(images, height, width, channels, features, seed=0):
  random = np.random.default_rng(seed)
  x = random.standard_normal((images, height, width, channels), np.float32)
  kernel = random.standard_normal((3, 3, channels, features), np.float32)
  gradient = random.standard_normal(
    (images, height, width, features), np.float32
  )
  return x, kernel, gradient


def plain(x, kernel, gradient):
  """The result and both gradients, float64, by PyTorch."""
  planes = torch.tensor(x, dtype=torch.float64).permute(0, 3, 1, 2)
  planes.requires_grad_()
  weight = torch.tensor(kernel, dtype=torch.float64).permute(3, 2, 0, 1)
  weight.requires_grad_()
  result = torch.nn.functional.conv2d(planes, weight, padding=1)
  result.backward(torch.tensor(gradient).double().permute(0, 3, 1, 2))
  return (
    result.detach().permute(0, 2, 3, 1).numpy(),
    planes.grad.permute(0, 2, 3, 1).numpy(),
    weight.grad.permute(2, 3, 1, 0).numpy(),
  )


def by_tiles(x, kernel, gradient, transform):
  return (
    winograd.convolve(x, kernel, transform),
    winograd.input_gradient(gradient, kernel, transform),
    winograd.kernel_gradient(x, gradient, transform),
  )


def assert_near(found, wanted, tolerance):
  assert found.shape == wanted.shape
  assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.usefixtures("quick_compile")
@pytest.mark.parametrize("name", TRANSFORMS)
@settings(max_examples=8)
@given(
  height=st.integers(1, 11),
  width=st.integers(1, 11),
  images=st.integers(1, 2),
)
def test_results_and_gradients_are_the_plain_sums(name, height, width, images):
  case = make_case(images, height, width, 5, 3)
  found = jax.jit(by_tiles, static_argnums=3)(*case, TRANSFORMS[name])
  for array, wanted in zip(found, plain(*case), strict=True):
    assert_near(array, wanted, TOLERANCE[name])


# Images, height and width; the tiles of a strip; strips along N and along H.
STRIPS = {
  "all at once": ((3, 9, 10), 100, (1, 1)),
  "whole images": ((7, 9, 10), 36, (2, 1)),
  "an image each": ((3, 9, 10), 10, (3, 1)),
  "rows, none over": ((2, 16, 5), 5, (2, 2)),
  "rows, some over": ((2, 20, 5), 7, (2, 2)),
  "one row of tiles": ((2, 9, 10), 1, (2, 3)),
}


@pytest.mark.parametrize("name", STRIPS)
def test_strips_give_the_plain_sums_each_in_its_place(monkeypatch, name):
  shape, tiles, counts = STRIPS[name]
  case = make_case(*shape, 3, 2)
  monkeypatch.setattr(winograd, "STRIP_BYTES", tiles * 4 * 36 * (3 + 2))
  assert winograd._strips(shape, (3, 2), winograd.F4).counts == counts
  found = jax.jit(by_tiles, static_argnums=3)(*case, winograd.F4)
  jax.clear_caches()
  for array, wanted in zip(found, plain(*case), strict=True):
    assert_near(array, wanted, TOLERANCE["F4"])


def test_a_strip_is_no_smaller_than_the_kernel():
  """Else most of the time would go into reading the kernel's tiles again."""
  strips = winograd._strips((32, 14, 14), (512, 512), winograd.F4)
  tiles = strips.size[0] * 16
  assert strips.counts[0] > 1
  assert 36 * tiles * (512 + 512) >= 0.9 * 36 * 512 * 512


@pytest.mark.parametrize("name", TRANSFORMS)
def test_rounding_with_as_many_channels_as_a_network_has(name):
  case = make_case(2, 14, 13, 256, 32)
  found = jax.jit(by_tiles, static_argnums=3)(*case, TRANSFORMS[name])
  for array, wanted in zip(found, plain(*case), strict=True):
    assert_near(array, wanted, TOLERANCE[name])


@pytest.mark.parametrize("name", TRANSFORMS)
def test_one_multiplication_a_tile_is_exact_in_integers(name):
  """All-ones image and kernel: each result counts the pixels it sees."""
  ones = np.ones((1, 5, 6, 1), np.float32)
  found = winograd.convolve(ones, np.ones((3, 3, 1, 1)), TRANSFORMS[name])
  rows = np.array([2, 3, 3, 3, 2.0])
  columns = np.array([2, 3, 3, 3, 3, 2.0])
  np.testing.assert_allclose(found[0, :, :, 0], np.outer(rows, columns), 1e-5)

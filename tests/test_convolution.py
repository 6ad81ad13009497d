"""Convolutions on CPUs against PyTorch, and when they are chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggjax.models import convolution, winograd

# N, H, W, kernel side, C, K: with windows of one pixel, three and five.
CASES = {
  "1x1": (2, 7, 5, 1, 6, 4),
  "3x3": (2, 9, 8, 3, 4, 6),
  "5x5": (1, 6, 11, 5, 3, 2),
  "F2": (2, 7, 35, 3, 128, 256),
  "F4": (1, 28, 29, 3, 256, 128),
  "narrow": (20, 15, 16, 3, 64, 64),
  # Two strips an image, two of images, the last ones not full.
  "rows": (2, 73, 200, 3, 64, 64),
  "images": (7, 60, 60, 3, 64, 64),
}


def make_case(name):
  images, height, width, side, channels, features = CASES[name]
  random = np.random.default_rng(0)
  return (
    random.standard_normal((images, height, width, channels), np.float32),
    random.standard_normal((side, side, channels, features), np.float32),
    random.standard_normal((images, height, width, features), np.float32),
  )


def plain(x, kernel, gradient):
  """The result and both gradients by PyTorch, float64."""
  torch = pytest.importorskip("torch")
  planes = torch.tensor(x).double().permute(0, 3, 1, 2).requires_grad_()
  weight = torch.tensor(kernel).double().permute(3, 2, 0, 1).requires_grad_()
  result = torch.nn.functional.conv2d(planes, weight, padding=len(kernel) // 2)
  result.backward(torch.tensor(gradient).double().permute(0, 3, 1, 2))
  return (
    result.detach().permute(0, 2, 3, 1),
    planes.grad.permute(0, 2, 3, 1),
    weight.grad.permute(2, 3, 1, 0),
  )


@pytest.fixture(params=["small", "never small"])
def smallness(request, monkeypatch):
  """With what is left to XLA, and without."""
  if request.param == "never small":
    monkeypatch.setattr(convolution, "FEW_PRODUCTS", 0)
  jax.clear_caches()
  yield
  jax.clear_caches()


@pytest.mark.usefixtures("smallness")
@pytest.mark.parametrize("name", CASES)
def test_result_and_gradients_are_those_of_pytorch(name):
  x, kernel, gradient = make_case(name)

  @jax.jit
  def ours(x, kernel, gradient):
    result, pull = jax.vjp(convolution.convolve, x, kernel)
    return result, *pull(gradient)

  for found, wanted in zip(
    ours(x, kernel, gradient), plain(x, kernel, gradient), strict=True
  ):
    wanted = wanted.numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 3e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("rows", [1, 3, 12, 24, 100])
def test_strips_of_any_rows_and_images_give_the_same_sum(monkeypatch, rows):
  x, _, gradient = make_case("3x3")
  x, gradient = x.repeat(2, 1)[:, :12], gradient.repeat(2, 1)[:, :12]
  monkeypatch.setattr(convolution, "STRIP_BYTES", rows * 4 * 8 * (9 * 4 + 6))
  kernel = np.zeros((3, 3, 4, 6), np.float32)
  found = convolution.strip_gradient(x, gradient, 3)
  wanted = plain(x, kernel, gradient)[2].numpy()
  np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
  ("shape", "kernel", "wanted"),
  [
    ((1, 224, 224, 3), (3, 3, 3, 64), None),
    ((1, 224, 224, 64), (3, 3, 64, 64), winograd.F4),
    ((1, 56, 56, 128), (3, 3, 128, 256), winograd.F4),
    ((4, 28, 28, 512), (3, 3, 512, 512), winograd.F4),
    ((1, 14, 14, 512), (3, 3, 512, 512), winograd.F2),
    # The gradient of conv3_1 with respect to its input.
    ((1, 56, 56, 256), (3, 3, 256, 128), winograd.F4),
    ((1, 56, 56, 256), (1, 1, 256, 256), None),
    ((1, 28, 28, 512), (5, 5, 256, 512), None),
    ((1, 7, 7, 256), (3, 3, 256, 256), None),
  ],
)
@pytest.mark.parametrize("training", [False, True])
def test_layers_of_full_width_use_the_fastest(shape, kernel, wanted, training):
  found = convolution.choose_transform(shape, kernel, training)
  assert found is wanted


@pytest.mark.parametrize(
  ("shape", "kernel", "wanted"),
  [
    ((64, 32, 32, 32), (3, 3, 32, 32), winograd.F4),
    ((16, 16, 16, 64), (3, 3, 64, 64), winograd.F4),
    ((32, 7, 7, 128), (3, 3, 128, 128), winograd.F2),
    # Too few channels, too few products.
    ((64, 64, 64, 16), (3, 3, 16, 16), None),
    ((16, 4, 4, 128), (3, 3, 128, 128), None),
  ],
)
def test_narrow_layers_are_transformed_in_training_alone(shape, kernel, wanted):
  assert convolution.choose_transform(shape, kernel, training=True) is wanted
  assert convolution.choose_transform(shape, kernel) is None


def program(dtype, **settings):
  x = jnp.zeros((1, 28, 28, 256), dtype)
  kernel = jnp.zeros((3, 3, 256, 256), dtype)
  return jax.jit(convolution.convolve).lower(x, kernel, **settings).as_text()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_other_types_and_backends_use_one_convolution(monkeypatch, dtype):
  assert ("stablehlo.convolution" in program(dtype)) == (dtype != "float32")
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  # Else the program traced above is found again.
  jax.clear_caches()
  assert "stablehlo.convolution" in program(dtype)


def test_symbolic_sides_use_one_convolution():
  height, width = jax.export.symbolic_shape("h, w")
  x = jax.ShapeDtypeStruct((1, height, width, 256), jnp.float32)
  kernel = jax.ShapeDtypeStruct((3, 3, 256, 256), jnp.float32)
  exported = jax.export.export(jax.jit(convolution.convolve))(x, kernel)
  assert "stablehlo.convolution" in exported.mlir_module()

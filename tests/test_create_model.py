"""Creating and initializing networks; what is refused (Sect. 2, 3.1)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vggjax
from vggjax.errors import InputError
from vggjax.models import parameters

pytestmark = pytest.mark.usefixtures("quick_compile")

SMALL = {"num_outputs": 7, "width": 1 / 16, "crop_size": 32}


class TestCreateModel:
  @pytest.mark.parametrize(
    ("options", "words"),
    [
      ({"network": "F"}, ["network", "'F'", "A-LRN", "B-shallow", "E"]),
      ({"network": "d"}, ["network", "'d'"]),
      ({"pool": "round"}, ["pool", "'round'", "ceil", "floor"]),
      ({"lrn": "alexnet"}, ["lrn", "'alexnet'", "krizhevsky", "caffe"]),
      ({"initializer": "he"}, ["initializer", "'he'", "normal", "glorot"]),
      ({"dtype": jnp.int8}, ["dtype", "'int8'", "float32", "bfloat16"]),
      ({"dtype": jnp.float16}, ["dtype", "'float16'", "float64"]),
      ({"dtype": "single-ish"}, ["dtype", "single-ish", "float32"]),
      ({"num_outputs": -1}, ["num_outputs", "-1", "at least 0"]),
      ({"width": 0}, ["width", "0", "(0, 4]"]),
      ({"width": -1.0}, ["width", "-1.0", "(0, 4]"]),
      ({"width": 5.0}, ["width", "5.0", "(0, 4]"]),
      ({"width": float("nan")}, ["width", "nan", "(0, 4]"]),
      ({"width": float("inf")}, ["width", "inf", "(0, 4]"]),
      ({"width": 0.001}, ["width", "0.064", "a channel"]),
      ({"crop_size": 0}, ["crop_size", "0", "multiple of 32"]),
      ({"crop_size": 230}, ["crop_size", "230", "multiple of 32"]),
      ({"crop_size": -32}, ["crop_size", "-32", "multiple of 32"]),
      ({"dropout_rate": 1.0}, ["dropout_rate", "1.0", "[0, 1)"]),
      ({"dropout_rate": -0.1}, ["dropout_rate", "-0.1", "[0, 1)"]),
      ({"init_std": 0.0}, ["init_std", "0.0", "above 0"]),
    ],
  )
  def test_bad_values(self, options, words):
    options = {"network": "A", **options}
    with pytest.raises(InputError) as caught:
      vggjax.create_model(**options)
    for word in words:
      assert word in str(caught.value)
    assert "\n" not in str(caught.value)

  @pytest.mark.parametrize(
    ("shape", "words"),
    [
      ((1, 32, 31, 3), ["32x31", "crop of 32"]),
      ((1, 224, 3), ["[N, H, W, 3]", "[1, 224, 3]"]),
      ((1, 64, 64, 1), ["[N, H, W, 3]", "[1, 64, 64, 1]"]),
      ((1, 3, 64, 64), ["[N, H, W, 3]", "[1, 3, 64, 64]"]),
    ],
  )
  def test_bad_images(self, shape, words):
    model = vggjax.create_model("A", **SMALL, pool="floor")
    params = parameters.param_shapes(model)
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    with pytest.raises(InputError) as caught:
      jax.eval_shape(model.apply, {"params": params}, x)
    for word in words:
      assert word in str(caught.value)

  @pytest.mark.parametrize(("pool", "least"), [("floor", 64), ("ceil", 33)])
  def test_smallest_image_of_a_crop(self, pool, least):
    """Ceil pooling makes two positions of 33 pixels; the crop is 64."""
    model = vggjax.create_model(
      "A", num_outputs=3, width=1 / 64, crop_size=64, pool=pool
    )
    params = parameters.param_shapes(model)

    def shape_of(side):
      x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
      apply = functools.partial(jax.eval_shape, lambda p, x: model.apply(p, x))
      return apply({"params": params}, x)[0].shape

    assert shape_of(least) == (1, 1, 1, 3)
    with pytest.raises(InputError, match="crop of 64"):
      shape_of(least - 1)


@functools.cache
def initialized(network, seed=0, **options):
  model = vggjax.create_model(
    network, num_outputs=100, width=1 / 4, crop_size=64, **options
  )
  return jax.device_get(parameters.init_params(model, jax.random.key(seed)))


class TestInitialization:
  """Estimates are allowed four of their standard deviations."""

  @pytest.mark.parametrize(
    ("network", "options", "std"),
    [
      ("A", {"seed": 3}, 0.01),
      ("B-shallow", {"seed": 4, "init_std": 0.05}, 0.05),
    ],
  )
  def test_normal(self, network, options, std):
    for name, layer in initialized(network, **options).items():
      kernel = layer["kernel"]
      assert not layer["bias"].any(), name
      noise = 4 / np.sqrt(kernel.size)
      assert abs(kernel.mean()) < noise * std, name
      assert abs(kernel.std() / std - 1) < noise, name
      # Normal and not truncated: 4.6 % lie beyond two deviations.
      beyond = np.mean(np.abs(kernel) > 2 * std)
      assert abs(beyond - 0.0455) < 0.21 * noise, name

  def test_glorot(self):
    for name, layer in initialized("A", initializer="glorot").items():
      kernel = layer["kernel"]
      assert not layer["bias"].any(), name
      side, _, fan_in, fan_out = kernel.shape
      bound = np.sqrt(6 / (side**2 * (fan_in + fan_out)))
      assert 0.98 * bound < np.abs(kernel).max() <= bound * (1 + 1e-6), name
      noise = 4 / np.sqrt(kernel.size)
      assert abs(kernel.mean()) < noise * bound / np.sqrt(3), name
      assert abs(kernel.std() * np.sqrt(3) / bound - 1) < noise, name

  def test_layers_and_keys_differ(self):
    one = initialized("A", seed=3)
    other = initialized("B-shallow", seed=4, init_std=0.05)
    starts = {
      (layer["kernel"].ravel()[:8] / std).round(3).tobytes()
      for params, std in ((one, 0.01), (other, 0.05))
      for layer in params.values()
    }
    assert len(starts) == len(one) + len(other)


def test_float64_needs_x64():
  with pytest.raises(InputError, match="float64 needs JAX_ENABLE_X64=1"):
    vggjax.create_model("A", dtype="float64")
  with jax.enable_x64(True):
    model = vggjax.create_model("A", dtype="float64")
    assert model.param_dtype == np.float64

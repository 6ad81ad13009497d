"""Random parameters, and counts without allocating any (Sect. 3.1, Table 2)."""

import math

import jax
import jax.numpy as jnp

from vggjax.models.vgg import VGG


def init_params(model: VGG, key: jax.Array) -> dict:
  """Random parameters (Sect. 3.1): params["conv1_1"]["kernel"], ["bias"].

  Not to be traced; `param_shapes` gives the shapes alone.
  """
  # The random numbers take five times as long to compile at the usual level.
  options = {"xla_backend_optimization_level": 1}
  init = jax.jit(model.init, compiler_options=options)
  return init(key, one_crop(model))["params"]


def one_crop(model: VGG) -> jax.Array:
  """A black image of the crop size, [1, crop_size, crop_size, 3]."""
  return jnp.zeros((1, model.crop_size, model.crop_size, 3), model.param_dtype)


def param_shapes(model: VGG) -> dict:
  """Like `init_params`, with shapes for arrays; nothing is allocated."""
  inputs = jax.eval_shape(lambda: (jax.random.key(0), one_crop(model)))
  return jax.eval_shape(model.init, *inputs)["params"]


def count_parameters(model: VGG) -> int:
  """The number of parameters (Table 2); nothing is allocated."""
  return sum(math.prod(a.shape) for a in jax.tree.leaves(param_shapes(model)))


def count_macs(model: VGG, height: int, width: int) -> int:
  """Multiply-accumulates of one image's forward pass; nothing is allocated.

  Args:
    model: a network.
    height: of the image, pixels.
    width: of the image, pixels.
  """
  return sum(layer_macs(model, height, width).values())


def layer_macs(model: VGG, height: int, width: int) -> dict[str, int]:
  """Those of each layer by name, see `count_macs`."""
  params = param_shapes(model)
  image = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
  scores, outputs = jax.eval_shape(
    lambda p, x: model.apply({"params": p}, x), params, image
  )
  outputs = {**outputs, "fc8": scores}
  return {
    name: math.prod(outputs[name].shape[1:3]) * math.prod(layer["kernel"].shape)
    for name, layer in params.items()
  }

"""Networks by their options, checked."""

import jax
import jax.numpy as jnp

from vggjax.errors import InputError
from vggjax.models import layers
from vggjax.models.vgg import NETWORKS, REMATERIALIZE, VGG


def create_model(
  network: str,
  *,
  num_outputs: int = 1000,
  width: float = 1.0,
  crop_size: int = 224,
  pool: str = "ceil",
  dtype: jnp.dtype = jnp.float32,
  lrn: str = "krizhevsky",
  pool5_offsets: int = 1,
  dropout_rate: float = 0.5,
  initializer: str = "normal",
  init_std: float = 0.01,
  rematerialize: str = "none",
) -> VGG:
  """Creates a network of Table 1; parameters come from `model.init`.

  Args:
    network: one of NETWORKS.
    num_outputs: channels of the last layer; 0: without the FC layers, a
      feature net that ends with pool5 and has no scores.
    width: scales the channels of every layer but the last, in (0, 4].
    crop_size: side of the training crop in pixels, a multiple of 32.
    pool: rounding of odd sides in max-pooling, "ceil" (Caffe) or "floor".
    dtype: of the computation: float32, bfloat16 or float64 (which needs
      jax_enable_x64 and has float64 parameters; the others float32).
    lrn: "krizhevsky" or "caffe", the constants of A-LRN's normalization.
    pool5_offsets: 2: OverFeat's finer score maps, with a position every 16
      pixels instead of 32, in all but training (App. A); 1: none.
    dropout_rate: of fc6 and fc7 in training, in [0, 1).
    initializer: "normal" (N(0, init_std^2)) or "glorot".
    init_std: the standard deviation of "normal", above 0.
    rematerialize: what training computes again instead of keeping it: "none",
      or "blocks", all but the blocks' inputs; the gradient is the same.

  Returns:
    A Flax module; see `VGG.__call__`.

  Raises:
    InputError: on a value outside its range.
  """
  try:
    dtype_name = jnp.dtype(dtype).name
  except TypeError:
    dtype_name = str(dtype)
  choices = {
    "network": (network, NETWORKS),
    "pool": (pool, ("ceil", "floor")),
    "lrn": (lrn, ("krizhevsky", "caffe")),
    "initializer": (initializer, tuple(layers.INITIALIZERS)),
    "rematerialize": (rematerialize, REMATERIALIZE),
    "dtype": (dtype_name, ("float32", "bfloat16", "float64")),
  }
  for name, (value, allowed) in choices.items():
    if value not in allowed:
      raise InputError(f"{name} {value!r} is not one of {', '.join(allowed)}")
  if dtype_name == "float64" and not jax.config.jax_enable_x64:
    raise InputError("dtype float64 needs JAX_ENABLE_X64=1 in the environment")
  ranges = {
    "num_outputs": (num_outputs, num_outputs >= 0, "at least 0"),
    "width": (width, 0 < width <= 4, "in (0, 4]"),
    "width * 64": (width * 64, width * 64 > 0.5, "above 0.5: a channel"),
    "crop_size": (
      crop_size,
      crop_size >= 32 and crop_size % 32 == 0,
      "a multiple of 32",
    ),
    "pool5_offsets": (pool5_offsets, pool5_offsets in (1, 2), "1 or 2"),
    "dropout_rate": (dropout_rate, 0 <= dropout_rate < 1, "in [0, 1)"),
    "init_std": (init_std, init_std > 0, "above 0"),
  }
  for name, (value, holds, allowed) in ranges.items():
    if not holds:
      raise InputError(f"{name} is {value!r}; it must be {allowed}")
  return VGG(
    network=network,
    num_outputs=num_outputs,
    width=width,
    crop_size=crop_size,
    pool=pool,
    lrn=lrn,
    pool5_offsets=pool5_offsets,
    dropout_rate=dropout_rate,
    initializer=initializer,
    init_std=init_std,
    dtype=jnp.dtype(dtype),
    rematerialize=rematerialize,
  )

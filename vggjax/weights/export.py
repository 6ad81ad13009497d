"""The dense network as a StableHLO program (jax.export)."""

import jax
import jax.numpy as jnp
from jax import export

from vggjax.weights.weights import Weights


def export_dense(weights: Weights, platforms=("cpu", "cuda", "tpu")) -> bytes:
  """Serializes the dense network, its parameters within (Sect. 3.2).

  `jax.export.deserialize(data).call(images)` takes float32 [N, H, W, 3] RGB of
  0-255, H and W at least the crop size (without
  FC layers 32), and returns the score map before the
  soft-max, float32 [N, h, w, K] (pool5 for a feature net).

  Args:
    weights: of any network.
    platforms: on which it shall run.
  """
  model = weights.create_model()
  mean = jnp.asarray(weights.mean, jnp.float32)
  params = jax.tree.map(jnp.asarray, weights.params)

  def dense(images):
    scores, layers = model.apply({"params": params}, images - mean)
    return layers["pool5"] if scores is None else scores

  side = weights.crop_size if weights.num_outputs else 32
  shape = export.symbolic_shape(
    "n, h, w, 3", constraints=(f"h >= {side}", f"w >= {side}")
  )
  images = jax.ShapeDtypeStruct(shape, jnp.float32)
  exported = export.export(jax.jit(dense), platforms=platforms)(images)
  return exported.serialize()
